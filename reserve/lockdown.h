/// Lockdown: everything that keeps an armed process from being slowed, killed, swapped or looked
/// into. Each protection is set, then read back from the kernel, then reported as one row.
/// The system call filter is apart (reserve/sandbox.h), because it comes last.
///
/// Effectful. Thread: the one that will be armed; called before arming, because /proc is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "reserve/protection.h"

namespace holdfast::reserve {

struct LockdownWish {
    /// SCHED_FIFO priority, 1..99; 0 leaves the scheduling class alone.
    std::int32_t fifo_priority = 50;
    bool io_flusher = true;  ///< PR_SET_IO_FLUSHER on the calling thread.
    bool lock_memory = true;
    /// vm.compact_unevictable_allowed = 0, for the whole machine.
    bool forbid_compaction = true;
    /// See heap::sparse_ranges().
    std::span<const std::span<const std::byte>> sparse;
    /// Other paths in tests.
    const char* oom_score_path = "/proc/self/oom_score_adj";
    const char* compaction_path = "/proc/sys/vm/compact_unevictable_allowed";
};

/// Sets what `wish` asks for, goes on when something is refused, and reads everything back.
/// A row that does not hold lowers the tier; it is never fatal here.
[[nodiscard]] Protections lock_down(const LockdownWish& wish) noexcept;

/// Reads everything back again and sets nothing.
[[nodiscard]] Protections read_back(const LockdownWish& wish) noexcept;

}  // namespace holdfast::reserve
