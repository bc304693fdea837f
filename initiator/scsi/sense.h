/// Sense data: why a command did not simply succeed. SPC-4 section 4.5; RFC 7143 section 11.4.7.
/// Every length in it comes from the target and is believed only as far as bytes arrived.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace holdfast::initiator::scsi {

/// SPC-4 table 48.
enum class SenseKey : std::uint8_t {
    NoSense = 0x0,
    RecoveredError = 0x1,
    NotReady = 0x2,
    MediumError = 0x3,
    HardwareError = 0x4,
    IllegalRequest = 0x5,
    UnitAttention = 0x6,
    DataProtect = 0x7,
    BlankCheck = 0x8,
    VendorSpecific = 0x9,
    CopyAborted = 0xa,
    AbortedCommand = 0xb,
    Reserved = 0xc,
    VolumeOverflow = 0xd,
    Miscompare = 0xe,
    Completed = 0xf,
};

/// What we use of sense data, whatever its format. Fields that did not arrive are 0.
struct SenseSummary {
    SenseKey key = SenseKey::NoSense;
    std::uint8_t asc = 0;
    std::uint8_t ascq = 0;
    /// 71h or 73h: it is about an earlier command, for instance a cached write that was lost later.
    /// The command that carries it was not executed. SPC-4 section 4.5.7.
    bool is_deferred = false;
    std::optional<std::uint64_t> information{};  ///< For block commands: the first bad LBA.

    /// Additional sense code and qualifier in one number: 2Ah/09h is 0x2a09.
    [[nodiscard]] constexpr std::uint16_t code() const noexcept {
        return static_cast<std::uint16_t>((asc << 8) | ascq);
    }
    /// As notices carry it: key << 16 | asc << 8 | ascq.
    [[nodiscard]] constexpr std::uint32_t for_notice() const noexcept {
        return (std::uint32_t{static_cast<std::uint8_t>(key)} << 16) | code();
    }
    constexpr bool operator==(const SenseSummary&) const noexcept = default;
};

/// Reads fixed (70h, 71h) and descriptor (72h, 73h) sense of any length. Empty when not even the
/// sense key arrived, or when the format is none of the four.
[[nodiscard]] std::optional<SenseSummary> parse_sense(std::span<const std::byte> sense) noexcept;

/// The sense bytes inside the data segment of a SCSI Response: two bytes SenseLength, then the
/// sense. Empty when fewer bytes arrived than SenseLength says, which is a format error
/// (conformance RSP-03). A SenseLength of 0 gives an empty span. RFC 7143 section 11.4.7.
[[nodiscard]] std::optional<std::span<const std::byte>> sense_in_response(
    std::span<const std::byte> data_segment) noexcept;

}  // namespace holdfast::initiator::scsi
