#include "initiator/session/extents.h"

#include "base/assert.h"

namespace holdfast::initiator {

bool Extents::try_add(std::uint32_t offset, std::uint32_t bytes) noexcept {
    if (bytes == 0) return true;
    HF_ASSERT(bytes <= 0xffff'ffffU - offset);
    const std::uint32_t end = offset + bytes;
    std::size_t at = 0;
    while (at < ranges_.size() && ranges_[at].end < offset) ++at;
    if (at == ranges_.size()) return ranges_.try_push({offset, end});
    Range& here = ranges_[at];
    const bool joins_before = here.end == offset;
    const std::size_t after = joins_before ? at + 1 : at;
    const bool has_after = after < ranges_.size();
    if (has_after && ranges_[after].begin < end) return false;  // Overlap.
    const bool joins_after = has_after && ranges_[after].begin == end;
    if (joins_before) {
        here.end = joins_after ? ranges_[after].end : end;
        if (!joins_after) return true;
        for (std::size_t i = after; i + 1 < ranges_.size(); ++i) ranges_[i] = ranges_[i + 1];
        ranges_.pop();
        return true;
    }
    if (joins_after) {
        ranges_[after].begin = offset;
        return true;
    }
    if (ranges_.full()) return false;
    ranges_.push(ranges_[ranges_.size() - 1]);
    for (std::size_t i = ranges_.size() - 1; i > at; --i) ranges_[i] = ranges_[i - 1];
    ranges_[at] = {offset, end};
    return true;
}

std::uint32_t Extents::total_bytes() const noexcept {
    std::uint32_t total = 0;
    for (const Range& range : ranges_) total += range.end - range.begin;
    return total;
}

}  // namespace holdfast::initiator
