#include "stress/squeeze/worker.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::stress {
namespace {

// How often each page of a window is touched on average before the window moves on.
constexpr std::size_t kTouchesPerPage = 4;

// The bit that sabotage flips: in the middle of a page, far from the stamp.
constexpr std::size_t kSabotagedWord = kPageWords / 2;

}  // namespace

void Tally::add(const Tally& other) noexcept {
    touches += other.touches;
    writes += other.writes;
    mismatches += other.mismatches;
}

Worker::Worker(const Mapping& mapping, Stripe stripe, std::uint64_t address_base,
               std::uint64_t seed)
    : mapping_(mapping),
      stripe_(stripe),
      address_base_(address_base),
      seed_(seed),
      random_(seed ^ (address_base + stripe.first)),
      generations_(stripe.count, 0),
      window_count_(stripe.count) {
    HF_ASSERT(stripe.count > 0);
    HF_ASSERT(stripe.first + stripe.count <= mapping.page_count());
}

void Worker::set_window(std::size_t pages) noexcept {
    window_count_ = std::clamp<std::size_t>(pages, 1, stripe_.count);
}

PageStamp Worker::stamp_of(std::size_t number) const noexcept {
    return {.address = address_base_ + stripe_.first + number,
            .generation = generations_[number],
            .seed = seed_};
}

void Worker::write(std::size_t number) noexcept {
    ++generations_[number];
    fill_page(mapping_.page(stripe_.first + number), stamp_of(number));
    ++tally_.writes;
}

std::optional<Mismatch> Worker::verify(std::size_t number) noexcept {
    HF_ASSERT(number < stripe_.count);
    if (generations_[number] == 0) return {};
    const PageWords page = mapping_.page(stripe_.first + number);
    const PageStamp wanted = stamp_of(number);
    ++tally_.touches;
    const auto checked = check_page(page, wanted);
    if (checked) return {};
    ++tally_.mismatches;
    return Mismatch{.fault = checked.error(), .wanted = wanted, .found = stamp_in(page)};
}

std::optional<Mismatch> Worker::touch_next() noexcept {
    const std::size_t within = static_cast<std::size_t>(random_.below(window_count_));
    const std::size_t number = (window_first_ + within) % stripe_.count;
    const std::optional<Mismatch> mismatch = verify(number);
    // A wrong page is written anew, so that it is reported once.
    if (mismatch || generations_[number] == 0 || random_.one_in(2)) write(number);
    if (++touches_in_window_ >= window_count_ * kTouchesPerPage) {
        touches_in_window_ = 0;
        window_first_ = (window_first_ + (window_count_ + 1) / 2) % stripe_.count;
    }
    return mismatch;
}

void Worker::sabotage() noexcept {
    const auto written = std::ranges::find_if(generations_, [](auto it) { return it != 0; });
    if (written == generations_.end()) return;
    const auto number = static_cast<std::size_t>(written - generations_.begin());
    mapping_.page(stripe_.first + number)[kSabotagedWord] ^= 1;
}

}  // namespace holdfast::stress
