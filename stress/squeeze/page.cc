#include "stress/squeeze/page.h"

#include "base/assert.h"
#include "base/random.h"

namespace holdfast::stress {
namespace {

constexpr std::size_t kAddressWord = 0;
constexpr std::size_t kGenerationWord = 1;
constexpr std::size_t kSeedWord = 2;
constexpr std::size_t kFirstFillWord = 3;
// The last word is the checksum of all others.

// Odd multipliers with well spread bits (the golden ratio, and xxHash's first prime).
constexpr std::uint64_t kSpread = 0x9e37'79b9'7f4a'7c15ULL;
constexpr std::uint64_t kFold = 0x9e37'79b1'85eb'ca87ULL;

// Position counts, so that two words that changed places are noticed too.
std::uint64_t checksum(ConstPageWords page) noexcept {
    std::uint64_t sum = kSpread;
    for (const std::uint64_t word : page.first(page.size() - 1)) {
        sum = (sum ^ word) * kFold;
        sum ^= sum >> 29;
    }
    return sum;
}

}  // namespace

const char* name_of(PageFault fault) noexcept {
    switch (fault) {
    case PageFault::Torn: return "torn";
    case PageFault::Foreign: return "foreign";
    case PageFault::Misplaced: return "misplaced";
    case PageFault::Stale: return "stale";
    }
    return "unknown";
}

void fill_page(PageWords page, const PageStamp& stamp) noexcept {
    HF_ASSERT(page.size() >= kWordsMin);
    page[kAddressWord] = stamp.address;
    page[kGenerationWord] = stamp.generation;
    page[kSeedWord] = stamp.seed;
    SplitMix64 stream{stamp.seed ^ (stamp.address * kSpread) ^ (stamp.generation * kFold)};
    for (std::uint64_t& word : page.subspan(kFirstFillWord)) word = stream.next();
    page.back() = checksum(page);
}

PageStamp stamp_in(ConstPageWords page) noexcept {
    return {.address = page[kAddressWord],
            .generation = page[kGenerationWord],
            .seed = page[kSeedWord]};
}

std::expected<void, PageFault> check_page(ConstPageWords page, const PageStamp& stamp) noexcept {
    using enum PageFault;
    HF_ASSERT(page.size() >= kWordsMin);
    if (checksum(page) != page.back()) return std::unexpected{Torn};
    const PageStamp found = stamp_in(page);
    if (found.seed != stamp.seed) return std::unexpected{Foreign};
    if (found.address != stamp.address) return std::unexpected{Misplaced};
    if (found.generation != stamp.generation) return std::unexpected{Stale};
    return {};
}

}  // namespace holdfast::stress
