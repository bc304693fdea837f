/// Touches pages at a chosen rate inside a window that wanders over a mapping, and verifies each
/// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/random.h"
#include "stress/squeeze/mapping.h"
#include "stress/squeeze/page.h"

namespace holdfast::stress {

/// The pages [first, first + count) of a mapping, owned by one thread.
struct Stripe {
    std::size_t first = 0;
    std::size_t count = 0;
};

/// What one worker has done. Sums of several workers add field by field.
struct Tally {
    std::uint64_t touches = 0;     // pages read and verified
    std::uint64_t writes = 0;      // pages written anew, with the next generation
    std::uint64_t mismatches = 0;  // pages that were not what had been written
    void add(const Tally& other) noexcept;
};

/// A page that was not what had been written.
struct Mismatch {
    PageFault fault = PageFault::Torn;
    PageStamp wanted;
    PageStamp found;
};

/// Knows the generation of each page of its stripe and keeps the stripe moving. One thread's own.
class Worker {
public:
    /// `address_base` tells the pages of this mapping from those of the others. The window is the
    /// part of the stripe that is touched again and again before it moves on by half its length.
    Worker(const Mapping& mapping, Stripe stripe, std::uint64_t address_base, std::uint64_t seed);

    /// Pages of the window; clamped to 1 ..= the stripe's length.
    void set_window(std::size_t pages) noexcept;
    /// Verifies one page, and in half of all cases writes it anew. Empty: the page was right.
    [[nodiscard]] std::optional<Mismatch> touch_next() noexcept;
    /// Verifies page `number` (0 <= number < page_count()) of the stripe without writing it.
    [[nodiscard]] std::optional<Mismatch> verify(std::size_t number) noexcept;
    /// Flips one bit in a page that has been written, so that a test can see it noticed.
    void sabotage() noexcept;

    [[nodiscard]] std::size_t page_count() const noexcept { return generations_.size(); }
    [[nodiscard]] const Tally& tally() const noexcept { return tally_; }

private:
    [[nodiscard]] PageStamp stamp_of(std::size_t number) const noexcept;
    void write(std::size_t number) noexcept;

    const Mapping& mapping_;
    Stripe stripe_;
    std::uint64_t address_base_;
    std::uint64_t seed_;
    SplitMix64 random_;
    std::vector<std::uint32_t> generations_;  // 0: not written yet, so nothing to verify
    std::size_t window_first_ = 0;
    std::size_t window_count_;
    std::size_t touches_in_window_ = 0;
    Tally tally_;
};

}  // namespace holdfast::stress
