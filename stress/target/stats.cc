#include "stress/target/stats.h"

#include <nlohmann/json.hpp>

namespace holdfast::target {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

template <std::size_t N>
nlohmann::json by_code(const std::array<std::uint64_t, N>& counts) {
    auto json = nlohmann::json::object();
    for (std::size_t code = 0; code < N; ++code) {
        if (counts[code] == 0) continue;
        const std::string name{kHexDigits[code >> 4], kHexDigits[code & 0xfU]};
        json[name] = counts[code];
    }
    return json;
}

}  // namespace

std::string stats_json(Target& target, int indent) {
    const Counters& counters = target.counters();
    nlohmann::json json{
        {"connections", counters.connections},
        {"connections_lost", counters.connections_lost},
        {"logins", counters.logins},
        {"logins_refused", counters.logins_refused},
        {"sessions", target.sessions().size()},
        {"sessions_reinstated", counters.sessions_reinstated},
        {"connections_reinstated", counters.connections_reinstated},
        {"recovery_logouts", counters.recovery_logouts},
        {"tasks_reassigned", counters.tasks_reassigned},
        {"tasks_forgotten", counters.tasks_forgotten},
        {"snacks", counters.snacks},
        {"snacks_refused", counters.snacks_refused},
        {"pdus_sent_again", counters.pdus_sent_again},
        {"tasks_preempted", counters.tasks_preempted},
        {"logouts", counters.logouts},
        {"pdus_received", counters.pdus_received},
        {"pdus_sent", counters.pdus_sent},
        {"bytes_read", counters.bytes_read},
        {"bytes_written", counters.bytes_written},
        {"commands", counters.commands},
        {"fua_writes", counters.fua_writes},
        {"r2ts", counters.r2ts},
        {"unsolicited_bytes", counters.unsolicited_bytes},
        {"task_management", counters.task_management},
        {"tasks_aborted", counters.tasks_aborted},
        {"digest_errors", counters.digest_errors},
        {"stray_data_out", counters.stray_data_out},
        {"pings_answered", counters.pings_answered},
        {"power_cuts", counters.power_cuts},
        {"blocks_lost", counters.blocks_lost},
        {"late_writes", counters.late_writes},
        {"late_writes_cancelled", counters.late_writes_cancelled},
    };
    json["scsi"] = by_code(counters.scsi);
    json["received"] = by_code(counters.received);
    json["violations"] = counters.violations;
    json["faults"] = counters.faults;
    auto units = nlohmann::json::object();
    for (auto& [id, unit] : target.units()) {
        units[std::to_string(id)] = {{"blocks", unit.disk().block_count()},
                                     {"unflushed_blocks", unit.disk().unflushed_blocks()}};
    }
    json["units"] = std::move(units);
    return json.dump(indent);
}

}  // namespace holdfast::target
