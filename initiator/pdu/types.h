/// The tags, identifiers and sequence numbers that stand in iSCSI headers. RFC 7143 section 11.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/serial.h"
#include "base/strong.h"
#include "initiator/session_config.h"

namespace holdfast::initiator {

/// Length of the basic header segment, bytes. RFC 7143 section 11.2.1.
inline constexpr std::size_t kBhsBytes = 48;

/// A basic header segment as it came off the wire. Borrowed.
using Bhs = std::span<const std::byte, kBhsBytes>;
/// Where a basic header segment is to be written. Borrowed.
using BhsOut = std::span<std::byte, kBhsBytes>;

/// Initiator task tag: ours, unique in the session while the task lives. Section 11.2.1.8.
using Itt = Strong<struct IttTag, std::uint32_t>;
/// Target transfer tag: the target's, copied back and never interpreted.
using Ttt = Strong<struct TttTag, std::uint32_t>;
/// Marks the response that follows an R-Data SNACK. Section 11.16.5.
using SnackTag = Strong<struct SnackTagTag, std::uint32_t>;
/// Connection identifier within a session. Section 11.12.7.
using Cid = Strong<struct CidTag, std::uint16_t>;
/// Target session identifying handle; 0 asks for a new session. Section 11.12.6.
using Tsih = Strong<struct TsihTag, std::uint16_t>;

/// Command numbering, one space for the session. Section 4.2.2.1.
using CmdSn = Serial32<struct CmdSnTag>;
/// Status numbering, one space for each connection. Section 4.2.2.2.
using StatSn = Serial32<struct StatSnTag>;
/// Numbering of data PDUs within a command or an output sequence. Section 4.2.2.4.
using DataSn = Serial32<struct DataSnTag>;
/// Numbering of R2Ts within a command. Section 11.8.2.
using R2tSn = Serial32<struct R2tSnTag>;

/// "No task": never assigned to one. Section 11.2.1.8.
inline constexpr Itt kIttReserved{0xffff'ffffU};
/// "No transfer tag". Sections 11.7.4, 11.8.5, 11.10.4, 11.18.2.
inline constexpr Ttt kTttReserved{0xffff'ffffU};

/// DataSegmentLength is a field of three bytes. Section 11.2.1.6.
inline constexpr std::uint32_t kDataSegmentBytesMax = (1U << 24) - 1;

}  // namespace holdfast::initiator
