#include "daemon/control/status_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/control/sentences.h"
#include "daemon/control/settings.h"
#include "initiator/scsi/lun.h"

namespace holdfast::daemon {

namespace {

constexpr std::uint8_t kDesignatorT10 = 1;
constexpr std::uint8_t kDesignatorEui64 = 2;
constexpr std::uint8_t kDesignatorNaa = 3;
constexpr std::array<std::uint32_t, 4> kPermilles{500, 950, 990, 999};
constexpr std::array<std::string_view, 4> kPercentileNames{"p50_us", "p95_us", "p99_us", "p999_us"};

double us_from_ns(std::uint64_t ns) {
    return static_cast<double>(ns) / 1000.0;
}

std::uint64_t size_bytes(const initiator::DeviceFacts& device) {
    return device.blocks * device.block_bytes;
}

std::string lun_text(initiator::Lun lun) {
    const auto number = initiator::scsi::number_of_lun(lun);
    return number ? fmt::format("{}", *number) : fmt::format("0x{:016x}", lun.raw());
}

Json device_json(const initiator::DeviceFacts& device) {
    Json json;
    json["vendor"] = device.vendor.view();
    json["product"] = device.product.view();
    json["revision"] = device.revision.view();
    json["serial"] = device.serial.view();
    json["designator"] = device.designator.view();
    json["block_bytes"] = device.block_bytes;
    json["blocks"] = device.blocks;
    json["size_bytes"] = size_bytes(device);
    json["write_cache"] = device.write_cache;
    json["fua"] = device.can_force_unit_access;
    json["discard"] = device.can_unmap;
    json["write_zeroes"] = device.can_write_same;
    json["rotational"] = device.rotational;
    json["read_only"] = device.read_only;
    return json;
}

Json counters_json(const initiator::EngineCounters& counters) {
    Json json;
    json["requests_done"] = counters.requests_done;
    json["requests_failed"] = counters.requests_failed;
    json["requests_in_flight"] = counters.requests_in_flight;
    json["read_bytes"] = counters.read_bytes;
    json["written_bytes"] = counters.written_bytes;
    json["retries"] = counters.retries;
    json["sessions_established"] = counters.sessions_established;
    json["sessions_lost"] = counters.sessions_lost;
    json["digest_errors"] = counters.digest_errors;
    json["violations"] = counters.violations;
    json["nop_sent"] = counters.nop_sent;
    json["nop_timeouts"] = counters.nop_timeouts;
    json["nop_rtt_last_us"] = us_from_ns(counters.nop_rtt_last_ns);
    json["nop_rtt_max_us"] = us_from_ns(counters.nop_rtt_max_ns);
    json["task_management_sent"] = counters.tmf_sent;
    json["snacks_sent"] = counters.snacks_sent;
    json["connections_lost"] = counters.connections_lost;
    json["tasks_reassigned"] = counters.tasks_reassigned;
    json["tasks_resent"] = counters.tasks_resent;
    json["notices_dropped"] = counters.notices_dropped;
    json["command_window"] = counters.command_window;
    return json;
}

Json protections_json(const StatusFacts& facts) {
    Json list = Json::array();
    for (const ProtectionRow& row : facts.protections) {
        Json json;
        json["name"] = row.name.view();
        json["wanted"] = row.wanted.view();
        json["found"] = row.found.view();
        json["holds"] = row.holds;
        if (!row.holds) json["advice"] = row.advice.view();
        list.push_back(std::move(json));
    }
    return list;
}

Json notices_json(const StatusFacts& facts, Instant now) {
    Json list = Json::array();
    for (const TimedNotice& timed : facts.notices) {
        Json json;
        json["seconds_ago"] = static_cast<double>((now - timed.at).ms()) / 1000.0;
        json["text"] = sentence_of(timed.notice);
        list.push_back(std::move(json));
    }
    return list;
}

Json session_json(const StatusFacts& facts) {
    Json json;
    json["phase"] = to_text(facts.session_phase);
    json["target"] = facts.target_name.view();
    json["lun"] = lun_text(facts.lun);
    json["portal"] =
        to_text(HostPort{.host = std::string{facts.portal_host.view()}, .port = facts.portal_port});
    json["connections"] = facts.counters.connections;
    json["connections_agreed"] = facts.counters.connections_agreed;
    json["error_recovery_level"] = facts.counters.error_recovery_level;
    json["fence"] = to_text(facts.counters.fence);
    json["fence_certain"] = is_certain(facts.counters.fence);
    json["fence_of_connection"] = facts.counters.error_recovery_level >= 2 ? "reassign" : "session";
    return json;
}

Json path_json(const PathState& path) {
    Json json;
    json["kind"] = to_text(path.kind);
    if (path.kind != NetworkPath::Xdp || path.queues == 0) return json;
    json["interface"] = path.interface.view();
    json["mode"] = path.is_zero_copy ? "zero copy" : "copy";
    json["queues"] = path.queues;
    json["packet_bytes"] = path.packet_bytes;
    return json;
}

Json memory_json(const StatusFacts& facts) {
    Json json;
    json["plan_bytes"] = facts.plan_bytes;
    json["locked_bytes"] = facts.locked_bytes;
    json["kernel_reserve_kib"] = facts.kernel_reserve_kib;
    json["depth"] = facts.depth;
    json["request_bytes_max"] = facts.request_bytes_max;
    return json;
}

Json export_json(const ExportState& exported) {
    Json json;
    json["kind"] = to_text(exported.kind);
    json["ready"] = exported.is_ready;
    json["path"] = exported.path.view();
    json["size_bytes"] = exported.size_bytes;
    json["read_only"] = exported.read_only;
    if (exported.kind == ExportKind::Ublk) json["ublk_id"] = exported.ublk_id;
    if (exported.kind == ExportKind::Nbd) json["clients"] = exported.clients;
    return json;
}

/// Lets through what udev lets through in link names.
std::string link_safe(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') ||
                              std::string_view{"#+-.:=@_"}.find(c) != std::string_view::npos;
        safe += is_plain ? c : '_';
    }
    return safe;
}

/// One metric of all attachments.
struct Metric {
    std::string_view name;
    std::string_view type;
    std::string_view help;
    std::uint64_t (*value)(const StatusFacts&);
};

constexpr std::array kMetrics{
    Metric{"session_up", "gauge", "1 while the session serves requests",
           [](const StatusFacts& f) -> std::uint64_t {
               return f.session_phase == initiator::SessionPhase::Ready ? 1 : 0;
           }},
    Metric{"armed", "gauge", "1 while all memory of the I/O process is fixed",
           [](const StatusFacts& f) -> std::uint64_t { return f.phase == IoPhase::Armed ? 1 : 0; }},
    Metric{"protections_missing", "gauge", "Protections that do not hold",
           [](const StatusFacts& f) {
               return static_cast<std::uint64_t>(
                   std::ranges::count(f.protections, false, &ProtectionRow::holds));
           }},
    Metric{"requests_done_total", "counter", "Requests completed",
           [](const StatusFacts& f) { return f.counters.requests_done; }},
    Metric{"requests_failed_total", "counter", "Requests that ended with an error",
           [](const StatusFacts& f) { return f.counters.requests_failed; }},
    Metric{"requests_in_flight", "gauge", "Requests in flight",
           [](const StatusFacts& f) -> std::uint64_t { return f.counters.requests_in_flight; }},
    Metric{"read_bytes_total", "counter", "Bytes read",
           [](const StatusFacts& f) { return f.counters.read_bytes; }},
    Metric{"written_bytes_total", "counter", "Bytes written",
           [](const StatusFacts& f) { return f.counters.written_bytes; }},
    Metric{"retries_total", "counter", "Requests sent again",
           [](const StatusFacts& f) { return f.counters.retries; }},
    Metric{"sessions_established_total", "counter", "Successful logins",
           [](const StatusFacts& f) { return f.counters.sessions_established; }},
    Metric{"sessions_lost_total", "counter", "Sessions lost",
           [](const StatusFacts& f) { return f.counters.sessions_lost; }},
    Metric{"digest_errors_total", "counter", "Wrong digests received",
           [](const StatusFacts& f) { return f.counters.digest_errors; }},
    Metric{"violations_total", "counter", "Protocol violations of the target",
           [](const StatusFacts& f) { return f.counters.violations; }},
    Metric{"nop_timeouts_total", "counter", "Pings without answer",
           [](const StatusFacts& f) { return f.counters.nop_timeouts; }},
    Metric{"snacks_sent_total", "counter", "Data, statuses or R2Ts asked for again",
           [](const StatusFacts& f) { return f.counters.snacks_sent; }},
    Metric{"connections_lost_total", "counter", "Connections lost while the session went on",
           [](const StatusFacts& f) { return f.counters.connections_lost; }},
    Metric{"tasks_reassigned_total", "counter", "Commands that another connection took over",
           [](const StatusFacts& f) { return f.counters.tasks_reassigned; }},
    Metric{"tasks_resent_total", "counter",
           "Commands sent again unchanged after a connection was lost",
           [](const StatusFacts& f) { return f.counters.tasks_resent; }},
    Metric{"connections", "gauge", "Connections that carry the session",
           [](const StatusFacts& f) -> std::uint64_t { return f.counters.connections; }},
    Metric{"connections_agreed", "gauge", "MaxConnections as agreed; 0 without a session",
           [](const StatusFacts& f) -> std::uint64_t { return f.counters.connections_agreed; }},
    Metric{"error_recovery_level", "gauge", "Error recovery level as agreed",
           [](const StatusFacts& f) -> std::uint64_t { return f.counters.error_recovery_level; }},
    Metric{"plan_bytes", "gauge", "Memory plan", [](const StatusFacts& f) { return f.plan_bytes; }},
    Metric{"locked_bytes", "gauge", "Memory locked, read back from the kernel",
           [](const StatusFacts& f) { return f.locked_bytes; }},
    Metric{"loop_late_max_ns", "gauge", "Worst lateness of the I/O loop",
           [](const StatusFacts& f) { return f.loop_late_max_ns; }},
};

void add_latency(std::string& text, const StatusFacts& facts, std::string_view operation,
                 const LatencyHistogram& histogram) {
    const std::string labels =
        fmt::format("name=\"{}\",operation=\"{}\"", facts.name.view(), operation);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i + 1 < LatencyHistogram::kBuckets; ++i) {
        seen += histogram.counts[i];
        if (histogram.counts[i] == 0) continue;
        text += fmt::format("holdfast_latency_seconds_bucket{{{},le=\"{:.9g}\"}} {}\n", labels,
                            static_cast<double>(LatencyHistogram::bucket_limit_ns(i)) / 1e9, seen);
    }
    text += fmt::format("holdfast_latency_seconds_bucket{{{},le=\"+Inf\"}} {}\n", labels,
                        histogram.total);
    text += fmt::format("holdfast_latency_seconds_sum{{{}}} {:.9g}\n", labels,
                        static_cast<double>(histogram.sum_ns) / 1e9);
    text += fmt::format("holdfast_latency_seconds_count{{{}}} {}\n", labels, histogram.total);
}

}  // namespace

Json latency_json(const LatencyHistogram& histogram) {
    Json json;
    json["count"] = histogram.total;
    const double mean_ns = histogram.total == 0 ? 0.0
                                                : static_cast<double>(histogram.sum_ns) /
                                                      static_cast<double>(histogram.total);
    json["mean_us"] = mean_ns / 1000.0;
    for (std::size_t i = 0; i < kPermilles.size(); ++i)
        json[std::string{kPercentileNames[i]}] = us_from_ns(histogram.percentile_ns(kPermilles[i]));
    json["max_us"] = us_from_ns(histogram.max_ns);
    return json;
}

Json status_json(const StatusFacts& facts, const StatusContext& context) {
    Json json;
    json["name"] = facts.name.view();
    json["state"] = context.state;
    json["phase"] = to_text(facts.phase);
    json["profile"] = to_text(facts.profile);
    json["tier"] = to_text(facts.tier);
    Json reasons = Json::array();
    for (const auto& reason : facts.tier_reasons) reasons.push_back(reason.view());
    json["tier_reasons"] = std::move(reasons);
    json["pid"] = facts.pid;
    json["seconds_up"] = static_cast<double>((context.now - facts.started).ms()) / 1000.0;
    json["facts_age_seconds"] = static_cast<double>((context.now - facts.published).ms()) / 1000.0;
    json["heartbeat"] = context.heartbeat;
    json["export"] = export_json(facts.exported);
    json["session"] = session_json(facts);
    json["path"] = path_json(facts.path);
    json["device"] = device_json(facts.device);
    json["memory"] = memory_json(facts);
    json["protections"] = protections_json(facts);
    json["counters"] = counters_json(facts.counters);
    json["latency"]["read"] = latency_json(facts.read_latency);
    json["latency"]["write"] = latency_json(facts.write_latency);
    json["latency"]["flush"] = latency_json(facts.flush_latency);
    json["loop_late_max_us"] = us_from_ns(facts.loop_late_max_ns);
    json["log_records_dropped"] = context.log_records_dropped;
    json["notices"] = notices_json(facts, context.now);
    return json;
}

std::string metrics_text(std::span<const StatusFacts> all) {
    std::string text =
        "# HELP holdfast_attachments Attachments\n# TYPE holdfast_attachments gauge\n";
    text += fmt::format("holdfast_attachments {}\n", all.size());
    for (const Metric& metric : kMetrics) {
        text += fmt::format("# HELP holdfast_{0} {1}\n# TYPE holdfast_{0} {2}\n", metric.name,
                            metric.help, metric.type);
        for (const StatusFacts& facts : all)
            text += fmt::format("holdfast_{}{{name=\"{}\"}} {}\n", metric.name, facts.name.view(),
                                metric.value(facts));
    }
    text +=
        "# HELP holdfast_fence 1 for the rung that ends a lost session's writes\n"
        "# TYPE holdfast_fence gauge\n";
    for (const StatusFacts& facts : all) {
        text += fmt::format("holdfast_fence{{name=\"{}\",rung=\"{}\",certain=\"{}\"}} 1\n",
                            facts.name.view(), to_text(facts.counters.fence),
                            is_certain(facts.counters.fence));
    }
    text +=
        "# HELP holdfast_latency_seconds Latency of requests\n"
        "# TYPE holdfast_latency_seconds histogram\n";
    for (const StatusFacts& facts : all) {
        add_latency(text, facts, "read", facts.read_latency);
        add_latency(text, facts, "write", facts.write_latency);
        add_latency(text, facts, "flush", facts.flush_latency);
    }
    return text;
}

std::string by_path_name(const StatusFacts& facts) {
    return fmt::format("ip-{}:{}-iscsi-{}-lun-{}", facts.portal_host.view(), facts.portal_port,
                       facts.target_name.view(), lun_text(facts.lun));
}

std::string by_id_name(const initiator::DeviceFacts& device) {
    const std::string designator = link_safe(device.designator.view());
    if (!designator.empty()) {
        switch (device.designator_type) {
        case kDesignatorNaa:
        case kDesignatorEui64: return "wwn-0x" + designator;
        case kDesignatorT10: return "scsi-1" + designator;
        default: return "scsi-8" + designator;
        }
    }
    if (device.serial.empty()) return {};
    return link_safe(fmt::format("scsi-S{}_{}_{}", device.vendor.view(), device.product.view(),
                                 device.serial.view()));
}

std::string udev_properties(const StatusFacts& facts) {
    std::string text = fmt::format("ID_HOLDFAST_NAME={}\nID_HOLDFAST_PATH={}\n", facts.name.view(),
                                   link_safe(by_path_name(facts)));
    if (const std::string id = by_id_name(facts.device); !id.empty())
        text += fmt::format("ID_HOLDFAST_ID={}\n", id);
    text += fmt::format(
        "ID_VENDOR={}\nID_MODEL={}\nID_SERIAL_SHORT={}\n", link_safe(facts.device.vendor.view()),
        link_safe(facts.device.product.view()), link_safe(facts.device.serial.view()));
    return text;
}

}  // namespace holdfast::daemon
