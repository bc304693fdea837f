#include "daemon/control/watch_json.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

#include "watchdog/supervise/pair.h"

namespace holdfast::daemon {

namespace {

using enum std::memory_order;
using watchdog::ActivePhase;
using watchdog::Death;
using watchdog::StandbySeat;

constexpr std::array<std::string_view, watchdog::kActivePhaseCount> kPhases{
    "opening", "serving", "taking over", "holding", "ended"};
constexpr std::array<std::string_view, watchdog::kStandbySeatCount> kSeats{"none", "warming up",
                                                                           "standing"};
constexpr std::array<std::string_view, watchdog::kDeathCount> kDeaths{"left", "crashed", "hung",
                                                                      "killed"};

template <std::size_t N>
std::string_view name_in(const std::array<std::string_view, N>& names, std::uint32_t number) {
    return number < N ? names[number] : std::string_view{"unknown"};
}

double ms_from(std::int64_t ns) {
    return static_cast<double>(ns) / 1e6;
}

std::string death_text(const watchdog::WatchBlock& block) {
    const std::uint32_t death = block.last_death.load(relaxed);
    if (death == static_cast<std::uint32_t>(Death::Left)) return {};
    if (death == static_cast<std::uint32_t>(Death::Hung))
        return "it gave no sign of life, and was killed";
    const std::int32_t signal = block.last_signal.load(relaxed);
    if (signal == 0) return std::string{name_in(kDeaths, death)};
    return fmt::format("{} by signal {}", name_in(kDeaths, death), signal);
}

/// What the operator must do, or know. Empty: nothing.
std::string advice_for(const watchdog::WatchBlock& block) {
    const std::uint32_t phase = block.active_phase.load(relaxed);
    const std::uint32_t seat = block.standby_seat.load(relaxed);
    if (phase == static_cast<std::uint32_t>(ActivePhase::Holding))
        return "its I/O processes died too often: requests wait, and one more is tried every "
               "minute; look into the log and the traces, upgrade, or detach with --force";
    if (phase == static_cast<std::uint32_t>(ActivePhase::Serving) &&
        seat != static_cast<std::uint32_t>(StandbySeat::Standing) &&
        block.wants_standby.load(relaxed) != 0)
        return "nobody stands by yet: a death now costs a cold start, which needs memory";
    return {};
}

}  // namespace

Json watch_json(const watchdog::WatchBlock& block) {
    Json json;
    json["state"] = name_in(kPhases, block.active_phase.load(relaxed));
    const bool is_wanted = block.wants_standby.load(relaxed) != 0;
    json["standby"] = is_wanted ? name_in(kSeats, block.standby_seat.load(relaxed)) : "not wanted";
    if (const std::int32_t pid = block.active_pid.load(relaxed); pid > 0) json["active_pid"] = pid;
    if (const std::int32_t pid = block.standby_pid.load(relaxed); pid > 0)
        json["standby_pid"] = pid;
    json["takeovers"] = block.takeovers.load(relaxed);
    json["hangs"] = block.hangs.load(relaxed);
    if (block.takeovers.load(relaxed) > 0) {
        json["takeover_last_ms"] = ms_from(block.takeover_last_ns.load(relaxed));
        json["takeover_worst_ms"] = ms_from(block.takeover_worst_ns.load(relaxed));
    }
    if (block.is_upgrading.load(relaxed) != 0) json["upgrading"] = true;
    if (const std::uint64_t upgrades = block.upgrades.load(relaxed); upgrades > 0) {
        json["upgrades"] = upgrades;
        json["upgrade_pause_ms"] = ms_from(block.upgrade_pause_ns.load(relaxed));
    }
    if (const std::string death = death_text(block); !death.empty()) json["last_death"] = death;
    if (const std::string advice = advice_for(block); !advice.empty()) json["advice"] = advice;
    return json;
}

}  // namespace holdfast::daemon
