/// Pages that can tell whether they are the ones that were written: address, generation and seed
/// stand in the first words, a checksum over everything in the last one. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

namespace holdfast::stress {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kPageWords = kPageBytes / sizeof(std::uint64_t);

/// One page as its owner sees it: kPageWords of memory, or a disk's block of at least kWordsMin.
/// Borrowed; whoever mapped it keeps it alive.
using PageWords = std::span<std::uint64_t>;
using ConstPageWords = std::span<const std::uint64_t>;
inline constexpr std::size_t kWordsMin = 512 / sizeof(std::uint64_t);

/// What makes one page's content unlike that of every other page and time.
struct PageStamp {
    std::uint64_t address = 0;     // number of the page in its mapping, with the mapping's kind
    std::uint64_t generation = 0;  // counts the writes to this page; 0: never written
    std::uint64_t seed = 0;        // of the whole run
    bool operator==(const PageStamp&) const noexcept = default;
};

/// How a page that was read differs from the one that was written.
enum class PageFault : std::uint8_t {
    Torn,       // the checksum does not fit: part of it is from elsewhere, or bits changed
    Foreign,    // whole, but from another run
    Misplaced,  // whole, but another page's
    Stale,      // whole and of this page, but of another generation
};

/// A short name for messages.
[[nodiscard]] const char* name_of(PageFault fault) noexcept;

/// Writes all of `page` as `stamp` demands. The same stamp always gives the same bytes.
void fill_page(PageWords page, const PageStamp& stamp) noexcept;

/// Reads all of `page`. Nothing: it is exactly what fill_page(page, stamp) writes.
[[nodiscard]] std::expected<void, PageFault> check_page(ConstPageWords page,
                                                        const PageStamp& stamp) noexcept;

/// The stamp that a page claims to carry. Only meaningful when check_page did not say Torn.
[[nodiscard]] PageStamp stamp_in(ConstPageWords page) noexcept;

}  // namespace holdfast::stress
