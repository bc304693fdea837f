#include "daemon/control/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace holdfast::daemon {

namespace {

constexpr std::array<std::string_view, kProfileCount> kProfiles{"swap", "root", "data",
                                                                "multipath"};
constexpr std::array<std::string_view, kTierCount> kTiers{"A", "B", "C"};
constexpr std::array<std::string_view, kExportKindCount> kExports{"ublk", "nbd"};
constexpr std::array<std::string_view, 2> kFences{"auto", "preempt"};
constexpr std::array<std::string_view, kNetworkPathCount> kPaths{"kernel", "xdp", "auto"};

template <class E, std::size_t N>
std::optional<E> enumerator_from(const std::array<std::string_view, N>& names,
                                 std::string_view text) noexcept {
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) return {};
    return static_cast<E>(found - names.begin());
}

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

/// "12<unit>" times the unit's factor; empty without digits, with another unit, or on overflow.
template <std::size_t N>
std::optional<std::uint64_t> quantity_from(std::string_view text,
                                           const std::array<Unit, N>& units) noexcept {
    std::uint64_t count = 0;
    const auto [stop, error] = std::from_chars(text.begin(), text.end(), count);
    if (error != std::errc{}) return {};
    const std::string_view suffix{stop, text.end()};
    const auto unit = std::ranges::find(units, suffix, &Unit::name);
    if (unit == units.end()) return {};
    if (count > std::numeric_limits<std::uint64_t>::max() / unit->factor) return {};
    return count * unit->factor;
}

}  // namespace

Tuning default_tuning(ProfileId profile) {
    Tuning tuning;
    switch (profile) {
    case ProfileId::Swap:
        // Locked memory is memory that the machine cannot use: 2 MiB of data at most. A deeper
        // queue of pages on their way out makes each page that somebody waits for wait longer.
        tuning.depth = 16;
        tuning.request_bytes = 128 * 1024;
        tuning.tier = PromiseTier::B;
        break;
    case ProfileId::Root:
        tuning.depth = 64;
        tuning.request_bytes = 256 * 1024;
        tuning.tier = PromiseTier::B;
        break;
    case ProfileId::Data:
        tuning.depth = 128;
        tuning.request_bytes = 512 * 1024;
        tuning.timers.replacement = Duration::from_s(120);
        break;
    case ProfileId::Multipath:
        tuning.depth = 128;
        tuning.request_bytes = 256 * 1024;
        tuning.timers.replacement = Duration::from_s(5);
        break;
    }
    return tuning;
}

bool default_standby(ProfileId profile) noexcept {
    return profile == ProfileId::Swap || profile == ProfileId::Root;
}

std::optional<GateWish> gate_wish_from(std::string_view text) noexcept {
    if (text == "off") return GateWish::Off;
    if (text == "auto") return GateWish::Auto;
    if (text == "require") return GateWish::Require;
    if (text == "generic") return GateWish::Generic;
    return {};
}

std::string_view to_text(ProfileId profile) noexcept {
    return kProfiles[static_cast<std::size_t>(profile)];
}
std::string_view to_text(PromiseTier tier) noexcept {
    return kTiers[static_cast<std::size_t>(tier)];
}
std::string_view to_text(ExportKind kind) noexcept {
    return kExports[static_cast<std::size_t>(kind)];
}
std::string_view to_text(NetworkPath path) noexcept {
    return kPaths[static_cast<std::size_t>(path)];
}
std::optional<ProfileId> profile_from(std::string_view text) noexcept {
    return enumerator_from<ProfileId>(kProfiles, text);
}
std::optional<PromiseTier> tier_from(std::string_view text) noexcept {
    return enumerator_from<PromiseTier>(kTiers, text);
}
std::optional<ExportKind> export_kind_from(std::string_view text) noexcept {
    return enumerator_from<ExportKind>(kExports, text);
}

std::optional<FenceWish> fence_wish_from(std::string_view text) noexcept {
    return enumerator_from<FenceWish>(kFences, text);
}

std::optional<NetworkPath> network_path_from(std::string_view text) noexcept {
    return enumerator_from<NetworkPath>(kPaths, text);
}

std::optional<Duration> duration_from(std::string_view text) noexcept {
    if (text == "forever") return Duration::max();
    constexpr std::array<Unit, 4> kUnits{{{"ms", 1'000'000},
                                          {"s", 1'000'000'000},
                                          {"min", 60'000'000'000},
                                          {"h", 3'600'000'000'000}}};
    const auto ns = quantity_from(text, kUnits);
    if (!ns || *ns > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return {};
    return Duration::from_ns(static_cast<std::int64_t>(*ns));
}

std::optional<std::uint64_t> size_from(std::string_view text) noexcept {
    constexpr std::array<Unit, 9> kUnits{{{"", 1},
                                          {"KiB", 1ULL << 10},
                                          {"MiB", 1ULL << 20},
                                          {"GiB", 1ULL << 30},
                                          {"TiB", 1ULL << 40},
                                          {"K", 1ULL << 10},
                                          {"M", 1ULL << 20},
                                          {"G", 1ULL << 30},
                                          {"k", 1ULL << 10}}};
    return quantity_from(text, kUnits);
}

std::string to_text(Duration duration) {
    if (duration == Duration::max()) return "forever";
    const std::int64_t ms = duration.ms();
    return ms % 1000 == 0 ? fmt::format("{}s", ms / 1000) : fmt::format("{}ms", ms);
}

}  // namespace holdfast::daemon
