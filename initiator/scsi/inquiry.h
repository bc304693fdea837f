/// INQUIRY: the standard data and the vital product data pages. SPC-4 sections 6.6 and 7.8, SBC-3
/// section 6.6. Views over what arrived; a page that says it is longer than that is cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"

namespace holdfast::initiator::scsi {

/// VPD page codes that we ask for.
enum class VpdPage : std::uint8_t {
    SupportedPages = 0x00,
    UnitSerialNumber = 0x80,
    DeviceIdentification = 0x83,
    BlockLimits = 0xb0,
    BlockDeviceCharacteristics = 0xb1,
    LogicalBlockProvisioning = 0xb2,
};

/// SPC-4 table 175.
enum class PeripheralQualifier : std::uint8_t {
    Connected = 0,
    NotConnectedNow = 1,  ///< The target could have a unit here, and has none at the moment.
    NoSuchUnit = 3,
};

struct StandardInquiry {
    std::uint8_t qualifier = 0;    ///< PeripheralQualifier, or a value that we do not know.
    std::uint8_t device_type = 0;  ///< 0: direct access block device.
    std::uint8_t version = 0;
    FixedString<8> vendor;
    FixedString<16> product;
    FixedString<4> revision;
};

/// Empty when fewer than 5 bytes arrived. Text that did not arrive is empty.
[[nodiscard]] std::optional<StandardInquiry> parse_standard_inquiry(
    std::span<const std::byte> data) noexcept;

/// The body of a VPD page, after its four-byte header. Empty when the header did not arrive or
/// names another page.
[[nodiscard]] std::optional<std::span<const std::byte>> vpd_body(std::span<const std::byte> data,
                                                                 VpdPage page) noexcept;

/// Which pages the unit has; body of page 00h.
[[nodiscard]] bool vpd_lists(std::span<const std::byte> supported_pages_body,
                             VpdPage page) noexcept;

/// Body of page 80h: printable ASCII, blanks cut at both ends.
[[nodiscard]] FixedString<64> parse_serial_number(std::span<const std::byte> body) noexcept;

/// A name for the logical unit. SPC-4 section 7.8.6.
struct Designator {
    std::uint8_t type = 0;  ///< 3 NAA, 2 EUI-64, 8 SCSI name string, 1 T10 vendor; 0: none found.
    FixedString<128> text;  ///< Lower-case hex, or the text itself; of longer ones the end.
};

/// Body of page 83h: the best designator of the logical unit itself: NAA, then EUI-64, then name
/// string, then T10; of one type the longest, then the first.
[[nodiscard]] Designator best_designator(std::span<const std::byte> body) noexcept;

/// Page B0h. 0: not reported. SBC-3 section 6.6.4.
struct BlockLimits {
    std::uint16_t transfer_granularity_blocks = 0;
    std::uint32_t transfer_blocks_max = 0;
    std::uint32_t transfer_blocks_optimal = 0;
    std::uint32_t unmap_blocks_max = 0;
    std::uint32_t unmap_descriptors_max = 0;
    std::uint32_t unmap_granularity = 0;
    std::uint32_t unmap_alignment = 0;  ///< Only with UGAVALID.
    std::uint64_t write_same_blocks_max = 0;
};
[[nodiscard]] BlockLimits parse_block_limits(std::span<const std::byte> body) noexcept;

/// Body of page B1h: revolutions per minute; 0 not reported, 1 does not rotate.
[[nodiscard]] std::uint16_t parse_rotation_rate(std::span<const std::byte> body) noexcept;

/// Page B2h. SBC-3 section 6.6.6.
struct Provisioning {
    bool unmap = false;             ///< LBPU
    bool write_same_unmap = false;  ///< LBPWS: WRITE SAME 16 with the UNMAP bit.
    bool reads_zero = false;        ///< LBPRZ: unmapped blocks read as zeroes.
};
[[nodiscard]] Provisioning parse_provisioning(std::span<const std::byte> body) noexcept;

}  // namespace holdfast::initiator::scsi
