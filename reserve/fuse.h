/// The allocation fuse: once a thread is armed, any call of the heap on it (malloc, free, new,
/// delete and their kin) writes one line and aborts, in every build.
///
/// The fuse is wired into the heap by the library reserve_heap; a program without that library,
/// and every program under a sanitizer (which owns malloc itself), has no fuse: see is_fitted().
///
/// States of each thread, one way only: Init -> Armed -> Shutdown.
#pragma once

#include <cstdint>

namespace holdfast::reserve::fuse {

enum class State : std::uint8_t {
    Init,      ///< Setting up: the heap may be used, and calls are counted.
    Armed,     ///< Memory is fixed: the heap aborts.
    Shutdown,  ///< Tearing down: the heap may be used again.
};

/// Init -> Armed, for the calling thread. Twice is our bug.
void arm_this_thread() noexcept;
/// Armed -> Shutdown, for the calling thread. Only on the way to the end of the process.
void disarm_for_shutdown() noexcept;
[[nodiscard]] State state_of_this_thread() noexcept;

/// Heap calls (of every kind) on the calling thread so far.
[[nodiscard]] std::uint64_t heap_calls_of_this_thread() noexcept;

/// True when heap calls really come through here: proven by making one. Only before arming.
[[nodiscard]] bool is_fitted() noexcept;

/// For the heap only: counts, and blows on an armed thread. `call` is the function's name, `caller`
/// the address that it returns to.
void on_heap_call(const char* call, const void* caller) noexcept;

}  // namespace holdfast::reserve::fuse
