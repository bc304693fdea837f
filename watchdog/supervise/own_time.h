/// The supervisor's own scheduled time: the only clock on which it judges others.
///
/// Between two looks at most kTick + kLateMax can pass. A look that comes later than that says that
/// the supervisor itself did not run (it was stopped, the machine slept, the guest was paused, the
/// host was starved), and then nobody else may have run either: no time passes, and who counts
/// silence begins anew.
///
/// kLateMax is above what the kernel's real-time throttling takes from a FIFO thread: 50 ms of each
/// second, which a spinning I/O thread on the same CPU brings about.
#pragma once

#include "base/time.h"

namespace holdfast::watchdog {

/// How the supervisor's clock stands after a look.
struct Look {
    Instant at;             ///< Own time; starts at 0 and never jumps.
    bool was_late = false;  ///< The supervisor did not run: judge nobody by this look.
};

/// See the file comment. Pure: the monotonic clock is handed in.
class OwnTime {
public:
    static constexpr Duration kTick = Duration::from_ms(100);
    static constexpr Duration kLateMax = Duration::from_ms(100);

    explicit constexpr OwnTime(Instant now) noexcept : last_(now) {}

    /// `now`: of a monotonic clock, after every wake-up, be it early or late.
    [[nodiscard]] constexpr Look look(Instant now) noexcept {
        const Duration passed = now - last_;
        last_ = now;
        if (passed > kTick + kLateMax) return {.at = own_, .was_late = true};
        if (passed > Duration{}) own_ = own_ + passed;
        return {.at = own_};
    }
    /// The own time of the last look.
    [[nodiscard]] constexpr Instant at() const noexcept { return own_; }

private:
    Instant last_;
    Instant own_;
};

}  // namespace holdfast::watchdog
