#include "initiator/scsi/sense.h"

#include "base/bytes.h"

namespace holdfast::initiator::scsi {

namespace {

constexpr std::uint8_t kFixedCurrent = 0x70;
constexpr std::uint8_t kFixedDeferred = 0x71;
constexpr std::uint8_t kDescriptorCurrent = 0x72;
constexpr std::uint8_t kDescriptorDeferred = 0x73;
// Descriptor type 00h, information: 12 bytes. SPC-4 section 4.5.2.2.
constexpr std::uint8_t kInformationDescriptor = 0x00;
constexpr std::uint8_t kInformationLength = 0x0a;
constexpr std::uint8_t kValid = 0x80;

/// The byte at `at`, 0 where none arrived.
[[nodiscard]] std::uint8_t u8_or_0(std::span<const std::byte> from, std::size_t at) noexcept {
    return at < from.size() ? std::to_integer<std::uint8_t>(from[at]) : std::uint8_t{0};
}

[[nodiscard]] SenseKey key_of(std::uint8_t byte) noexcept {
    return static_cast<SenseKey>(byte & 0x0fU);
}

/// `sense` cut to what ADDITIONAL SENSE LENGTH admits; the eight bytes before it always count.
[[nodiscard]] std::span<const std::byte> counted(std::span<const std::byte> sense) noexcept {
    const std::size_t says_bytes = std::size_t{8} + u8_or_0(sense, 7);
    return says_bytes < sense.size() ? sense.first(says_bytes) : sense;
}

/// SPC-4 section 4.5.3.
[[nodiscard]] SenseSummary parse_fixed(std::span<const std::byte> sense) noexcept {
    SenseSummary summary{.key = key_of(u8_or_0(sense, 2))};
    if ((u8_or_0(sense, 0) & kValid) != 0 && sense.size() >= 7) {
        summary.information = be32_at<3>(sense.first<7>());
    }
    const auto all = counted(sense);
    summary.asc = u8_or_0(all, 12);
    summary.ascq = u8_or_0(all, 13);
    return summary;
}

/// SPC-4 section 4.5.2.1.
[[nodiscard]] SenseSummary parse_descriptors(std::span<const std::byte> sense) noexcept {
    SenseSummary summary{
        .key = key_of(u8_or_0(sense, 1)), .asc = u8_or_0(sense, 2), .ascq = u8_or_0(sense, 3)};
    const auto all = counted(sense);
    ByteReader reader{all.subspan(all.size() < 8 ? all.size() : 8)};
    while (true) {
        const auto type = reader.try_u8();
        const auto length = reader.try_u8();
        if (!type || !length) break;
        const auto body = reader.try_bytes(*length);
        if (!body) break;
        if (*type != kInformationDescriptor || *length < kInformationLength) continue;
        const auto fields = body->first<kInformationLength>();
        if ((u8_at<0>(fields) & kValid) == 0) continue;
        summary.information = be64_at<2>(fields);
        break;
    }
    return summary;
}

}  // namespace

std::optional<SenseSummary> parse_sense(std::span<const std::byte> sense) noexcept {
    const auto response_code = static_cast<std::uint8_t>(u8_or_0(sense, 0) & 0x7fU);
    const bool is_fixed = response_code == kFixedCurrent || response_code == kFixedDeferred;
    const bool is_descriptor =
        response_code == kDescriptorCurrent || response_code == kDescriptorDeferred;
    if (!is_fixed && !is_descriptor) return {};
    if (sense.size() <= (is_fixed ? 2U : 1U)) return {};
    SenseSummary summary = is_fixed ? parse_fixed(sense) : parse_descriptors(sense);
    summary.is_deferred = response_code == kFixedDeferred || response_code == kDescriptorDeferred;
    return summary;
}

std::optional<std::span<const std::byte>> sense_in_response(
    std::span<const std::byte> data_segment) noexcept {
    ByteReader reader{data_segment};
    const auto sense_bytes = reader.try_be16();
    if (!sense_bytes) return {};
    return reader.try_bytes(*sense_bytes);
}

}  // namespace holdfast::initiator::scsi
