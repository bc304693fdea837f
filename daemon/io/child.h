/// What every child of the supervisor does first: it gives back rights that belong to the
/// supervisor, and lets go of descriptors.
#pragma once

#include <signal.h>

#include <span>
#include <string_view>

namespace holdfast::daemon {

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
