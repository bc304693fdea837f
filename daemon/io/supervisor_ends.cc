/// The supervisor towards those outside: signs of life, and the order of its end.
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/fixed_vector.h"
#include "daemon/io/child.h"
#include "daemon/io/driver.h"
#include "daemon/io/supervisor.h"
#include "reserve/number_text.h"

namespace holdfast::daemon {

namespace {

Instant clock() noexcept {
    return Driver::clock();
}

}  // namespace

// Signs of life.

/// The first of its messages counts: what a control process that starts anew wants is known.
void Supervisor::on_control_ready(std::uint64_t watchdog_seconds) noexcept {
    if (std::exchange(is_ready_, true)) return;
    constexpr std::uint64_t kSecondsMax = 3600;
    if (watchdog_seconds > 0) {
        const auto seconds = static_cast<std::int64_t>(std::min(watchdog_seconds, kSecondsMax));
        auto opened = WatchdogDevice::open(options_.watchdog_device, Duration::from_s(seconds));
        if (opened) {
            machine_ = *std::move(opened);
            signs_.watch_by_machine(machine_.patience());
        } else {
            put_lines("holdfastd: the machine's watchdog cannot be opened: ");
            put_lines(opened.error().text());
            put_lines("\n");
        }
    }
    manager_.tell("READY=1");
}

void Supervisor::show_life(Instant now) noexcept {
    watchdog::Care care = watchdog::Care::Served;
    for (const ProcessPair& pair : pairs_)
        if (pair.is_used()) care = worse(care, pair.care(own_time_.at(), maker_.pid() > 0));
    const watchdog::LifeSigns::Due due = signs_.look(now, care);
    if (due.to_manager) manager_.tell("WATCHDOG=1");
    if (due.to_machine) machine_.show_life();
    if (manager_.is_there() && is_ready_) tell_status(care);
}

/// "STATUS=2 attachments: served", when that has changed.
void Supervisor::tell_status(watchdog::Care care) noexcept {
    const auto count =
        static_cast<std::uint32_t>(std::ranges::count_if(pairs_, &ProcessPair::is_used));
    const std::uint32_t counts = count * watchdog::kCareCount + static_cast<std::uint32_t>(care);
    if (std::exchange(told_counts_, counts) == counts) return;
    FixedString<127> line;
    line.assign_cut("STATUS=");
    static_cast<void>(line.try_append(reserve::NumberText{count}.view()) &&
                      line.try_append(count == 1 ? " attachment" : " attachments"));
    std::string_view word;
    if (count > 0 && care == watchdog::Care::Served) word = ", served";
    if (care == watchdog::Care::Held) word = "; requests of some wait";
    if (care == watchdog::Care::Lost) word = "; some are lost: see holdfast status";
    static_cast<void>(line.try_append(word));
    manager_.tell(line.view());
}

// Shutdown.

void Supervisor::begin_shutdown() noexcept {
    if (is_shutting_down_) return;
    is_shutting_down_ = true;
    manager_.tell("STOPPING=1");
    control_due_ = Instant::never();
    hurry_at_ = clock() + kHurryAfter;
    kill_at_ = clock() + kKillAfter;
    for (ProcessPair& pair : pairs_) {
        if (!pair.is_used()) continue;
        if (pair.is_in_use())
            leave_in_use(pair);
        else if (pair.is_holding())
            end(pair, 0, 0);
        else
            pair.order_detach(false);
    }
}

/// Its process goes on serving without us: nobody may lose swap or a file system.
void Supervisor::leave_in_use(ProcessPair& pair) noexcept {
    const auto path = ublk_path(pair.ublk_id());
    put_lines("holdfastd: a device is in use and stays: ");
    put_lines(path.data());
    put_lines("\n");
    pair.forget();
}

void Supervisor::advance_shutdown() noexcept {
    const Instant now = clock();
    if (now >= hurry_at_) {
        hurry_at_ = Instant::never();
        for (ProcessPair& pair : pairs_)
            if (pair.is_used()) pair.order_detach(true);
    }
    if (now >= kill_at_) {
        kill_at_ = Instant::never();
        for (const ProcessPair& pair : pairs_)
            if (pair.is_used()) pair.kill_all();
        if (control_pid_ > 0) ::kill(control_pid_, SIGKILL);
    }
    if (has_live()) return;
    if (control_pid_ == 0) {
        machine_.stop();
        exit_code_ = EXIT_SUCCESS;
    } else if (!std::exchange(has_told_control_, true)) {
        ::kill(control_pid_, SIGTERM);
    }
}

}  // namespace holdfast::daemon
