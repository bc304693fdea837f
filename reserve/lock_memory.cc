#include "reserve/lock_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/assert.h"
#include "reserve/memory_map.h"

namespace holdfast::reserve {

namespace {

constexpr std::size_t kStackGuardBytes = 16 * kPageBytes;

// Touches the stack below, so that it is mapped and present. Not inlined: the room must be gone
// again when this returns. The empty statement makes the address known outside: without it a
// compiler may unroll the loop and keep the touched bytes only, close together.
template <std::size_t Bytes>
[[gnu::noinline]] void ready_stack() noexcept {
    std::array<volatile unsigned char, Bytes> room{};
    asm volatile("" : : "r"(room.data()) : "memory");
    for (std::size_t i = 0; i < room.size(); i += kPageBytes) room[i] = 1;
}

// For writable private memory, mlock also ends sharing with a forked relative: it faults every page
// for writing.
OrErrno<void> lock_range(AddressRange range) noexcept {
    if (range.bytes() == 0) return {};
    if (::mlock(std::bit_cast<void*>(range.start), range.bytes()) != 0) {
        return std::unexpected(Errno::last());
    }
    return {};
}

OrErrno<void> lock_present_pages(AddressRange range,
                                 PagesWanted wanted = PagesWanted::Present) noexcept {
    PresentRuns runs{range, wanted};
    while (const auto run = runs.next()) {
        if (const auto locked = lock_range(*run); !locked) return locked;
    }
    return {};
}

OrErrno<void> lock_mapping(AddressRange left,
                           std::span<const std::span<const std::byte>> sparse) noexcept {
    while (left.bytes() > 0) {
        const AddressRange part = first_part_in(left, sparse);
        if (const auto dense = lock_range({left.start, part.start}); !dense) return dense;
        if (const auto few = lock_present_pages(part); !few) return few;
        left.start = part.end;
    }
    return {};
}

// From now on growing the main stack beyond what is locked is a crash, not a page fault. A mapping
// without access in the way does it; a limit (RLIMIT_STACK) would be handed on to every program
// that we execute. Frames are probed page by page (-fstack-clash-protection), so none jumps over.
OrErrno<void> guard_stack(std::uintptr_t stack_start) noexcept {
    void* const wanted = std::bit_cast<void*>(stack_start - kStackGuardBytes);
    void* const got =
        ::mmap(wanted, kStackGuardBytes, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) return std::unexpected(Errno::last());
    HF_ASSERT(got == wanted);
    return {};
}

OrErrno<void> lock_writable(std::span<const std::span<const std::byte>> skipped,
                            PagesWanted wanted) noexcept {
    MappingReader reader;
    if (const auto opened = reader.open(); !opened) return opened;
    while (const auto mapping = reader.next()) {
        if (mapping->of_kernel || !mapping->writable) continue;
        AddressRange left{.start = mapping->start, .end = mapping->end};
        while (left.bytes() > 0) {
            const AddressRange part = first_part_in(left, skipped);
            if (const auto few = lock_present_pages({left.start, part.start}, wanted); !few)
                return few;
            left.start = part.end;
        }
    }
    if (const auto error = reader.error()) return std::unexpected(*error);
    return {};
}

}  // namespace

OrErrno<void> lock_memory(std::span<const std::span<const std::byte>> sparse) noexcept {
#if defined(HF_SANITIZED)
    return std::unexpected(Errno{ENOTSUP});
#endif
    ready_stack<kStackReadyBytes>();
    MappingReader reader;
    if (const auto opened = reader.open(); !opened) return opened;
    AddressRange stack;
    StackRun run;
    std::uintptr_t guard_end = 0;  // Where the last mapping without access ended.
    while (const auto mapping = reader.next()) {
        if (!mapping->has_access()) guard_end = mapping->end;
        if (mapping->of_kernel || !mapping->has_access()) continue;
        const AddressRange range{.start = mapping->start, .end = mapping->end};
        if (const auto locked = lock_mapping(range, sparse); !locked) return locked;
        run.take(*mapping);
        if (mapping->is_stack()) stack = run.range();
    }
    const bool has_guard = guard_end == stack.start;
    if (const auto error = reader.error()) return std::unexpected(*error);
    const auto here = std::bit_cast<std::uintptr_t>(__builtin_frame_address(0));
    HF_ASSERT(here < stack.end && here - stack.start >= kStackReadyBytes);
    if (!has_guard) {
        if (const auto guarded = guard_stack(stack.start); !guarded) return guarded;
    }
    // Without MCL_CURRENT: sparse ranges stay as they are. Only what is mapped later is caught.
    if (::mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) return std::unexpected(Errno::last());
    return {};
}

OrErrno<void> lock_present_writable() noexcept {
#if defined(HF_SANITIZED)
    return std::unexpected(Errno{ENOTSUP});
#endif
    return lock_writable({}, PagesWanted::Present);
}

OrErrno<void> lock_without_heap(std::span<const std::span<const std::byte>> heap) noexcept {
#if defined(HF_SANITIZED)
    static_cast<void>(heap);
    return std::unexpected(Errno{ENOTSUP});
#endif
    ready_stack<kSmallStackBytes>();
    MappingReader reader;
    if (const auto opened = reader.open(); !opened) return opened;
    while (const auto mapping = reader.next()) {
        if (mapping->of_kernel || !mapping->has_access() || mapping->writable) continue;
        const AddressRange range{.start = mapping->start, .end = mapping->end};
        if (const auto locked = lock_range(range); !locked) return locked;
    }
    if (const auto error = reader.error()) return std::unexpected(*error);
    if (const auto locked = lock_writable(heap, PagesWanted::Own); !locked) return locked;
    if (::mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) return std::unexpected(Errno::last());
    return {};
}

}  // namespace holdfast::reserve
