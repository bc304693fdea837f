/// Which bytes of a transfer have arrived. RFC 7143 sections 11.7.6, 13.18 and 13.19.
/// Pure. Limit: kRangesMax separate ranges at a time, which only data out of order needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.h"

namespace holdfast::initiator {

/// A set of bytes, kept as sorted ranges that do not touch.
class Extents {
public:
    static constexpr std::size_t kRangesMax = 8;

    void clear() noexcept { ranges_.clear(); }
    /// False when the range overlaps what is there, or when it would be one range too many;
    /// nothing is added then. An empty range is always added, and changes nothing.
    [[nodiscard]] bool try_add(std::uint32_t offset, std::uint32_t bytes) noexcept;
    /// True when try_add() would say so.
    [[nodiscard]] bool has_room_for(std::uint32_t offset, std::uint32_t bytes) const noexcept {
        Extents trial = *this;
        return trial.try_add(offset, bytes);
    }
    /// Bytes from the start of the transfer on, without a hole.
    [[nodiscard]] std::uint32_t contiguous_bytes() const noexcept {
        return !ranges_.empty() && ranges_[0].begin == 0 ? ranges_[0].end : 0;
    }
    /// Every byte counts, wherever it lies.
    [[nodiscard]] std::uint32_t total_bytes() const noexcept;

private:
    struct Range {
        std::uint32_t begin = 0;
        std::uint32_t end = 0;
    };
    FixedVector<Range, kRangesMax> ranges_;
};

}  // namespace holdfast::initiator
