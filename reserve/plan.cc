#include "reserve/plan.h"

#include <bit>

#include "base/assert.h"

namespace holdfast::reserve {

ByteCount PlanLine::bytes() const noexcept {
    HF_ASSERT(std::has_single_bit(alignment) && alignment >= kCarveUnitBytes);
    std::uint64_t product = 0;
    const bool product_fits = !__builtin_mul_overflow(count, each.raw(), &product);
    HF_ASSERT(product_fits);
    std::uint64_t sum = 0;
    const bool sum_fits = !__builtin_add_overflow(product, kCarveUnitBytes - 1, &sum);
    HF_ASSERT(sum_fits);
    const std::uint64_t rounded = sum / kCarveUnitBytes * kCarveUnitBytes;
    return ByteCount{rounded} + ByteCount{alignment - kCarveUnitBytes};
}

void MemoryPlan::add(const PlanLine& line) noexcept {
    HF_ASSERT(!line.name.empty() && !line.reason.empty());
    const ByteCount grown = total_ + line.bytes();
    HF_ASSERT(grown >= total_);
    lines_.push(line);
    total_ = grown;
}

void MemoryPlan::add_all(const MemoryPlan& other) noexcept {
    HF_ASSERT(&other != this);
    for (const PlanLine& line : other.lines()) add(line);
}

}  // namespace holdfast::reserve
