#include "initiator/scsi/lun.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::initiator::scsi {

namespace {

// Addressing methods in the first bits of the LUN. SAM-5 section 4.7.7.
constexpr std::uint64_t kMethodMask = 0xc000'0000'0000'0000U;
constexpr std::uint64_t kPeripheral = 0x0000'0000'0000'0000U;
constexpr std::uint64_t kFlat = 0x4000'0000'0000'0000U;
// Extended flat with a length field of 01b: 24 bits after the first byte.
constexpr std::uint64_t kExtendedFlat = 0xd200'0000'0000'0000U;
constexpr std::uint64_t kExtendedMask = 0xff00'0000'0000'0000U;

constexpr std::uint32_t kPeripheralNumbers = 1U << 8;
constexpr std::uint32_t kFlatNumbers = 1U << 14;
constexpr std::uint32_t kExtendedNumbers = 1U << 24;

constexpr std::size_t kListHeaderBytes = 8;

}  // namespace

std::optional<Lun> lun_of_number(std::uint32_t number) noexcept {
    const std::uint64_t wide = number;
    if (number < kPeripheralNumbers) return Lun{kPeripheral | (wide << 48)};
    if (number < kFlatNumbers) return Lun{kFlat | (wide << 48)};
    if (number < kExtendedNumbers) return Lun{kExtendedFlat | (wide << 32)};
    return {};
}

std::optional<std::uint32_t> number_of_lun(Lun lun) noexcept {
    const std::uint64_t raw = lun.raw();
    if ((raw & kExtendedMask) == kExtendedFlat) {
        if ((raw & 0xffff'ffffU) != 0) return {};
        return static_cast<std::uint32_t>((raw >> 32) & (kExtendedNumbers - 1));
    }
    if ((raw & 0xffff'ffff'ffffU) != 0) return {};
    const std::uint64_t method = raw & kMethodMask;
    const auto number = static_cast<std::uint32_t>((raw >> 48) & (kFlatNumbers - 1));
    if (method == kFlat) return number;
    // A peripheral address with a bus number is one of several levels.
    if (method == kPeripheral && number < kPeripheralNumbers) return number;
    return {};
}

bool is_same_lun(Lun a, Lun b) noexcept {
    if (a == b) return true;
    const auto number_a = number_of_lun(a);
    const auto number_b = number_of_lun(b);
    return number_a && number_b && *number_a == *number_b;
}

std::optional<LunList> LunList::parse(std::span<const std::byte> data) noexcept {
    ByteReader reader{data};
    const auto list_bytes = reader.try_be32();
    if (!list_bytes || !reader.try_be32()) return {};
    const std::size_t arrived = std::min<std::size_t>(*list_bytes, reader.left_bytes());
    const std::size_t whole = arrived - arrived % kEntryBytes;
    return LunList{reader.rest().first(whole), std::uint64_t{kListHeaderBytes} + *list_bytes};
}

Lun LunList::at(std::size_t index) const noexcept {
    HF_ASSERT(index < size());
    return Lun{be64_at<0>(entries_.subspan(index * kEntryBytes).first<kEntryBytes>())};
}

bool LunList::contains(Lun lun) const noexcept {
    for (std::size_t i = 0; i < size(); ++i) {
        if (is_same_lun(at(i), lun)) return true;
    }
    return false;
}

bool LunList::is_truncated() const noexcept {
    return bytes_wanted_ >= kListHeaderBytes + entries_.size() + kEntryBytes;
}

}  // namespace holdfast::initiator::scsi
