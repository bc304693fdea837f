// Where jemalloc's memory comes from: stands in for mmap and its kin, which jemalloc_symbols.txt
// renames. Called by jemalloc only, under its own locks, first before main(); so everything here is
// constant-initialised and lock-free. Contracts are those of the functions that are replaced.
//
// The span is handed out front to back. With decay off, jemalloc keeps what it has and reuses it;
// it gives back only the ends that it cuts off while aligning, and those mostly are the newest
// bytes, which are taken back. A hole elsewhere is released to the kernel, and its addresses are
// lost.
#include "reserve/heap.h"

#if !defined(HF_SANITIZED)

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "base/assert.h"
#include "reserve/heap_span.h"
#include "reserve/memory_map.h"

namespace holdfast::reserve::heap {

namespace {

constexpr std::size_t kSpanBytes = static_cast<std::size_t>(kSpan.raw());
// jemalloc aligns its metadata to this; an aligned span wastes no address space on it.
constexpr std::size_t kSpanAlignment = 2U * 1024 * 1024;
// What one leaf of jemalloc's radix tree covers: 2^18 pages. A span across a border would need a
// second leaf of 4 MiB as soon as it is used beyond it: more than the whole limit of a small
// process.
constexpr std::size_t kLeafCovers = 1024U * 1024 * 1024;

struct Source {
    std::atomic<std::byte*> base{nullptr};
    std::atomic<std::size_t> used{0};
    std::atomic<std::size_t> limit{kSpanBytes};
    std::atomic<std::uint64_t> refused{0};
};
constinit Source g_source;

// Maps the span without access: pages become usable, and count as committed, when handed out.
std::byte* make_span() noexcept {
    constexpr std::size_t kRoomBytes = span_room(kSpanBytes, kSpanAlignment);
    void* const start =
        ::mmap(nullptr, kRoomBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return nullptr;
    const auto address = std::bit_cast<std::uintptr_t>(start);
    const std::uintptr_t first = span_start(address, kSpanBytes, kSpanAlignment, kLeafCovers);
    const std::span<std::byte> all{static_cast<std::byte*>(start), kRoomBytes};
    std::byte* const base = all.subspan(first - address, kSpanBytes).data();
    // EINVAL: a kernel without huge pages. The figure of the plan needs small pages.
    const int advised = ::madvise(base, kSpanBytes, MADV_NOHUGEPAGE);
    HF_ASSERT(advised == 0 || errno == EINVAL);
    return base;
}

std::span<std::byte> span() noexcept {
    if (g_source.base.load(std::memory_order_acquire) == nullptr) {
        std::byte* const made = make_span();
        std::byte* expected = nullptr;
        // The loser of a race leaves a second span behind: address space only, and only if two
        // threads make the first call of the heap at once.
        if (made != nullptr) g_source.base.compare_exchange_strong(expected, made);
    }
    std::byte* const base = g_source.base.load(std::memory_order_acquire);
    return base == nullptr ? std::span<std::byte>{} : std::span<std::byte>{base, kSpanBytes};
}

void* refuse() noexcept {
    g_source.refused.fetch_add(1, std::memory_order_relaxed);
    errno = ENOMEM;
    return MAP_FAILED;
}

void* hand_out(std::size_t bytes) noexcept {
    const std::span<std::byte> all = span();
    if (all.empty()) return refuse();
    std::size_t used = g_source.used.load();
    do {
        const std::size_t limit = g_source.limit.load();
        if (used > limit || bytes > limit - used) return refuse();
    } while (!g_source.used.compare_exchange_weak(used, used + bytes));
    const auto piece = all.subspan(used, bytes);
    if (::mprotect(piece.data(), piece.size(), PROT_READ | PROT_WRITE) != 0) return refuse();
    return piece.data();
}

int take_back(void* start, std::size_t bytes) noexcept {
    const auto offset =
        std::bit_cast<std::uintptr_t>(start) - std::bit_cast<std::uintptr_t>(span().data());
    HF_ASSERT(offset <= kSpanBytes && bytes <= kSpanBytes - offset);
    // Fresh memory must read as zeroes when it is handed out again.
    if (::madvise(start, bytes, MADV_DONTNEED) != 0) return -1;
    std::size_t end = offset + bytes;
    g_source.used.compare_exchange_strong(end, offset);
    return 0;
}

std::uint64_t resident_bytes(std::span<const std::byte> range) noexcept {
    const AddressRange all = addresses_of(range);
    PresentRuns runs{{.start = (all.start + kPageBytes - 1) / kPageBytes * kPageBytes,
                      .end = all.end / kPageBytes * kPageBytes}};
    std::uint64_t bytes = 0;
    while (const auto run = runs.next()) bytes += run->bytes();
    return bytes;
}

}  // namespace

}  // namespace holdfast::reserve::heap

extern "C" {

// jemalloc's .bss, put into a section of its own by objcopy.
extern const std::byte __start_holdfast_heap_bss;
extern const std::byte __stop_holdfast_heap_bss;

void* holdfast_source_mmap(void* hint, std::size_t bytes, int, int, int, off_t) noexcept {
    // A hint asks to grow in place, which a span that only grows at its end cannot promise.
    if (hint != nullptr) return holdfast::reserve::heap::refuse();
    return holdfast::reserve::heap::hand_out(bytes);
}

int holdfast_source_munmap(void* start, std::size_t bytes) noexcept {
    return holdfast::reserve::heap::take_back(start, bytes);
}

int holdfast_source_mprotect(void* start, std::size_t bytes, int protection) noexcept {
    return ::mprotect(start, bytes, protection);
}

int holdfast_source_madvise(void* start, std::size_t bytes, int advice) noexcept {
    return ::madvise(start, bytes, advice);
}

void* holdfast_source_sbrk(std::intptr_t) noexcept {
    return holdfast::reserve::heap::refuse();
}

char* holdfast_source_getenv(const char*) noexcept {
    return nullptr;
}

ssize_t holdfast_source_readlink(const char*, char*, std::size_t) noexcept {
    errno = ENOENT;
    return -1;
}

// Never reached: jemalloc refers to these for profiling and background threads, which are off.
#define HF_UNUSED(name)                 \
    [[noreturn]] void name() noexcept { \
        std::abort();                   \
    }
HF_UNUSED(holdfast_unused_exp)
HF_UNUSED(holdfast_unused_log)
HF_UNUSED(holdfast_unused_round)
HF_UNUSED(holdfast_unused_backtrace)
HF_UNUSED(holdfast_unused_get_ip)
HF_UNUSED(holdfast_unused_pthread_create)
#undef HF_UNUSED

// Asked once, for pthread_create; null means that there can be no background thread.
void* holdfast_unused_dlsym(void*, const char*) noexcept {
    return nullptr;
}

}  // extern "C"

namespace holdfast::reserve::heap {

void limit(ByteCount more) noexcept {
    HF_ASSERT(more.raw() <= kSpan.raw());
    const std::size_t wanted =
        std::min(g_source.used.load() + static_cast<std::size_t>(more.raw()), kSpanBytes);
    if (wanted < g_source.limit.load()) g_source.limit.store(wanted);
}

std::array<std::span<const std::byte>, 2> sparse_ranges() noexcept {
    const std::span<const std::byte> tables{&__start_holdfast_heap_bss, &__stop_holdfast_heap_bss};
    return {std::span<const std::byte>{span()}, tables};
}

Facts facts() noexcept {
    const auto [extents, tables] = sparse_ranges();
    return {.is_ours = true,
            .mapped = ByteCount{g_source.used.load()},
            .resident = ByteCount{resident_bytes(extents) + resident_bytes(tables)},
            .refused = g_source.refused.load()};
}

}  // namespace holdfast::reserve::heap

#else

namespace holdfast::reserve::heap {

void limit(ByteCount) noexcept {}
std::array<std::span<const std::byte>, 2> sparse_ranges() noexcept {
    return {};
}
Facts facts() noexcept {
    return {};
}

}  // namespace holdfast::reserve::heap

#endif
