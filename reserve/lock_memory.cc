#include "reserve/lock_memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/assert.h"
#include "reserve/memory_map.h"

namespace holdfast::reserve {

namespace {

// Touches the stack below, so that it is mapped and present. Not inlined: the room must be gone
// again when this returns.
[[gnu::noinline]] void ready_stack() noexcept {
    std::array<volatile unsigned char, kStackReadyBytes> room;
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

OrErrno<void> lock_present_pages(AddressRange range) noexcept {
    PresentRuns runs{range};
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

// From now on growing the main stack beyond what is locked is a crash, not a page fault.
OrErrno<void> freeze_stack(std::size_t bytes) noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_STACK, &limit) != 0) return std::unexpected(Errno::last());
    limit.rlim_cur = std::min<rlim_t>(bytes, limit.rlim_max);
    if (::setrlimit(RLIMIT_STACK, &limit) != 0) return std::unexpected(Errno::last());
    return {};
}

}  // namespace

OrErrno<void> lock_memory(std::span<const std::span<const std::byte>> sparse) noexcept {
#if defined(HF_SANITIZED)
    return std::unexpected(Errno{ENOTSUP});
#endif
    ready_stack();
    MappingReader reader;
    if (const auto opened = reader.open(); !opened) return opened;
    AddressRange stack;
    while (const auto mapping = reader.next()) {
        if (mapping->of_kernel || !mapping->has_access()) continue;
        const AddressRange range{.start = mapping->start, .end = mapping->end};
        if (const auto locked = lock_mapping(range, sparse); !locked) return locked;
        if (mapping->is_stack()) stack = range;
    }
    if (const auto error = reader.error()) return std::unexpected(*error);
    const auto here = std::bit_cast<std::uintptr_t>(__builtin_frame_address(0));
    HF_ASSERT(here < stack.end && here - stack.start >= kStackReadyBytes);
    if (const auto frozen = freeze_stack(stack.bytes()); !frozen) return frozen;
    // Without MCL_CURRENT: sparse ranges stay as they are. Only what is mapped later is caught.
    if (::mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) return std::unexpected(Errno::last());
    return {};
}

}  // namespace holdfast::reserve
