#include "stress/target/unit.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::target {
namespace {

constexpr std::size_t kUnmapHeaderBytes = 8;
constexpr std::size_t kUnmapDescriptorBytes = 16;
constexpr std::uint32_t kReserveListBytesMax = 4096;

bool is_all_zero(Bytes bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

std::array<std::byte, 18> fixed_sense(const Sense& sense) {
    std::array<std::byte, 18> out{};
    const std::span field{out};
    put_u8<0>(field, static_cast<std::uint8_t>(0x70U | (sense.information ? 0x80U : 0U)));
    put_u8<2>(field, sense.key);
    put_be32<3>(field, sense.information.value_or(0));
    put_u8<7>(field, 10);
    put_u8<12>(field, sense.asc);
    put_u8<13>(field, sense.ascq);
    return out;
}

bool LogicalUnit::in_range(const BlockCommand& command) const {
    const std::uint64_t total = disk_.block_count();
    return command.lba <= total && command.blocks <= total - command.lba &&
           (command.lba < total || command.blocks == 0);
}

Plan LogicalUnit::plan_block(const BlockCommand& command) const {
    const std::uint64_t bytes = command.blocks * disk_.block_bytes();
    const bool changes =
        command.action != BlockAction::Read && command.action != BlockAction::Verify &&
        command.action != BlockAction::SyncCache && command.action != BlockAction::Prefetch;
    if (command.protect != 0) return {.refusal = kInvalidFieldInCdb};
    if (command.lba >= disk_.block_count() || !in_range(command))
        return {.refusal = kLbaOutOfRange};
    if (changes && config_.read_only) return {.refusal = kWriteProtected};
    switch (command.action) {
    case BlockAction::Read:
        if (bytes > kTransferBytesMax) return {.refusal = kInvalidFieldInCdb};
        return {};
    case BlockAction::SyncCache:
    case BlockAction::Prefetch: return {};
    case BlockAction::Verify:
        if (command.byte_check == 0) return {};
        if (command.byte_check == 2) return {.refusal = kInvalidFieldInCdb};
        if (bytes > kTransferBytesMax) return {.refusal = kInvalidFieldInCdb};
        return {.out_bytes = command.byte_check == 3 ? disk_.block_bytes() : bytes};
    case BlockAction::Write:
    case BlockAction::WriteVerify:
    case BlockAction::OrWrite:
        if (command.byte_check > 1) return {.refusal = kInvalidFieldInCdb};
        if (bytes > kTransferBytesMax) return {.refusal = kInvalidFieldInCdb};
        return {.out_bytes = bytes};
    case BlockAction::WriteSame:
        if (command.anchor || (command.unmap && !config_.thin) || command.blocks > kUnmapBlocksMax)
            return {.refusal = kInvalidFieldInCdb};
        return {.out_bytes = command.no_data_out ? 0 : disk_.block_bytes(),
                .refusal = {},
                .exact = !command.no_data_out};
    case BlockAction::CompareAndWrite:
        if (command.blocks > kCompareBlocksMax) return {.refusal = kInvalidFieldInCdb};
        return {.out_bytes = 2 * bytes, .refusal = {}, .exact = true};
    }
    return {.refusal = kInvalidOpcode};
}

bool LogicalUnit::is_reserved_against(const Nexus& nexus, CdbView cdb) const {
    using Access = Reservations::Access;
    const std::uint8_t opcode = u8_at<0>(cdb);
    if (const auto command = parse_block_command(cdb)) {
        const bool reads = command->action == BlockAction::Read ||
                           command->action == BlockAction::Verify ||
                           command->action == BlockAction::Prefetch;
        return reservations_.conflicts(nexus, reads ? Access::Read : Access::Write);
    }
    if (opcode == scsi_op::kUnmap) return reservations_.conflicts(nexus, Access::Write);
    const bool is_mode = opcode == scsi_op::kModeSense6 || opcode == scsi_op::kModeSense10;
    return is_mode && reservations_.conflicts(nexus, Access::Read);
}

Plan LogicalUnit::plan(CdbView cdb) const {
    if (const auto command = parse_block_command(cdb)) return plan_block(*command);
    switch (u8_at<0>(cdb)) {
    case scsi_op::kUnmap:
        if (!config_.thin) return {.refusal = kInvalidOpcode};
        if (config_.read_only) return {.refusal = kWriteProtected};
        if ((u8_at<1>(cdb) & 1U) != 0) return {.refusal = kInvalidFieldInCdb};
        return {.out_bytes = be16_at<7>(cdb)};
    case scsi_op::kPersistentReserveOut:
        if (be32_at<5>(cdb) > kReserveListBytesMax) return {.refusal = kParameterLength};
        return {.out_bytes = be32_at<5>(cdb)};
    case scsi_op::kPersistentReserveIn:
    case scsi_op::kMaintenanceIn:
    case scsi_op::kTestUnitReady:
    case scsi_op::kRequestSense:
    case scsi_op::kInquiry:
    case scsi_op::kModeSense6:
    case scsi_op::kModeSense10:
    case scsi_op::kReadCapacity10:
    case scsi_op::kServiceActionIn16:
    case scsi_op::kStartStopUnit:
    case scsi_op::kPreventAllow: return {};
    default: return {.refusal = kInvalidOpcode};
    }
}

Outcome LogicalUnit::write(const BlockCommand& command, Bytes data_out) {
    // Whole blocks only: an initiator that offers less than it announced gets the rest unwritten.
    const std::uint64_t whole = data_out.size() / disk_.block_bytes() * disk_.block_bytes();
    const bool durable = command.fua || command.action == BlockAction::WriteVerify;
    disk_.write(command.lba, data_out.first(whole), durable);
    return {};
}

Outcome LogicalUnit::verify(const BlockCommand& command, Bytes data_out) {
    if (command.byte_check == 0) return {};
    const std::uint64_t block = disk_.block_bytes();
    for (std::uint64_t i = 0; i < command.blocks; ++i) {
        const std::uint64_t offset = command.byte_check == 3 ? 0 : i * block;
        if (data_out.size() < offset + block) break;
        const Bytes wanted = data_out.subspan(offset, block);
        const Bytes present = disk_.view(command.lba + i, 1);
        const auto differ = std::ranges::mismatch(wanted, present);
        if (differ.in1 == wanted.end()) continue;
        const auto within = static_cast<std::uint64_t>(differ.in1 - wanted.begin());
        return Outcome::check(
            {sense_key::kMiscompare, 0x1d, 0x00, static_cast<std::uint32_t>(i * block + within)});
    }
    return {};
}

Outcome LogicalUnit::write_same(const BlockCommand& command, Bytes data_out) {
    const std::uint64_t blocks =
        command.blocks == 0 ? disk_.block_count() - command.lba : command.blocks;
    if (blocks > kUnmapBlocksMax) return Outcome::check(kInvalidFieldInCdb);
    if (!command.no_data_out && data_out.size() < disk_.block_bytes())
        return Outcome::check(kInvalidFieldInCdb);
    if (command.no_data_out || (command.unmap && is_all_zero(data_out))) {
        disk_.discard(command.lba, blocks);
        return {};
    }
    const Bytes pattern = data_out.first(disk_.block_bytes());
    for (std::uint64_t i = 0; i < blocks; ++i) disk_.write(command.lba + i, pattern, false);
    return {};
}

Outcome LogicalUnit::compare_and_write(const BlockCommand& command, Bytes data_out) {
    const std::uint64_t bytes = command.blocks * disk_.block_bytes();
    if (data_out.size() < 2 * bytes) return Outcome::check(kInvalidFieldInCdb);
    BlockCommand compare = command;
    compare.byte_check = 1;
    Outcome outcome = verify(compare, data_out.first(bytes));
    if (outcome.status != ScsiStatus::Good) return outcome;
    disk_.write(command.lba, data_out.subspan(bytes, bytes), command.fua);
    return {};
}

Outcome LogicalUnit::or_write(const BlockCommand& command, Bytes data_out) {
    const std::uint64_t whole = data_out.size() / disk_.block_bytes();
    const Bytes present = disk_.view(command.lba, whole);
    std::vector<std::byte> merged(present.size());
    std::ranges::transform(present, data_out.first(present.size()), merged.begin(),
                           [](std::byte a, std::byte b) { return a | b; });
    disk_.write(command.lba, merged, command.fua);
    return {};
}

Outcome LogicalUnit::run_block(const BlockCommand& command, Bytes data_out) {
    switch (command.action) {
    case BlockAction::Read:
        if (command.fua) disk_.flush(command.lba, command.blocks);
        return Outcome{.borrowed = disk_.view(command.lba, command.blocks)};
    case BlockAction::Write: return write(command, data_out);
    case BlockAction::WriteVerify: return write(command, data_out);
    case BlockAction::Verify: return verify(command, data_out);
    case BlockAction::WriteSame: return write_same(command, data_out);
    case BlockAction::SyncCache:
        disk_.flush(command.lba,
                    command.blocks == 0 ? disk_.block_count() - command.lba : command.blocks);
        return {};
    case BlockAction::Prefetch: return {};
    case BlockAction::CompareAndWrite: return compare_and_write(command, data_out);
    case BlockAction::OrWrite: return or_write(command, data_out);
    }
    return Outcome::check(kInvalidOpcode);
}

Outcome LogicalUnit::unmap(Bytes parameters) {
    if (parameters.empty()) return {};
    if (parameters.size() < kUnmapHeaderBytes) return Outcome::check(kParameterLength);
    const std::uint64_t listed = be16_at<2>(parameters.first<kUnmapHeaderBytes>());
    Bytes descriptors = parameters.subspan(kUnmapHeaderBytes);
    descriptors = descriptors.first(std::min<std::uint64_t>(listed, descriptors.size()));
    if (descriptors.size() / kUnmapDescriptorBytes > kUnmapDescriptorsMax)
        return Outcome::check(kInvalidParameter);
    std::vector<BlockCommand> ranges;
    std::uint64_t total = 0;
    for (; descriptors.size() >= kUnmapDescriptorBytes;
         descriptors = descriptors.subspan(kUnmapDescriptorBytes)) {
        const auto descriptor = descriptors.first<kUnmapDescriptorBytes>();
        const BlockCommand range{.lba = be64_at<0>(descriptor), .blocks = be32_at<8>(descriptor)};
        total += range.blocks;
        if (!in_range(range)) return Outcome::check(kLbaOutOfRange);
        ranges.push_back(range);
    }
    if (total > kUnmapBlocksMax) return Outcome::check(kInvalidParameter);
    for (const BlockCommand& range : ranges) disk_.discard(range.lba, range.blocks);
    return {};
}

Outcome LogicalUnit::run(CdbView cdb, Bytes data_out) {
    if (const auto command = parse_block_command(cdb)) return run_block(*command, data_out);
    switch (u8_at<0>(cdb)) {
    case scsi_op::kTestUnitReady:
    case scsi_op::kStartStopUnit:
    case scsi_op::kPreventAllow: return {};
    case scsi_op::kRequestSense: {
        const auto sense = fixed_sense(Sense{});
        const auto part = Bytes{sense}.first(std::min<std::size_t>(u8_at<4>(cdb), sense.size()));
        return Outcome{.reply = {part.begin(), part.end()}};
    }
    case scsi_op::kInquiry: return inquiry(cdb);
    case scsi_op::kModeSense6:
    case scsi_op::kModeSense10: return mode_sense(cdb);
    case scsi_op::kReadCapacity10: return read_capacity_10();
    case scsi_op::kServiceActionIn16: return service_action_in(cdb);
    case scsi_op::kUnmap: return unmap(data_out);
    case scsi_op::kPersistentReserveIn: return reservations_.in(cdb);
    case scsi_op::kMaintenanceIn: return maintenance_in(cdb);
    default: return Outcome::check(kInvalidOpcode);
    }
}

}  // namespace holdfast::target
