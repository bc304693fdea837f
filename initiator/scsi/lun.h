/// Logical unit numbers in their 8-byte form, and the list of them. SAM-5 section 4.7, SPC-4
/// section 6.33; RFC 7143 section 11.2.1.7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "initiator/session_config.h"

namespace holdfast::initiator::scsi {

/// The single-level form that targets expect: peripheral addressing below 256, flat below 16384,
/// extended flat (24 bits) above. Empty when `number` needs more than 24 bits.
[[nodiscard]] std::optional<Lun> lun_of_number(std::uint32_t number) noexcept;

/// The number behind a single-level LUN; empty for other forms, which stay opaque.
[[nodiscard]] std::optional<std::uint32_t> number_of_lun(Lun lun) noexcept;

/// True when both address the same unit: equal bytes, or equal numbers in different forms.
[[nodiscard]] bool is_same_lun(Lun a, Lun b) noexcept;

/// The parameter data of REPORT LUNS. Borrows it.
class LunList {
public:
    /// Empty when not even the 8-byte header arrived.
    [[nodiscard]] static std::optional<LunList> parse(std::span<const std::byte> data) noexcept;

    /// Whole entries that arrived.
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size() / kEntryBytes; }
    [[nodiscard]] Lun at(std::size_t index) const noexcept;
    [[nodiscard]] bool contains(Lun lun) const noexcept;
    /// The unit has more entries than fit: ask again with bytes_wanted() (conformance RES-06).
    [[nodiscard]] bool is_truncated() const noexcept;
    /// Bytes of the whole answer as the unit counts them, at most 8 + 2^32 - 1.
    [[nodiscard]] std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    static constexpr std::size_t kEntryBytes = 8;
    LunList(std::span<const std::byte> entries, std::uint64_t bytes_wanted) noexcept
        : entries_(entries), bytes_wanted_(bytes_wanted) {}

    std::span<const std::byte> entries_;
    std::uint64_t bytes_wanted_;
};

}  // namespace holdfast::initiator::scsi
