/// Size, modes and known operations of a block device. SBC-3 sections 5.16.2 and 6.5, SPC-4
/// sections 6.11, 6.12 and 6.35.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "initiator/device_facts.h"

namespace holdfast::initiator::scsi {

/// Parameter data of READ CAPACITY (16). SBC-4 section 5.21.2.
inline constexpr std::uint32_t kCapacityBytes = 32;

/// Parameter data of READ CAPACITY 16, as the unit sent it: nothing in it is judged.
struct Capacity {
    std::uint64_t last_lba = 0;
    std::uint32_t block_bytes = 0;
    std::uint8_t physical_block_exponent = 0;
    std::uint16_t lowest_aligned_lba = 0;
    bool thin = false;        ///< LBPME
    bool reads_zero = false;  ///< LBPRZ
};

/// Empty when fewer than 12 bytes arrived: without size and block length there is no device.
[[nodiscard]] std::optional<Capacity> parse_capacity_16(std::span<const std::byte> data) noexcept;

/// True when we can be a disk of that size: 512..4096 bytes a block, a power of two, at least one
/// block, and less than 2^63 bytes in all.
[[nodiscard]] bool is_usable(const Capacity& capacity) noexcept;

/// What we use of the mode parameters. A value that did not arrive is empty.
struct Modes {
    bool write_protected = false;       ///< WP of the header.
    bool force_unit_access = false;     ///< DPOFUA of the header.
    std::optional<bool> write_cache{};  ///< WCE of the caching page.
};

inline constexpr std::uint8_t kModePageCaching = 0x08;
inline constexpr std::uint8_t kModePageAll = 0x3f;

/// Parameter data of MODE SENSE 6 and 10. Empty when the header did not arrive. Pages that run
/// beyond the data end the search.
[[nodiscard]] std::optional<Modes> parse_modes_6(std::span<const std::byte> data) noexcept;
[[nodiscard]] std::optional<Modes> parse_modes_10(std::span<const std::byte> data) noexcept;

/// Answer of REPORT SUPPORTED OPERATION CODES for one operation: does the unit know it?
[[nodiscard]] bool parse_is_supported(std::span<const std::byte> data) noexcept;

/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS: is LOGICAL UNIT RESET among them? SPC-4
/// section 6.36.
[[nodiscard]] Told parse_unit_reset(std::span<const std::byte> data) noexcept;

}  // namespace holdfast::initiator::scsi
