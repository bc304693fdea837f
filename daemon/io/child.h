/// What every child of the maker does first: it gives back what belongs to supervisor and maker,
/// and lets go of descriptors.
#pragma once

#include <signal.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::daemon {

/// SCHED_FIFO priority of supervisor and maker: above the I/O processes, so that a mad one can
/// always be stopped.
inline constexpr std::int32_t kSupervisorPriority = 60;

/// SIGCHLD, SIGTERM, SIGINT: the supervisor reads them from a descriptor.
[[nodiscard]] sigset_t supervisor_signals() noexcept;

/// What fork handed down and a child must not keep: scheduling class, IO_FLUSHER, oom score, signal
/// mask.
void become_ordinary() noexcept;

/// Closes every descriptor from 3 on but the `kept`, whose order is changed.
void close_all_but(std::span<int> kept) noexcept;

/// Without waiting for anybody to read it.
void put_lines(std::string_view text) noexcept;

}  // namespace holdfast::daemon
