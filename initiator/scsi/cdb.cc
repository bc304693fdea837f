#include "initiator/scsi/cdb.h"

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::initiator::scsi {

namespace {

// Bits of byte 1.
constexpr std::uint8_t kForceUnitAccess = 0x08;
constexpr std::uint8_t kWriteSameUnmap = 0x08;
constexpr std::uint8_t kEnableVitalProductData = 0x01;
constexpr std::uint8_t kDisableBlockDescriptors = 0x08;
// Service actions, in byte 1.
constexpr std::uint8_t kReadCapacity16 = 0x10;
constexpr std::uint8_t kReportSupportedOperations = 0x0c;
constexpr std::uint8_t kReportSupportedTaskFunctions = 0x0d;
// REPORTING OPTIONS 001b: one operation code without a service action.
constexpr std::uint8_t kReportOneOperation = 0x01;

[[nodiscard]] Cdb cdb_of(Operation operation) noexcept {
    Cdb cdb{};
    cdb[0] = std::byte{static_cast<std::uint8_t>(operation)};
    return cdb;
}

[[nodiscard]] std::span<std::byte, 16> fields_of(Cdb& cdb) noexcept {
    return std::span<std::byte, 16>{cdb};
}

[[nodiscard]] std::uint32_t count_of(Extent extent) noexcept {
    HF_ASSERT(extent.blocks.raw() <= 0xffff'ffffU);
    return static_cast<std::uint32_t>(extent.blocks.raw());
}

/// The layout that READ 16, WRITE 16 and WRITE SAME 16 share.
[[nodiscard]] Cdb transfer_16(Operation operation, std::uint8_t flags, Extent extent) noexcept {
    // A count of 0 moves nothing in READ and WRITE, and means "to the end" in WRITE SAME.
    HF_ASSERT(extent.blocks.raw() != 0);
    Cdb cdb = cdb_of(operation);
    put_u8<1>(fields_of(cdb), flags);
    put_be64<2>(fields_of(cdb), extent.lba.raw());
    put_be32<10>(fields_of(cdb), count_of(extent));
    return cdb;
}

}  // namespace

Cdb read_16(Extent extent) noexcept {
    return transfer_16(Operation::Read16, 0, extent);
}

Cdb write_16(Extent extent, Durability durability) noexcept {
    const bool force = durability == Durability::ForceUnitAccess;
    return transfer_16(Operation::Write16, force ? kForceUnitAccess : std::uint8_t{0}, extent);
}

Cdb synchronize_cache_10() noexcept {
    return cdb_of(Operation::SynchronizeCache10);
}

Cdb synchronize_cache_16() noexcept {
    return cdb_of(Operation::SynchronizeCache16);
}

Cdb unmap(std::size_t list_bytes) noexcept {
    HF_ASSERT(list_bytes >= unmap_list_bytes(1) && list_bytes <= 0xffffU);
    Cdb cdb = cdb_of(Operation::Unmap);
    put_be16<7>(fields_of(cdb), static_cast<std::uint16_t>(list_bytes));
    return cdb;
}

std::span<std::byte> put_unmap_list(std::span<std::byte> to,
                                    std::span<const Extent> extents) noexcept {
    const std::size_t total = unmap_list_bytes(extents.size());
    HF_ASSERT(to.size() >= total && total <= 0xffffU);
    ByteWriter writer{to};
    writer.be16(static_cast<std::uint16_t>(total - 2));  // Counts what follows it.
    writer.be16(static_cast<std::uint16_t>(total - 8));
    writer.be32(0);
    for (const Extent& extent : extents) {
        writer.be64(extent.lba.raw());
        writer.be32(count_of(extent));
        writer.be32(0);
    }
    HF_ASSERT(!writer.overflowed() && writer.used_bytes() == total);
    return writer.written();
}

Cdb write_same_16(Extent extent, Deallocation deallocation) noexcept {
    const bool may_unmap = deallocation == Deallocation::Unmap;
    return transfer_16(Operation::WriteSame16, may_unmap ? kWriteSameUnmap : std::uint8_t{0},
                       extent);
}

Cdb test_unit_ready() noexcept {
    return cdb_of(Operation::TestUnitReady);
}

Cdb inquiry(std::uint16_t allocation_bytes) noexcept {
    Cdb cdb = cdb_of(Operation::Inquiry);
    put_be16<3>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb inquiry_page(std::uint8_t page, std::uint16_t allocation_bytes) noexcept {
    Cdb cdb = inquiry(allocation_bytes);
    put_u8<1>(fields_of(cdb), kEnableVitalProductData);
    put_u8<2>(fields_of(cdb), page);
    return cdb;
}

Cdb read_capacity_16(std::uint32_t allocation_bytes) noexcept {
    Cdb cdb = cdb_of(Operation::ServiceActionIn16);
    put_u8<1>(fields_of(cdb), kReadCapacity16);
    put_be32<10>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb report_luns(std::uint32_t allocation_bytes) noexcept {
    HF_ASSERT(allocation_bytes >= 16);  // SPC-4 section 6.33: less is an error.
    Cdb cdb = cdb_of(Operation::ReportLuns);
    put_be32<6>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb mode_sense_6(std::uint8_t page, std::uint8_t allocation_bytes) noexcept {
    HF_ASSERT(page <= 0x3f);
    Cdb cdb = cdb_of(Operation::ModeSense6);
    put_u8<1>(fields_of(cdb), kDisableBlockDescriptors);
    put_u8<2>(fields_of(cdb), page);
    put_u8<4>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb mode_sense_10(std::uint8_t page, std::uint16_t allocation_bytes) noexcept {
    HF_ASSERT(page <= 0x3f);
    Cdb cdb = cdb_of(Operation::ModeSense10);
    put_u8<1>(fields_of(cdb), kDisableBlockDescriptors);
    put_u8<2>(fields_of(cdb), page);
    put_be16<7>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb report_supported_operation(Operation operation, std::uint32_t allocation_bytes) noexcept {
    Cdb cdb = cdb_of(Operation::MaintenanceIn);
    put_u8<1>(fields_of(cdb), kReportSupportedOperations);
    put_u8<2>(fields_of(cdb), kReportOneOperation);
    put_u8<3>(fields_of(cdb), static_cast<std::uint8_t>(operation));
    put_be32<6>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb report_supported_task_functions(std::uint32_t allocation_bytes) noexcept {
    Cdb cdb = cdb_of(Operation::MaintenanceIn);
    put_u8<1>(fields_of(cdb), kReportSupportedTaskFunctions);
    put_be32<6>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb persistent_reserve_in(ReserveIn action, std::uint16_t allocation_bytes) noexcept {
    Cdb cdb = cdb_of(Operation::PersistentReserveIn);
    put_u8<1>(fields_of(cdb), static_cast<std::uint8_t>(action));
    put_be16<7>(fields_of(cdb), allocation_bytes);
    return cdb;
}

Cdb persistent_reserve_out(ReserveOut action) noexcept {
    const bool has_type = action == ReserveOut::Reserve || action == ReserveOut::PreemptAndAbort;
    Cdb cdb = cdb_of(Operation::PersistentReserveOut);
    put_u8<1>(fields_of(cdb), static_cast<std::uint8_t>(action));
    put_u8<2>(fields_of(cdb), has_type ? kWriteExclusiveRegistrantsOnly : std::uint8_t{0});
    put_be32<5>(fields_of(cdb), std::uint32_t{kReserveOutListBytes});
    return cdb;
}

ReserveOutList reserve_out_list(std::uint64_t own, std::uint64_t other) noexcept {
    ReserveOutList list{};
    const std::span<std::byte, kReserveOutListBytes> fields{list};
    put_be64<0>(fields, own);
    put_be64<8>(fields, other);
    return list;
}

}  // namespace holdfast::initiator::scsi
