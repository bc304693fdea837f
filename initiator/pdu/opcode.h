/// Opcodes and the fields that stand at the same place in every header. RFC 7143 section 11.2.1.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "initiator/pdu/types.h"
#include "initiator/pdu/violation.h"

namespace holdfast::initiator {

/// What an initiator may send. Section 11.2.1.2.
enum class InitiatorOpcode : std::uint8_t {
    NopOut = 0x00,
    ScsiCommand = 0x01,
    TaskManagementRequest = 0x02,
    LoginRequest = 0x03,
    TextRequest = 0x04,
    DataOut = 0x05,
    LogoutRequest = 0x06,
    SnackRequest = 0x10,
};

/// What a target may send. Section 11.2.1.2.
enum class TargetOpcode : std::uint8_t {
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

/// The opcode of a received header. Bits 0 and 1 of the first byte are reserved and ignored.
/// OpcodeUnassigned also for an initiator's and for a vendor's opcode; AhsInResponse when the
/// header announces additional segments, which no response has. Nothing else is judged.
[[nodiscard]] std::expected<TargetOpcode, Violation> opcode_of(Bhs bhs) noexcept;

/// The length of the data segment without padding and digests, bytes. Section 11.2.1.6.
[[nodiscard]] inline std::uint32_t data_segment_bytes(Bhs bhs) noexcept {
    return be24_at<5>(bhs);
}

/// The length of the additional header segments, bytes. Section 11.2.1.5.
[[nodiscard]] inline std::uint32_t ahs_bytes(Bhs bhs) noexcept {
    return std::uint32_t{u8_at<4>(bhs)} * 4U;
}

/// The initiator task tag, which stands at the same place in every header. Section 11.2.1.8.
[[nodiscard]] inline Itt task_tag_of(Bhs bhs) noexcept {
    return Itt{be32_at<16>(bhs)};
}

/// The numbers that a target sends along. Section 4.2.2. Which of them mean something depends on
/// the PDU: StatSN has no meaning in a Data-In without S, and is only announced, not counted, in an
/// R2T and in a NOP-In without a task tag (sections 11.7.3, 11.8.3, 11.19.2).
struct TargetNumbers {
    StatSn stat_sn{};
    CmdSn expected_cmd_sn{};
    CmdSn max_cmd_sn{};
};

/// They stand at the same place in every PDU of a target. Section 11.
[[nodiscard]] inline TargetNumbers target_numbers(Bhs bhs) noexcept {
    return {.stat_sn = StatSn{be32_at<24>(bhs)},
            .expected_cmd_sn = CmdSn{be32_at<28>(bhs)},
            .max_cmd_sn = CmdSn{be32_at<32>(bhs)}};
}

}  // namespace holdfast::initiator
