/// What the target told us about the logical unit. SPC-4, SBC-3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.h"
#include "base/strong.h"

namespace holdfast::initiator {

/// An answer to a question that not every unit understands.
enum class Told : std::uint8_t { Nothing, No, Yes };

/// Filled by the probe after the first login; read again and compared after every later one
/// (conformance SER-08). Block counts are in the unit's own blocks; 0 means "not reported" unless
/// said otherwise.
struct DeviceFacts {
    std::uint32_t block_bytes = 0;             ///< READ CAPACITY 16: 512..4096, a power of two.
    std::uint64_t blocks = 0;                  ///< READ CAPACITY 16: last LBA plus one.
    std::uint8_t physical_block_exponent = 0;  ///< Physical block = block_bytes << this.
    std::uint16_t lowest_aligned_lba = 0;
    std::uint32_t transfer_blocks_max = 0;      ///< VPD B0.
    std::uint32_t transfer_blocks_optimal = 0;  ///< VPD B0.
    std::uint32_t unmap_blocks_max = 0;         ///< VPD B0; 0: no UNMAP.
    std::uint32_t unmap_descriptors_max = 0;    ///< VPD B0.
    std::uint32_t unmap_granularity = 0;        ///< VPD B0.
    std::uint32_t unmap_alignment = 0;          ///< VPD B0, valid when unmap_granularity is not 0.
    std::uint64_t write_same_blocks_max = 0;    ///< VPD B0; 0 with can_write_same: no limit given.
    bool can_unmap = false;                     ///< VPD B2 LBPU.
    bool can_write_same = false;                ///< WRITE SAME 16 is usable.
    bool can_write_same_unmap = false;          ///< VPD B2 LBPWS.
    bool unmapped_reads_zero = false;           ///< READ CAPACITY 16 LBPRZ or VPD B2.
    bool rotational = false;                    ///< VPD B1 gives a rate in revolutions a minute.
    bool write_cache = true;  ///< MODE SENSE caching page WCE; assumed when the unit does not tell.
    bool can_force_unit_access = false;  ///< MODE SENSE DPOFUA.
    bool read_only = false;              ///< MODE SENSE WP.
    Told unit_reset = Told::Nothing;     ///< REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS: LURS.
    FixedString<8> vendor;               ///< Printable ASCII, trailing blanks cut.
    FixedString<16> product;
    FixedString<4> revision;
    FixedString<64> serial;            ///< VPD 80, printable ASCII.
    std::uint8_t designator_type = 0;  ///< VPD 83: 3 NAA, 2 EUI-64, 8 name string, 1 T10; 0 none.
    FixedString<128> designator;       ///< VPD 83 in text form: lower-case hex, or the name string.

    constexpr bool operator==(const DeviceFacts&) const noexcept = default;
};

}  // namespace holdfast::initiator
