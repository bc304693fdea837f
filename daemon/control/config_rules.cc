#include "daemon/control/config_rules.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

#include "daemon/control/number.h"

namespace holdfast::daemon {

namespace {

using initiator::DigestWish;
using initiator::OperationalWish;
using initiator::TimerConfig;

constexpr std::uint32_t kSegmentMin = 512;             // RFC 7143 section 13.12.
constexpr std::uint32_t kSegmentMax = (1U << 24) - 1;  // RFC 7143 section 13.12.
constexpr std::size_t kPortalsMax = 4;
constexpr std::size_t kInterfaceMax = 15;  // IFNAMSIZ, without the zero.

std::unexpected<std::string> want(std::string text) {
    return std::unexpected{std::move(text)};
}

RuleVerdict take_bool(const toml::node& value, bool& to) {
    const auto flag = value.value_exact<bool>();
    if (!flag) return want("true or false");
    to = *flag;
    return {};
}

RuleVerdict take_text(const toml::node& value, std::string& to, std::size_t bytes_max) {
    const auto text = value.value_exact<std::string>();
    if (!text || text->empty() || text->size() > bytes_max)
        return want(fmt::format("a text of 1 to {} bytes in quotes", bytes_max));
    to = *text;
    return {};
}

RuleVerdict take_path(const toml::node& value, std::string& to) {
    constexpr std::size_t kPathMax = 4095;
    const auto text = value.value_exact<std::string>();
    if (!text || !text->starts_with('/') || text->size() > kPathMax)
        return want("an absolute path in quotes");
    to = *text;
    return {};
}

struct Range {
    std::int64_t low;
    std::int64_t high;
};

template <class N>
RuleVerdict take_number(const toml::node& value, N& to, Range range) {
    const auto number = value.value_exact<std::int64_t>();
    if (!number || *number < range.low || *number > range.high)
        return want(fmt::format("a number from {} to {}", range.low, range.high));
    to = static_cast<N>(*number);
    return {};
}

/// 65536 or "64KiB".
RuleVerdict take_size(const toml::node& value, std::uint32_t& to, Range range,
                      std::int64_t multiple = 1) {
    std::optional<std::uint64_t> bytes;
    if (const auto number = value.value_exact<std::int64_t>(); number && *number >= 0)
        bytes = static_cast<std::uint64_t>(*number);
    if (const auto text = value.value_exact<std::string>()) bytes = size_from(*text);
    const bool fits = bytes && *bytes >= static_cast<std::uint64_t>(range.low) &&
                      *bytes <= static_cast<std::uint64_t>(range.high) &&
                      *bytes % static_cast<std::uint64_t>(multiple) == 0;
    if (!fits) {
        const std::string step = multiple == 1 ? "" : fmt::format(", a multiple of {}", multiple);
        return want(fmt::format("a size from {} to {} bytes{}, such as 65536 or \"64KiB\"",
                                range.low, range.high, step));
    }
    to = static_cast<std::uint32_t>(*bytes);
    return {};
}

RuleVerdict take_time(const toml::node& value, Duration& to, bool may_be_for_ever = false) {
    constexpr Duration kTimeMax = Duration::from_s(24 * 3600);
    std::optional<Duration> time;
    if (const auto text = value.value_exact<std::string>()) time = duration_from(*text);
    const bool fits = time && *time > Duration{} &&
                      (*time <= kTimeMax || (may_be_for_ever && *time == Duration::max()));
    if (!fits)
        return want(fmt::format("a time such as \"500ms\", \"15s\" or \"2min\", up to \"24h\"{}",
                                may_be_for_ever ? ", or \"forever\"" : ""));
    to = *time;
    return {};
}

RuleVerdict take_digest(const toml::node& value, DigestWish& to) {
    const auto text = value.value_exact<std::string>().value_or("");
    if (text == "prefer") {
        to = DigestWish::Prefer;
    } else if (text == "require") {
        to = DigestWish::Require;
    } else if (text == "never") {
        to = DigestWish::Never;
    } else {
        return want("\"prefer\", \"require\" or \"never\"");
    }
    return {};
}

template <class E, class From>
RuleVerdict take_name(const toml::node& value, E& to, From from, const char* names) {
    const auto found = from(value.value_exact<std::string>().value_or(""));
    if (!found) return want(names);
    to = *found;
    return {};
}

RuleVerdict take_portals(const toml::node& value, AttachSettings& to) {
    const toml::array* list = value.as_array();
    if (list == nullptr || list->empty() || list->size() > kPortalsMax)
        return want("a list of 1 to 4 portals such as [\"192.0.2.1:3260\"]");
    to.portals.clear();
    for (const toml::node& item : *list) {
        auto portal = parse_host_port(item.value_exact<std::string>().value_or(""));
        if (!portal) return want("a list of portals: " + portal.error().sentence);
        to.portals.push_back(*std::move(portal));
    }
    return {};
}

RuleVerdict take_target_url(const toml::node& value, AttachSettings& to) {
    auto url = parse_unit_url(value.value_exact<std::string>().value_or(""));
    if (!url) return want("a URL: " + url.error().sentence);
    if (!url->password.empty()) return want("a URL without a password (use password_file)");
    to.target = std::move(url->target);
    to.lun = url->lun;
    to.portals = {std::move(url->portal)};
    if (!url->user.empty()) to.user = std::move(url->user);
    return {};
}

RuleVerdict take_lun(const toml::node& value, AttachSettings& to) {
    std::uint32_t number = 0;
    if (const auto verdict = take_number(value, number, {0, kLunMax}); !verdict) return verdict;
    to.lun = number;
    return {};
}

RuleVerdict take_target(const toml::node& value, AttachSettings& to) {
    const auto text = value.value_exact<std::string>().value_or("");
    const bool has_form =
        text.starts_with("iqn.") || text.starts_with("eui.") || text.starts_with("naa.");
    if (!has_form || text.size() > 223) return want("an iSCSI name: iqn., eui. or naa.");
    to.target = text;
    return {};
}

RuleVerdict take_log_level(const toml::node& value, LogLevel& to) {
    constexpr std::array<std::pair<std::string_view, LogLevel>, 5> kLevels{
        {{"error", LogLevel::Error},
         {"warning", LogLevel::Warning},
         {"note", LogLevel::Note},
         {"info", LogLevel::Info},
         {"debug", LogLevel::Debug}}};
    const auto text = value.value_exact<std::string>().value_or("");
    for (const auto& [name, level] : kLevels) {
        if (name != text) continue;
        to = level;
        return {};
    }
    return want("\"error\", \"warning\", \"note\", \"info\" or \"debug\"");
}

constexpr Range kRequestRange{4096, AttachSpec::kRequestBytesMax};
constexpr Range kSocketRange{0, 64 * 1024 * 1024};
constexpr Range kSegmentRange{kSegmentMin, kSegmentMax};
constexpr Range kWaitRange{0, 3600};
constexpr std::size_t kGroupBytesMax = 32;  // As useradd(8) allows.
constexpr std::size_t kChapMax = 255;
constexpr std::size_t kSunPathMax = 107;

using N = const toml::node&;

constexpr std::array kTuningRules{
    Rule<Tuning>{
        "depth",
        [](N v, Tuning& t) { return take_number(v, t.depth, {1, AttachSpec::kDepthMax}); }},
    Rule<Tuning>{"request_size",
                 [](N v, Tuning& t) { return take_size(v, t.request_bytes, kRequestRange, 4096); }},
    Rule<Tuning>{"connections",
                 [](N v, Tuning& t) {
                     return take_number(v, t.connections, {1, AttachSpec::kConnectionsMax});
                 }},
    Rule<Tuning>{"send_buffer",
                 [](N v, Tuning& t) { return take_size(v, t.socket.send_bytes, kSocketRange); }},
    Rule<Tuning>{"receive_buffer",
                 [](N v, Tuning& t) { return take_size(v, t.socket.receive_bytes, kSocketRange); }},
    Rule<Tuning>{
        "tier",
        [](N v, Tuning& t) { return take_name(v, t.tier, tier_from, "\"A\", \"B\" or \"C\""); }},
    Rule<Tuning>{"fence",
                 [](N v, Tuning& t) {
                     return take_name(v, t.fence, fence_wish_from, "\"auto\" or \"preempt\"");
                 }},
    Rule<Tuning>{"path",
                 [](N v, Tuning& t) {
                     return take_name(v, t.path, network_path_from,
                                      "\"kernel\", \"xdp\" or \"auto\"");
                 }},
    Rule<Tuning>{"header_digest",
                 [](N v, Tuning& t) { return take_digest(v, t.wish.header_digest); }},
    Rule<Tuning>{"data_digest", [](N v, Tuning& t) { return take_digest(v, t.wish.data_digest); }},
};

constexpr std::array kTimerRules{
    Rule<TimerConfig>{"login", [](N v, TimerConfig& t) { return take_time(v, t.login); }},
    Rule<TimerConfig>{"logout", [](N v, TimerConfig& t) { return take_time(v, t.logout); }},
    Rule<TimerConfig>{"nop_interval",
                      [](N v, TimerConfig& t) { return take_time(v, t.nop_interval); }},
    Rule<TimerConfig>{"nop_timeout",
                      [](N v, TimerConfig& t) { return take_time(v, t.nop_timeout); }},
    Rule<TimerConfig>{"command", [](N v, TimerConfig& t) { return take_time(v, t.command); }},
    Rule<TimerConfig>{"flush", [](N v, TimerConfig& t) { return take_time(v, t.flush); }},
    Rule<TimerConfig>{"abort_task", [](N v, TimerConfig& t) { return take_time(v, t.abort_task); }},
    Rule<TimerConfig>{"lun_reset", [](N v, TimerConfig& t) { return take_time(v, t.lun_reset); }},
    Rule<TimerConfig>{"target_reset",
                      [](N v, TimerConfig& t) { return take_time(v, t.target_reset); }},
    Rule<TimerConfig>{"replacement",
                      [](N v, TimerConfig& t) { return take_time(v, t.replacement, true); }},
    Rule<TimerConfig>{"reconnect_min",
                      [](N v, TimerConfig& t) { return take_time(v, t.reconnect_min); }},
    Rule<TimerConfig>{"reconnect_max",
                      [](N v, TimerConfig& t) { return take_time(v, t.reconnect_max); }},
    Rule<TimerConfig>{"fence_wait", [](N v, TimerConfig& t) { return take_time(v, t.fence_wait); }},
};

constexpr std::array kNegotiationRules{
    Rule<OperationalWish>{"initial_r2t",
                          [](N v, OperationalWish& w) { return take_bool(v, w.initial_r2t); }},
    Rule<OperationalWish>{"immediate_data",
                          [](N v, OperationalWish& w) { return take_bool(v, w.immediate_data); }},
    Rule<OperationalWish>{"max_recv_data_segment",
                          [](N v, OperationalWish& w) {
                              return take_size(v, w.max_recv_data_segment_bytes, kSegmentRange);
                          }},
    Rule<OperationalWish>{
        "max_burst",
        [](N v, OperationalWish& w) { return take_size(v, w.max_burst_bytes, kSegmentRange); }},
    Rule<OperationalWish>{
        "first_burst",
        [](N v, OperationalWish& w) { return take_size(v, w.first_burst_bytes, kSegmentRange); }},
    Rule<OperationalWish>{"max_outstanding_r2t",
                          [](N v, OperationalWish& w) {
                              return take_number(v, w.max_outstanding_r2t,
                                                 {1, OperationalWish::kOutstandingR2tMax});
                          }},
    Rule<OperationalWish>{"error_recovery_level",
                          [](N v, OperationalWish& w) {
                              return take_number(v, w.error_recovery_level,
                                                 {0, OperationalWish::kErrorRecoveryLevelMax});
                          }},
    Rule<OperationalWish>{
        "time2wait",
        [](N v, OperationalWish& w) { return take_number(v, w.time2wait_s, kWaitRange); }},
    Rule<OperationalWish>{
        "time2retain",
        [](N v, OperationalWish& w) { return take_number(v, w.time2retain_s, kWaitRange); }},
    Rule<OperationalWish>{
        "data_pdu_in_order",
        [](N v, OperationalWish& w) { return take_bool(v, w.data_pdu_in_order); }},
    Rule<OperationalWish>{
        "data_sequence_in_order",
        [](N v, OperationalWish& w) { return take_bool(v, w.data_sequence_in_order); }},
};

constexpr std::array kAttachmentRules{
    Rule<AttachSettings>{"profile",
                         [](N v, AttachSettings& s) {
                             return take_name(v, s.profile, profile_from,
                                              "\"swap\", \"root\", \"data\" or \"multipath\"");
                         }},
    Rule<AttachSettings>{"url", take_target_url},
    Rule<AttachSettings>{"target", take_target},
    Rule<AttachSettings>{"lun", take_lun},
    Rule<AttachSettings>{"portals", take_portals},
    Rule<AttachSettings>{"user",
                         [](N v, AttachSettings& s) { return take_text(v, s.user, kChapMax); }},
    Rule<AttachSettings>{"password_file",
                         [](N v, AttachSettings& s) { return take_path(v, s.password_file); }},
    Rule<AttachSettings>{
        "mutual_user",
        [](N v, AttachSettings& s) { return take_text(v, s.mutual_user, kChapMax); }},
    Rule<AttachSettings>{
        "mutual_password_file",
        [](N v, AttachSettings& s) { return take_path(v, s.mutual_password_file); }},
    Rule<AttachSettings>{"chap_md5_only",
                         [](N v, AttachSettings& s) { return take_bool(v, s.md5_only); }},
    Rule<AttachSettings>{"export",
                         [](N v, AttachSettings& s) {
                             return take_name(v, s.exported, export_kind_from,
                                              "\"ublk\" or \"nbd\"");
                         }},
    Rule<AttachSettings>{"nbd_socket",
                         [](N v, AttachSettings& s) {
                             const auto verdict = take_path(v, s.nbd_socket);
                             if (verdict && s.nbd_socket.size() > kSunPathMax)
                                 return RuleVerdict{want("a path of at most 107 bytes")};
                             return verdict;
                         }},
    Rule<AttachSettings>{
        "ublk_id", [](N v, AttachSettings& s) { return take_number(v, s.ublk_id, {0, 1048575}); }},
    Rule<AttachSettings>{"read_only",
                         [](N v, AttachSettings& s) { return take_bool(v, s.read_only); }},
    Rule<AttachSettings>{"shared", [](N v, AttachSettings& s) { return take_bool(v, s.shared); }},
    Rule<AttachSettings>{"slot",
                         [](N v, AttachSettings& s) { return take_number(v, s.slot, {0, 255}); }},
    Rule<AttachSettings>{"auto",
                         [](N v, AttachSettings& s) { return take_bool(v, s.starts_by_itself); }},
    Rule<AttachSettings>{"force_tier",
                         [](N v, AttachSettings& s) { return take_bool(v, s.force_tier); }},
    Rule<AttachSettings>{"without_lockdown",
                         [](N v, AttachSettings& s) { return take_bool(v, s.without_lockdown); }},
    Rule<AttachSettings>{
        "keep_kernel_reserve",
        [](N v, AttachSettings& s) { return take_bool(v, s.keep_kernel_reserve); }},
    Rule<AttachSettings>{"classifier",
                         [](N v, AttachSettings& s) {
                             return take_name(v, s.gate.wish.emplace(), gate_wish_from,
                                              "\"off\", \"auto\", \"require\" or \"generic\"");
                         }},
    Rule<AttachSettings>{
        "classifier_interface",
        [](N v, AttachSettings& s) { return take_text(v, s.gate.interface, kInterfaceMax); }},
    Rule<AttachSettings>{
        "management_port",
        [](N v, AttachSettings& s) { return take_number(v, s.gate.management_port, {0, 65535}); }},
    Rule<AttachSettings>{
        "management_rate",
        [](N v, AttachSettings& s) { return take_number(v, s.gate.management_rate, {1, 100000}); }},
    Rule<AttachSettings>{"standby",
                         [](N v, AttachSettings& s) { return take_bool(v, s.standby.emplace()); }},
};

constexpr std::array kSecretRules{
    Rule<AttachSettings>{"password",
                         [](N v, AttachSettings& s) { return take_text(v, s.password, kChapMax); }},
    Rule<AttachSettings>{
        "mutual_password",
        [](N v, AttachSettings& s) { return take_text(v, s.mutual_password, kChapMax); }},
};

constexpr std::array kDaemonRules{
    Rule<Config>{"socket", [](N v, Config& c) { return take_path(v, c.socket); }},
    Rule<Config>{"socket_group",
                 [](N v, Config& c) { return take_text(v, c.socket_group, kGroupBytesMax); }},
    Rule<Config>{"user", [](N v, Config& c) { return take_text(v, c.user, kGroupBytesMax); }},
    Rule<Config>{"machine_watchdog",
                 [](N v, Config& c) { return take_time(v, c.machine_watchdog); }},
    Rule<Config>{"state_directory", [](N v, Config& c) { return take_path(v, c.state_directory); }},
    Rule<Config>{"initiator_name_file",
                 [](N v, Config& c) { return take_path(v, c.initiator_name_file); }},
    Rule<Config>{"trace_directory", [](N v, Config& c) { return take_path(v, c.trace_directory); }},
    Rule<Config>{"traces_kept",
                 [](N v, Config& c) { return take_number(v, c.traces_kept, {0, 1000}); }},
    Rule<Config>{"log_level", [](N v, Config& c) { return take_log_level(v, c.log_level); }},
};

}  // namespace

std::span<const Rule<Tuning>> tuning_rules() {
    return kTuningRules;
}
std::span<const Rule<TimerConfig>> timer_rules() {
    return kTimerRules;
}
std::span<const Rule<OperationalWish>> negotiation_rules() {
    return kNegotiationRules;
}
std::span<const Rule<AttachSettings>> attachment_rules() {
    return kAttachmentRules;
}
std::span<const Rule<AttachSettings>> secret_rules() {
    return kSecretRules;
}
std::span<const Rule<Config>> daemon_rules() {
    return kDaemonRules;
}

}  // namespace holdfast::daemon
