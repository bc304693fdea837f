#include <fmt/format.h>

#include <string>
#include <string_view>

#include "daemon/client/progress.h"
#include "daemon/client/verbs.h"

namespace holdfast::daemon {

namespace {

/// The text of a value that may be missing, because another release may leave it out.
std::string text_at(const Json& json, const char* pointer) {
    const Json::json_pointer at{pointer};
    if (!json.contains(at)) return "-";
    const Json& value = json.at(at);
    return value.is_string() ? value.get<std::string>() : value.dump();
}

double number_at(const Json& json, const char* pointer) {
    const Json::json_pointer at{pointer};
    if (!json.contains(at) || !json.at(at).is_number()) return 0;
    return json.at(at).get<double>();
}

std::uint64_t count_at(const Json& json, const char* pointer) {
    const double number = number_at(json, pointer);
    return number <= 0 ? 0 : static_cast<std::uint64_t>(number);
}

bool is_set_at(const Json& json, const char* pointer) {
    const Json::json_pointer at{pointer};
    return json.contains(at) && json.at(at) == true;
}

void add_protections(std::string& text, const Json& status) {
    const auto rows = status.find("protections");
    if (rows == status.end() || rows->empty()) return;
    text += "  protections\n";
    for (const Json& row : *rows) {
        const bool holds = row.value("holds", false);
        text += fmt::format("    {} {:<22} wanted {:<18} found {}\n", holds ? "ok     " : "MISSING",
                            text_at(row, "/name"), text_at(row, "/wanted"), text_at(row, "/found"));
        const std::string advice = text_at(row, "/advice");
        if (!holds && advice.size() > 1) text += fmt::format("            {}\n", advice);
    }
}

void add_latency(std::string& text, const Json& status) {
    for (const char* operation : {"read", "write", "flush"}) {
        const std::string at = fmt::format("/latency/{}", operation);
        if (count_at(status, (at + "/count").c_str()) == 0) continue;
        text += fmt::format(
            "  {:<11} {} requests, mean {:.0f} us, p50 {:.0f}, p99 {:.0f}, max "
            "{:.0f} us\n",
            operation, count_at(status, (at + "/count").c_str()),
            number_at(status, (at + "/mean_us").c_str()),
            number_at(status, (at + "/p50_us").c_str()),
            number_at(status, (at + "/p99_us").c_str()),
            number_at(status, (at + "/max_us").c_str()));
    }
}

void add_watchdog(std::string& text, const Json& status) {
    if (!status.contains("watchdog")) return;
    text += fmt::format("  watchdog    {}, standby {}", text_at(status, "/watchdog/state"),
                        text_at(status, "/watchdog/standby"));
    if (const std::uint64_t takeovers = count_at(status, "/watchdog/takeovers"); takeovers > 0)
        text += fmt::format("; {} takeovers, the last in {:.0f} ms, the worst {:.0f} ms", takeovers,
                            number_at(status, "/watchdog/takeover_last_ms"),
                            number_at(status, "/watchdog/takeover_worst_ms"));
    text += '\n';
    for (const char* more : {"/watchdog/last_death", "/watchdog/advice"}) {
        const bool is_death = std::string_view{more}.ends_with("death");
        if (status.contains(Json::json_pointer{more}))
            text += fmt::format("              {}{}\n", is_death ? "last death: " : "",
                                text_at(status, more));
    }
}

void add_notices(std::string& text, const Json& status) {
    const auto notices = status.find("notices");
    if (notices == status.end() || notices->empty()) return;
    text += "  last events\n";
    for (const Json& notice : *notices)
        text += fmt::format("    {:.0f} s ago: {}\n", number_at(notice, "/seconds_ago"),
                            text_at(notice, "/text"));
}

void add_tier(std::string& text, const Json& status) {
    text += fmt::format("  tier        {}\n", text_at(status, "/tier"));
    const auto reasons = status.find("tier_reasons");
    if (reasons == status.end()) return;
    for (const Json& reason : *reasons)
        text += fmt::format("              {}\n",
                            reason.is_string() ? reason.get<std::string>() : reason.dump());
}

void add_path(std::string& text, const Json& status) {
    if (!status.contains("path")) return;
    text += fmt::format("  path        {}", text_at(status, "/path/kind"));
    if (status["path"].contains("interface"))
        text += fmt::format(", {} queues of {}, {}, packets of up to {} bytes",
                            count_at(status, "/path/queues"), text_at(status, "/path/interface"),
                            text_at(status, "/path/mode"), count_at(status, "/path/packet_bytes"));
    text += '\n';
}

}  // namespace

std::string classifier_text(const Json& classifier) {
    const auto packets = [&classifier](const char* key) {
        return count_at(classifier, fmt::format("/packets/{}", key).c_str());
    };
    const bool is_on = is_set_at(classifier, "/pressure/is_on");
    std::string text =
        fmt::format("  classifier  {} on {}, pressure {} ({}), lease {:.0f} s, {} flows\n",
                    text_at(classifier, "/xdp"), text_at(classifier, "/interface"),
                    is_on ? "ON" : "off", text_at(classifier, "/pressure/mode"),
                    number_at(classifier, "/lease_s"), count_at(classifier, "/flows"));
    text += fmt::format("              {} times, the switch took {:.3f} ms, at most {:.3f} ms\n",
                        count_at(classifier, "/pressure/times"),
                        number_at(classifier, "/pressure/switch_last_ms"),
                        number_at(classifier, "/pressure/switch_max_ms"));
    text += fmt::format(
        "              packets: {} of sessions, {} others passed, {} dropped\n",
        packets("session_to_socket") + packets("session_to_kernel"),
        packets("passed_calm") + packets("passed_unleased") + packets("passed_neighbour") +
            packets("passed_management") + packets("answered"),
        packets("dropped") + packets("dropped_management") + packets("session_without_socket"));
    const auto drops = classifier.find("drops");
    if (drops == classifier.end()) return text;
    constexpr std::size_t kShown = 8;
    for (std::size_t i = 0; i < drops->size() && i < kShown; ++i)
        text +=
            fmt::format("              dropped {} port {}: {}\n", text_at((*drops)[i], "/protocol"),
                        text_at((*drops)[i], "/port"), count_at((*drops)[i], "/packets"));
    return text;
}

std::string status_text(const Json& status) {
    std::string text = fmt::format("{}: {}", text_at(status, "/name"), text_at(status, "/state"));
    if (status.contains("last_failure"))
        text += fmt::format("\n  last failure: {}", text_at(status, "/last_failure"));
    text += '\n';
    if (!status.contains("session")) return text;
    text += fmt::format("  device      {} ({}, {})\n", text_at(status, "/export/path"),
                        size_text(count_at(status, "/export/size_bytes")),
                        text_at(status, "/export/kind"));
    text += fmt::format("  profile     {}, phase {}\n", text_at(status, "/profile"),
                        text_at(status, "/phase"));
    add_tier(text, status);
    add_watchdog(text, status);
    if (status.contains("classifier")) text += classifier_text(status["classifier"]);
    text += fmt::format("  session     {} to {} LUN {} at {}\n", text_at(status, "/session/phase"),
                        text_at(status, "/session/target"), text_at(status, "/session/lun"),
                        text_at(status, "/session/portal"));
    add_path(text, status);
    text += fmt::format("  agreed      {} of {} connections, recovery level {}, {} SNACKs sent\n",
                        count_at(status, "/session/connections"),
                        count_at(status, "/session/connections_agreed"),
                        count_at(status, "/session/error_recovery_level"),
                        count_at(status, "/counters/snacks_sent"));
    text += fmt::format("  fence       {}{}; of a lost connection: {}\n",
                        text_at(status, "/session/fence"),
                        is_set_at(status, "/session/fence_certain") ? "" : " (untried)",
                        text_at(status, "/session/fence_of_connection"));
    text +=
        fmt::format("  unit        {} {}, blocks of {} bytes\n", text_at(status, "/device/vendor"),
                    text_at(status, "/device/product"), text_at(status, "/device/block_bytes"));
    text += fmt::format("  memory      plan {}, locked {}, kernel reserve {} KiB\n",
                        size_text(count_at(status, "/memory/plan_bytes")),
                        size_text(count_at(status, "/memory/locked_bytes")),
                        count_at(status, "/memory/kernel_reserve_kib"));
    text += fmt::format("  traffic     {} read, {} written, {} requests, {} failed, {} retried\n",
                        size_text(count_at(status, "/counters/read_bytes")),
                        size_text(count_at(status, "/counters/written_bytes")),
                        count_at(status, "/counters/requests_done"),
                        count_at(status, "/counters/requests_failed"),
                        count_at(status, "/counters/retries"));
    text += fmt::format("  sessions    {} established, {} lost; ping {:.0f} us, worst {:.0f} us\n",
                        count_at(status, "/counters/sessions_established"),
                        count_at(status, "/counters/sessions_lost"),
                        number_at(status, "/counters/nop_rtt_last_us"),
                        number_at(status, "/counters/nop_rtt_max_us"));
    add_latency(text, status);
    add_protections(text, status);
    add_notices(text, status);
    return text;
}

}  // namespace holdfast::daemon
