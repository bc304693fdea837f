#include "reserve/region.h"

#include <bit>
#include <cstdint>

#include "base/assert.h"

namespace holdfast::reserve {

namespace {

constexpr std::size_t kAlignmentMax = 1U << 21;  // A huge page: nobody needs more.

std::size_t padding_to(const std::byte* at, std::size_t alignment) noexcept {
    const auto address = std::bit_cast<std::uintptr_t>(at);
    return (alignment - address % alignment) % alignment;
}

std::size_t rounded_up(std::size_t bytes) noexcept {
    return (bytes + kCarveUnitBytes - 1) / kCarveUnitBytes * kCarveUnitBytes;
}

}  // namespace

Region::Region(std::span<std::byte> bytes) noexcept {
    const std::size_t skipped = padding_to(bytes.data(), kCarveUnitBytes);
    HF_ASSERT(skipped <= bytes.size());
    const std::size_t whole = (bytes.size() - skipped) / kCarveUnitBytes * kCarveUnitBytes;
    left_ = bytes.subspan(skipped, whole);
}

std::span<std::byte> Region::carve_bytes(std::size_t bytes, std::size_t alignment) noexcept {
    HF_ASSERT(std::has_single_bit(alignment) && alignment <= kAlignmentMax);
    HF_ASSERT(bytes <= left_.size());
    const std::size_t padding = padding_to(left_.data(), alignment);
    const std::size_t taken = padding + rounded_up(bytes);
    HF_ASSERT(taken <= left_.size());
    const auto piece = left_.subspan(padding, bytes);
    left_ = left_.subspan(taken);
    used_ += taken;
    return piece;
}

}  // namespace holdfast::reserve
