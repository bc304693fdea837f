/// When the supervisor shows life to those who watch it: the service manager, which would end it,
/// and the machine's watchdog, which would reset the machine. Each has a time within which a sign
/// must come; four come in that time.
///
/// While an attachment is lost no sign is given: then the machine is better off anew.
///
/// Times are those of the monotonic clock, because that is how we are judged: after a pause of our
/// own a sign is due at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.h"
#include "base/time.h"
#include "watchdog/supervise/care.h"

namespace holdfast::watchdog {

/// See the file comment. Pure.
class LifeSigns {
public:
    static constexpr std::int64_t kSignsPerTimeout = 4;

    /// Whom to show life to.
    struct Due {
        bool to_manager = false;
        bool to_machine = false;
    };

    /// It wants a sign within each `timeout` from now on.
    constexpr void watch_by_manager(Duration timeout) noexcept { manager_ = Watcher{timeout}; }
    constexpr void watch_by_machine(Duration timeout) noexcept { machine_ = Watcher{timeout}; }

    /// At every look, and when next() has come.
    [[nodiscard]] constexpr Due look(Instant now, Care care) noexcept {
        is_silent_ = care == Care::Lost;
        if (is_silent_) return {};
        return {.to_manager = manager_.take(now), .to_machine = machine_.take(now)};
    }
    /// When look() is due for its own sake; never while it would give no sign.
    [[nodiscard]] constexpr Instant next() const noexcept {
        return is_silent_ ? Instant::never() : earlier(manager_.due, machine_.due);
    }

private:
    struct Watcher {
        Duration interval{};
        Instant due = Instant::never();

        constexpr Watcher() noexcept = default;
        explicit constexpr Watcher(Duration timeout) noexcept
            : interval(Duration::from_ns(timeout.ns() / kSignsPerTimeout)), due(Instant{}) {
            HF_ASSERT(interval > Duration{});
        }
        [[nodiscard]] constexpr bool take(Instant now) noexcept {
            if (now < due) return false;
            due = now + interval;
            return true;
        }
    };

    Watcher manager_;
    Watcher machine_;
    bool is_silent_ = false;
};

}  // namespace holdfast::watchdog
