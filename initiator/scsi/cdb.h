/// Command descriptor blocks: what we ask of a logical unit. SPC-4 section 6, SBC-3 section 5.
/// Builders only; unused bytes are 0 (RFC 7143 section 11.3.5).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/strong.h"

namespace holdfast::initiator::scsi {

/// As it stands in bytes 32..47 of a SCSI Command PDU. RFC 7143 section 11.3.5.
using Cdb = std::array<std::byte, 16>;

/// Operation codes, as the first byte of a Cdb.
enum class Operation : std::uint8_t {
    TestUnitReady = 0x00,
    Inquiry = 0x12,
    ModeSense6 = 0x1a,
    SynchronizeCache10 = 0x35,
    Unmap = 0x42,
    ModeSense10 = 0x5a,
    PersistentReserveIn = 0x5e,
    PersistentReserveOut = 0x5f,
    Read16 = 0x88,
    Write16 = 0x8a,
    SynchronizeCache16 = 0x91,
    WriteSame16 = 0x93,
    ServiceActionIn16 = 0x9e,
    ReportLuns = 0xa0,
    MaintenanceIn = 0xa3,
};

/// READ, WRITE, WRITE SAME and UNMAP count blocks in 32 bits. An extent beyond that is our bug.
struct Extent {
    Lba lba{};
    BlockCount blocks{};
};

[[nodiscard]] Cdb read_16(Extent extent) noexcept;
/// Force unit access: status comes after the data is on the medium. Needs DeviceFacts'
/// can_force_unit_access.
enum class Durability : std::uint8_t { Cached, ForceUnitAccess };
[[nodiscard]] Cdb write_16(Extent extent, Durability durability) noexcept;

/// The whole unit. Every disk with a cache knows this one; ask it first.
[[nodiscard]] Cdb synchronize_cache_10() noexcept;
/// The whole unit, for those that refuse the short form with 20h/00h.
[[nodiscard]] Cdb synchronize_cache_16() noexcept;

/// Bytes of a parameter list for UNMAP with `extents` descriptors. SBC-3 section 5.28.
[[nodiscard]] constexpr std::size_t unmap_list_bytes(std::size_t extents) noexcept {
    return 8 + 16 * extents;
}
inline constexpr std::size_t kUnmapListBytesOne = 24;
static_assert(unmap_list_bytes(1) == kUnmapListBytesOne);

[[nodiscard]] Cdb unmap(std::size_t list_bytes) noexcept;
/// Writes the parameter list; `to` must hold unmap_list_bytes(extents.size()). Returns that part of
/// `to`.
std::span<std::byte> put_unmap_list(std::span<std::byte> to,
                                    std::span<const Extent> extents) noexcept;

/// WRITE SAME with one block of zeroes as data-out. NDOB (no data-out buffer) is never used: units
/// that predate SBC-3 take the bit for reserved and wait for the block.
enum class Deallocation : std::uint8_t { Keep, Unmap };
[[nodiscard]] Cdb write_same_16(Extent extent, Deallocation deallocation) noexcept;

[[nodiscard]] Cdb test_unit_ready() noexcept;
[[nodiscard]] Cdb inquiry(std::uint16_t allocation_bytes) noexcept;
[[nodiscard]] Cdb inquiry_page(std::uint8_t page, std::uint16_t allocation_bytes) noexcept;
[[nodiscard]] Cdb read_capacity_16(std::uint32_t allocation_bytes) noexcept;
[[nodiscard]] Cdb report_luns(std::uint32_t allocation_bytes) noexcept;
/// Current values of one page, without block descriptors.
[[nodiscard]] Cdb mode_sense_6(std::uint8_t page, std::uint8_t allocation_bytes) noexcept;
[[nodiscard]] Cdb mode_sense_10(std::uint8_t page, std::uint16_t allocation_bytes) noexcept;
/// Asks whether the unit knows one operation code. SPC-4 section 6.35.
[[nodiscard]] Cdb report_supported_operation(Operation operation,
                                             std::uint32_t allocation_bytes) noexcept;

/// Asks which task management functions the unit knows. SPC-4 section 6.36.
[[nodiscard]] Cdb report_supported_task_functions(std::uint32_t allocation_bytes) noexcept;

/// Service actions of PERSISTENT RESERVE IN. SPC-4 section 6.15.
enum class ReserveIn : std::uint8_t { ReadKeys = 0, ReadReservation = 1, ReportCapabilities = 2 };
[[nodiscard]] Cdb persistent_reserve_in(ReserveIn action, std::uint16_t allocation_bytes) noexcept;

/// Service actions of PERSISTENT RESERVE OUT that we use. SPC-4 section 6.16.
enum class ReserveOut : std::uint8_t {
    Register = 0,
    Reserve = 1,
    PreemptAndAbort = 5,
    RegisterAndIgnoreExistingKey = 6,
};
/// Write Exclusive, Registrants Only: who is registered writes, everybody reads. Scope: the unit.
inline constexpr std::uint8_t kWriteExclusiveRegistrantsOnly = 5;
/// With a parameter list of kReserveOutListBytes; the type counts where something is reserved.
[[nodiscard]] Cdb persistent_reserve_out(ReserveOut action) noexcept;
inline constexpr std::size_t kReserveOutListBytes = 24;
using ReserveOutList = std::array<std::byte, kReserveOutListBytes>;
/// `own`: the key that we are registered with, 0 for none. `other`: the key that the action is
/// about. Registrations end with the target's power (APTPL is 0).
[[nodiscard]] ReserveOutList reserve_out_list(std::uint64_t own, std::uint64_t other) noexcept;

}  // namespace holdfast::initiator::scsi
