/// The iSCSI header as this target reads and writes it. RFC 7143 section 11. Written apart from the
/// initiator's codec on purpose: a mistake in an encoding must not be shared by both ends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace holdfast::target {

inline constexpr std::size_t kHeaderBytes = 48;
inline constexpr std::uint32_t kNoTag = 0xffff'ffffU;

using Header = std::array<std::byte, kHeaderBytes>;
using HeaderView = std::span<const std::byte, kHeaderBytes>;
using Bytes = std::span<const std::byte>;

/// Section 11.2.1.2.
enum class Opcode : std::uint8_t {
    NopOut = 0x00,
    ScsiCommand = 0x01,
    TaskManagement = 0x02,
    Login = 0x03,
    Text = 0x04,
    DataOut = 0x05,
    Logout = 0x06,
    Snack = 0x10,
    NopIn = 0x20,
    ScsiResponse = 0x21,
    TaskManagementResponse = 0x22,
    LoginResponse = 0x23,
    TextResponse = 0x24,
    DataIn = 0x25,
    LogoutResponse = 0x26,
    ReadyToTransfer = 0x31,
    AsyncMessage = 0x32,
    Reject = 0x3f,
};

/// Byte positions of header fields. A name that serves several PDUs means the same in each.
namespace at {
inline constexpr std::size_t kOpcode = 0;
inline constexpr std::size_t kFlags = 1;
inline constexpr std::size_t kResponse = 2;  // response, Reject reason, login version-max
inline constexpr std::size_t kStatus = 3;    // SCSI status, login version-active
inline constexpr std::size_t kAhsWords = 4;
inline constexpr std::size_t kDataLength = 5;
inline constexpr std::size_t kLun = 8;
inline constexpr std::size_t kIsid = 8;
inline constexpr std::size_t kTsih = 14;
inline constexpr std::size_t kItt = 16;
inline constexpr std::size_t kTtt = 20;
inline constexpr std::size_t kExpectedLength = 20;
inline constexpr std::size_t kCid = 20;
inline constexpr std::size_t kReferencedTag = 20;
inline constexpr std::size_t kCmdSn = 24;
inline constexpr std::size_t kExpStatSn = 28;
inline constexpr std::size_t kRefCmdSn = 32;
inline constexpr std::size_t kCdb = 32;
inline constexpr std::size_t kStatSn = 24;
inline constexpr std::size_t kExpCmdSn = 28;
inline constexpr std::size_t kMaxCmdSn = 32;
inline constexpr std::size_t kDataSn = 36;
inline constexpr std::size_t kExpDataSn = 36;  // Task management.
inline constexpr std::size_t kLoginStatusClass = 36;
inline constexpr std::size_t kLoginStatusDetail = 37;
inline constexpr std::size_t kAsyncEvent = 36;
inline constexpr std::size_t kAsyncParameter1 = 38;
inline constexpr std::size_t kAsyncParameter2 = 40;
inline constexpr std::size_t kAsyncParameter3 = 42;
inline constexpr std::size_t kBufferOffset = 40;
inline constexpr std::size_t kTime2Wait = 40;
inline constexpr std::size_t kTime2Retain = 42;
inline constexpr std::size_t kResidual = 44;
inline constexpr std::size_t kDesiredLength = 44;
inline constexpr std::size_t kSnackTag = 40;  // SCSI Response.
inline constexpr std::size_t kBegRun = 40;
inline constexpr std::size_t kRunLength = 44;
}  // namespace at

/// Bits of the two leading bytes.
namespace bit {
inline constexpr std::uint8_t kImmediate = 0x40;  // byte 0
inline constexpr std::uint8_t kFinal = 0x80;      // byte 1 from here on
inline constexpr std::uint8_t kTransit = 0x80;
inline constexpr std::uint8_t kContinue = 0x40;
inline constexpr std::uint8_t kRead = 0x40;
inline constexpr std::uint8_t kWrite = 0x20;
inline constexpr std::uint8_t kOverflow = 0x04;
inline constexpr std::uint8_t kUnderflow = 0x02;
inline constexpr std::uint8_t kStatusInData = 0x01;
inline constexpr std::uint8_t kAcknowledge = 0x40;  // Data-In
}  // namespace bit

/// Reject reasons. Section 11.17.1.
enum class RejectReason : std::uint8_t {
    DataDigestError = 0x02,
    SnackReject = 0x03,
    ProtocolError = 0x04,
    CommandNotSupported = 0x05,
    TooManyImmediateCommands = 0x06,
    TaskInProgress = 0x07,
    InvalidDataAck = 0x08,
    InvalidPduField = 0x09,
    LongOperationReject = 0x0a,
    NegotiationReset = 0x0b,
    WaitingForLogout = 0x0c,
};

/// AsyncEvent codes. Section 11.9.1.
enum class AsyncEvent : std::uint8_t {
    Sense = 0,
    LogoutRequest = 1,
    ConnectionDrop = 2,
    SessionDrop = 3,
    Negotiate = 4,
    Vendor = 255,
};

[[nodiscard]] inline std::uint8_t opcode_of(HeaderView header) noexcept {
    return u8_at<at::kOpcode>(header) & 0x3fU;
}
[[nodiscard]] inline bool is_immediate(HeaderView header) noexcept {
    return (u8_at<at::kOpcode>(header) & bit::kImmediate) != 0;
}
[[nodiscard]] inline std::uint8_t flags_of(HeaderView header) noexcept {
    return u8_at<at::kFlags>(header);
}
[[nodiscard]] constexpr std::size_t padded(std::size_t bytes) noexcept {
    return (bytes + 3) & ~std::size_t{3};
}

/// An all-zero header of a target PDU, with the F bit set.
[[nodiscard]] inline Header start_header(Opcode opcode) noexcept {
    Header header{};
    put_u8<at::kOpcode>(std::span{header}, static_cast<std::uint8_t>(opcode));
    put_u8<at::kFlags>(std::span{header}, bit::kFinal);
    return header;
}

}  // namespace holdfast::target
