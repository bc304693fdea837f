/// The memory plan: from configuration to worst-case counts and bytes, as a sum with a reason per
/// line. Whoever will carve memory adds lines first; the arena is mapped with exactly the sum.
/// Pure. Limits: 64 lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/fixed_vector.h"
#include "base/strong.h"

namespace holdfast::reserve {

/// Every carved object starts and ends on a multiple of this: one cache line of x86-64, bytes.
inline constexpr std::size_t kCarveUnitBytes = 64;

/// One term of the sum. The texts have static storage.
struct PlanLine {
    std::string_view name;    ///< What it is, such as "task slots".
    std::uint64_t count = 0;  ///< How many of them, worst case.
    ByteCount each{};         ///< Size of one.
    std::string_view reason;  ///< Why that many.
    /// A power of two. Above kCarveUnitBytes the line also pays for the padding in front.
    std::size_t alignment = kCarveUnitBytes;

    /// What a Region gives up for this line at most, when the line is carved in one piece.
    [[nodiscard]] ByteCount bytes() const noexcept;
};

/// The sum. Lines keep the order in which they were added.
class MemoryPlan {
public:
    static constexpr std::size_t kLinesMax = 64;

    /// More than kLinesMax lines, or a sum above 2^64, is our bug.
    void add(const PlanLine& line) noexcept;
    /// A line for `count` objects of type T.
    template <class T>
    void add_objects(std::string_view name, std::uint64_t count, std::string_view reason) noexcept {
        add({.name = name,
             .count = count,
             .each = ByteCount{sizeof(T)},
             .reason = reason,
             .alignment = alignof(T) > kCarveUnitBytes ? alignof(T) : kCarveUnitBytes});
    }
    /// Appends the lines of another plan.
    void add_all(const MemoryPlan& other) noexcept;

    [[nodiscard]] ByteCount total() const noexcept { return total_; }
    [[nodiscard]] std::span<const PlanLine> lines() const noexcept { return lines_.span(); }

private:
    FixedVector<PlanLine, kLinesMax> lines_;
    ByteCount total_{};
};

}  // namespace holdfast::reserve
