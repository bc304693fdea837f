/// The process heap: jemalloc, with one arena, all of whose memory comes out of one fixed span of
/// address space, and the fuse (reserve/fuse.h) in front of every call.
///
/// A program gets it by linking the library reserve_heap. Debian's jemalloc archive is renamed
/// symbol by symbol (jemalloc_symbols.txt), so that malloc and its kin are ours (fuse_malloc.cc)
/// and every mmap, munmap, mprotect, madvise and sbrk of jemalloc is ours too (heap_source.cc):
/// extents, jemalloc's own metadata and what was taken before main() all come out of the span, and
/// a span that is used up makes malloc return null.
///
/// Under a sanitizer the library is empty: the sanitizer owns malloc.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/strong.h"

namespace holdfast::reserve::heap {

/// Address space of the span. Costs nothing until touched. jemalloc's own tables take 8 MiB of it,
/// of which a few pages are ever touched.
inline constexpr ByteCount kSpan{64ULL * 1024 * 1024};

/// What the heap has, has given and holds.
struct Facts {
    bool is_ours = false;       ///< False: another heap is in charge, and the rest is zero.
    ByteCount mapped;           ///< Handed to jemalloc, metadata included; never shrinks below use.
    ByteCount resident;         ///< Of the span and jemalloc's static tables, present in memory.
    std::uint64_t refused = 0;  ///< Wishes of jemalloc that did not fit.
};

/// From now on jemalloc may take at most `more` on top of what it has. Call once, at the start of
/// main(); calling it again may only lower the limit. No effect when the heap is not ours.
void limit(ByteCount more) noexcept;

[[nodiscard]] Facts facts() noexcept;

/// The ranges of which only touched pages are worth locking: the span and jemalloc's static tables.
/// Empty ranges when the heap is not ours.
[[nodiscard]] std::array<std::span<const std::byte>, 2> sparse_ranges() noexcept;

}  // namespace holdfast::reserve::heap
