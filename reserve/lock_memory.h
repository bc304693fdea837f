/// Keeps in memory what an armed process can touch, and nothing else. Effectful.
///
/// Program and library text, constants, data, arenas, rings and the stack are locked whole and
/// faulted in. Of sparse ranges (the heap's address space and its static tables, megabytes of
/// which are never touched) only the pages that are present get locked: an armed thread cannot
/// reach the others, because the fuse keeps it out of the heap.
#pragma once

#include <cstddef>
#include <span>

#include "base/errno.h"
#include "base/strong.h"

namespace holdfast::reserve {

/// Stack that is present and locked below the frame that asks for it. Bytes. The deepest call of
/// an armed loop needs a small part of it; see docs/memory.md.
inline constexpr std::size_t kStackReadyBytes = std::size_t{96} * 1024;

/// Locks the whole process, from the main thread. May be called again: after a fork, whose child
/// inherits no lock and whose parent shares its pages until it writes them, and after something new
/// was mapped. Afterwards every new mapping is locked too, and the main stack does not grow any
/// more. None of this is handed on by execve(); a forked child keeps the guard of the stack only.
///
/// ENOMEM or EPERM: RLIMIT_MEMLOCK is too small and CAP_IPC_LOCK is missing. ENOTSUP: under a
/// sanitizer, whose shadow memory of terabytes nobody can lock.
[[nodiscard]] OrErrno<void> lock_memory(
    std::span<const std::span<const std::byte>> sparse) noexcept;

/// Locks the pages that are present in memory that we may write, and nothing else: for a process
/// that shares text and constants with a relative who has locked them. May be called again after a
/// fork. Errors as above.
[[nodiscard]] OrErrno<void> lock_present_writable() noexcept;

/// Stack that is present below the frame that asks for it in a process that does little. Bytes.
inline constexpr std::size_t kSmallStackBytes = std::size_t{32} * 1024;

/// Locks text and constants whole, and of what we may write our own copies of pages; nothing of the
/// `heap`: for a process that has given it up, and forks nobody. What is mapped or grown later
/// is locked, too. Errors as above.
[[nodiscard]] OrErrno<void> lock_without_heap(
    std::span<const std::span<const std::byte>> heap) noexcept;

}  // namespace holdfast::reserve
