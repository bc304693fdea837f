/// What supervisor, active and standby of one attachment tell each other through shared memory.
/// Every word has one writer at a time, named below. Claims carry the process id of who makes them,
/// so that a word left behind by a dead process says nothing about the living.
///
/// Who reads must distrust: enumerators are judged by their readers.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace holdfast::watchdog {

/// Zero-filled memory is a block in which nobody has said anything.
struct WatchBlock {
    // The supervisor's. For `status`, and for the standby.
    alignas(64) std::atomic<std::uint32_t> active_phase{0};  ///< ActivePhase.
    std::atomic<std::uint32_t> standby_seat{0};              ///< StandbySeat.
    std::atomic<std::uint32_t> last_death{0};                ///< Death; 0: none so far.
    std::atomic<std::int32_t> last_signal{0};
    std::atomic<std::int32_t> active_pid{0};  ///< Who serves, or shall; 0: nobody.
    std::atomic<std::int32_t> standby_pid{0};
    std::atomic<std::uint32_t> wants_standby{0};  ///< 1: the attachment shall have one.
    std::atomic<std::uint64_t> takeovers{0};
    std::atomic<std::uint64_t> hangs{0};             ///< Processes killed for silence.
    std::atomic<std::int64_t> takeover_last_ns{0};   ///< From a death noticed to serving again.
    std::atomic<std::int64_t> takeover_worst_ns{0};  ///< The longest of all.
    std::atomic<std::uint32_t> is_upgrading{0};      ///< 1: another program is on its way.
    std::atomic<std::uint64_t> upgrades{0};          ///< That came to serve.
    std::atomic<std::uint64_t> upgrades_failed{0};   ///< The old program went on.
    std::atomic<std::int64_t> upgrade_pause_ns{0};   ///< The last one's: nobody served so long.
    std::atomic<std::int64_t> died_at_ns{0};         ///< The last active; CLOCK_MONOTONIC.
    /// The ublk device to take over; -1: none. Written before order_pid.
    std::atomic<std::int32_t> order_device{-1};
    std::atomic<std::int32_t> order_pid{0};  ///< The standby that shall take over.

    // The standby's.
    alignas(64) std::atomic<std::uint64_t> standby_beats{0};
    std::atomic<std::int32_t> standing_pid{0};

    // The active's.
    alignas(64) std::atomic<std::int32_t> device_id{-1};  ///< The ublk device that it made.
    std::atomic<std::int64_t> serving_since_ns{0};        ///< CLOCK_MONOTONIC.
    std::atomic<std::int32_t> serving_pid{0};             ///< Written after the time.
    /// 1: AF_XDP without copies, as read back. Nothing that it sends costs the kernel memory.
    std::atomic<std::uint32_t> is_zero_copy{0};
};
static_assert(std::is_standard_layout_v<WatchBlock>);
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

}  // namespace holdfast::watchdog
