#include "initiator/pdu/initiator_pdu.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::initiator {

namespace {

constexpr std::uint8_t kImmediateBit = 0x40;  // Of byte 0, section 11.2.1.1.
constexpr std::uint8_t kFinalBit = 0x80;      // Of byte 1: F, and T of a login.
constexpr std::uint8_t kContinueBit = 0x40;   // Of byte 1: C of text and login.
constexpr std::uint8_t kReadBit = 0x40;       // Of byte 1, section 11.3.1.
constexpr std::uint8_t kWriteBit = 0x20;      // Of byte 1, section 11.3.1.

/// Clears the header and writes the first word and the data length.
void begin(BhsOut out, InitiatorOpcode opcode, std::uint8_t flags,
           std::uint32_t data_bytes = 0) noexcept {
    std::ranges::fill(out, std::byte{0});
    put_u8<0>(out, static_cast<std::uint8_t>(opcode));
    put_u8<1>(out, flags);
    put_be24<5>(out, data_bytes);
}

void put_delivery(BhsOut out, Delivery delivery) noexcept {
    if (delivery == Delivery::Immediate) put_u8<0>(out, u8_at<0>(Bhs{out}) | kImmediateBit);
}

void put_numbers(BhsOut out, CmdSn cmd_sn, StatSn expected_stat_sn) noexcept {
    put_be32<24>(out, cmd_sn.raw());
    put_be32<28>(out, expected_stat_sn.raw());
}

constexpr bool names_lun(TaskFunction function) noexcept {
    return function <= TaskFunction::LogicalUnitReset;
}

constexpr bool names_task(TaskFunction function) noexcept {
    return function == TaskFunction::AbortTask || function == TaskFunction::TaskReassign;
}

}  // namespace

void write(BhsOut out, const ScsiCommandHeader& pdu) noexcept {
    const bool is_write = pdu.direction == DataDirection::Write;
    HF_ASSERT(pdu.itt != kIttReserved);
    HF_ASSERT(pdu.is_final || is_write);                                         // 11.3.1
    HF_ASSERT(pdu.direction != DataDirection::None || pdu.expected_bytes == 0);  // 11.3.1
    HF_ASSERT(pdu.immediate_bytes == 0 || is_write);
    HF_ASSERT(pdu.immediate_bytes <= pdu.expected_bytes);
    HF_ASSERT(pdu.is_final || pdu.immediate_bytes < pdu.expected_bytes);  // 11.3.4

    std::uint8_t flags = static_cast<std::uint8_t>(pdu.attribute);
    if (pdu.is_final) flags |= kFinalBit;
    if (pdu.direction == DataDirection::Read) flags |= kReadBit;
    if (is_write) flags |= kWriteBit;
    begin(out, InitiatorOpcode::ScsiCommand, flags, pdu.immediate_bytes);
    put_delivery(out, pdu.delivery);
    put_be64<8>(out, pdu.lun.raw());
    put_be32<16>(out, pdu.itt.raw());
    put_be32<20>(out, pdu.expected_bytes);
    put_numbers(out, pdu.cmd_sn, pdu.expected_stat_sn);
    std::ranges::copy(pdu.cdb, out.subspan<32, 16>().begin());
}

void write(BhsOut out, const TaskManagementHeader& pdu) noexcept {
    HF_ASSERT(pdu.itt != kIttReserved);
    HF_ASSERT(pdu.function != TaskFunction::TaskReassign ||
              pdu.delivery == Delivery::Immediate);  // 11.5.1
    HF_ASSERT(!names_task(pdu.function) || pdu.referenced_itt != kIttReserved);

    const auto flags =
        static_cast<std::uint8_t>(kFinalBit | static_cast<std::uint8_t>(pdu.function));
    begin(out, InitiatorOpcode::TaskManagementRequest, flags);
    put_delivery(out, pdu.delivery);
    if (names_lun(pdu.function)) put_be64<8>(out, pdu.lun.raw());
    put_be32<16>(out, pdu.itt.raw());
    put_be32<20>(out, (names_task(pdu.function) ? pdu.referenced_itt : kIttReserved).raw());
    put_numbers(out, pdu.cmd_sn, pdu.expected_stat_sn);
    if (pdu.function == TaskFunction::AbortTask) put_be32<32>(out, pdu.referenced_cmd_sn.raw());
    if (pdu.function == TaskFunction::TaskReassign) put_be32<36>(out, pdu.expected_data_sn.raw());
}

void write(BhsOut out, const DataOutHeader& pdu) noexcept {
    HF_ASSERT(pdu.itt != kIttReserved);
    HF_ASSERT(std::uint64_t{pdu.buffer_offset} + pdu.data_bytes <= 0xffff'ffffULL);

    begin(out, InitiatorOpcode::DataOut, pdu.is_final ? kFinalBit : std::uint8_t{0},
          pdu.data_bytes);
    if (pdu.ttt != kTttReserved) put_be64<8>(out, pdu.lun.raw());
    put_be32<16>(out, pdu.itt.raw());
    put_be32<20>(out, pdu.ttt.raw());
    put_be32<28>(out, pdu.expected_stat_sn.raw());
    put_be32<36>(out, pdu.data_sn.raw());
    put_be32<40>(out, pdu.buffer_offset);
}

void write(BhsOut out, const TextRequestHeader& pdu) noexcept {
    HF_ASSERT(pdu.itt != kIttReserved);
    HF_ASSERT(!(pdu.is_final && pdu.is_continued));  // 11.10.2

    std::uint8_t flags = 0;
    if (pdu.is_final) flags |= kFinalBit;
    if (pdu.is_continued) flags |= kContinueBit;
    begin(out, InitiatorOpcode::TextRequest, flags, pdu.data_bytes);
    put_delivery(out, pdu.delivery);
    if (pdu.ttt != kTttReserved) put_be64<8>(out, pdu.lun.raw());
    put_be32<16>(out, pdu.itt.raw());
    put_be32<20>(out, pdu.ttt.raw());
    put_numbers(out, pdu.cmd_sn, pdu.expected_stat_sn);
}

void write(BhsOut out, const LoginRequestHeader& pdu) noexcept {
    HF_ASSERT(pdu.itt != kIttReserved);
    HF_ASSERT(!(pdu.is_transit && pdu.is_continued));  // 11.12.2
    HF_ASSERT(pdu.current_stage != LoginStage::FullFeature);
    HF_ASSERT(!pdu.is_transit || pdu.next_stage > pdu.current_stage);  // 6.3
    HF_ASSERT(pdu.isid.raw() < (1ULL << 48));

    auto flags = static_cast<std::uint8_t>(static_cast<unsigned>(pdu.current_stage) << 2);
    if (pdu.is_transit) flags |= kFinalBit | static_cast<std::uint8_t>(pdu.next_stage);
    if (pdu.is_continued) flags |= kContinueBit;
    begin(out, InitiatorOpcode::LoginRequest, flags, pdu.data_bytes);
    put_delivery(out, Delivery::Immediate);
    put_be64<8>(out, (pdu.isid.raw() << 16) | pdu.tsih.raw());
    put_be32<16>(out, pdu.itt.raw());
    put_be16<20>(out, pdu.cid.raw());
    put_numbers(out, pdu.cmd_sn, pdu.expected_stat_sn);
}

void write(BhsOut out, const LogoutRequestHeader& pdu) noexcept {
    HF_ASSERT(pdu.itt != kIttReserved);

    const auto flags = static_cast<std::uint8_t>(kFinalBit | static_cast<std::uint8_t>(pdu.reason));
    begin(out, InitiatorOpcode::LogoutRequest, flags);
    put_delivery(out, pdu.delivery);
    put_be32<16>(out, pdu.itt.raw());
    if (pdu.reason != LogoutReason::CloseSession) put_be16<20>(out, pdu.cid.raw());
    put_numbers(out, pdu.cmd_sn, pdu.expected_stat_sn);
}

void write(BhsOut out, const SnackHeader& pdu) noexcept {
    using enum SnackType;
    const bool is_resegmented = pdu.type == ResegmentedData;
    const bool is_acknowledgement = pdu.type == DataAck;
    const bool names_command = pdu.type == DataOrR2t || is_resegmented;
    HF_ASSERT(!names_command || pdu.itt != kIttReserved);
    HF_ASSERT(!is_acknowledgement || pdu.ttt != kTttReserved);
    HF_ASSERT(!is_resegmented ||
              (pdu.snack_tag.raw() != 0 && pdu.snack_tag.raw() != kTttReserved.raw()));  // 11.16.5

    const auto flags = static_cast<std::uint8_t>(kFinalBit | static_cast<std::uint8_t>(pdu.type));
    begin(out, InitiatorOpcode::SnackRequest, flags);
    if (is_acknowledgement) put_be64<8>(out, pdu.lun.raw());
    put_be32<16>(out, (names_command ? pdu.itt : kIttReserved).raw());
    std::uint32_t tag = kTttReserved.raw();
    if (is_acknowledgement) tag = pdu.ttt.raw();
    if (is_resegmented) tag = pdu.snack_tag.raw();
    put_be32<20>(out, tag);
    put_be32<28>(out, pdu.expected_stat_sn.raw());
    put_be32<40>(out, is_resegmented ? 0 : pdu.first);
    put_be32<44>(out, is_resegmented || is_acknowledgement ? 0 : pdu.count);
}

void write(BhsOut out, const NopOutHeader& pdu) noexcept {
    const bool is_ping = pdu.itt != kIttReserved;
    const bool is_answer = pdu.ttt != kTttReserved;
    HF_ASSERT(!(is_ping && is_answer));                         // 11.18.2
    HF_ASSERT(is_ping || pdu.delivery == Delivery::Immediate);  // 11.18.1
    HF_ASSERT(is_ping || pdu.data_bytes == 0);

    begin(out, InitiatorOpcode::NopOut, kFinalBit, pdu.data_bytes);
    put_delivery(out, pdu.delivery);
    put_be64<8>(out, pdu.lun.raw());
    put_be32<16>(out, pdu.itt.raw());
    put_be32<20>(out, pdu.ttt.raw());
    put_numbers(out, pdu.cmd_sn, pdu.expected_stat_sn);
}

void patch_cmd_sn(BhsOut out, CmdSn cmd_sn) noexcept {
    const auto opcode = static_cast<InitiatorOpcode>(u8_at<0>(Bhs{out}) & 0x3fU);
    HF_ASSERT(opcode != InitiatorOpcode::DataOut && opcode != InitiatorOpcode::SnackRequest);
    put_be32<24>(out, cmd_sn.raw());
}

}  // namespace holdfast::initiator
