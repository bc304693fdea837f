#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "daemon/client/bench.h"
#include "daemon/client/discovery.h"
#include "daemon/client/driver_port.h"
#include "daemon/client/reserved_session.h"
#include "daemon/client/settings_from_options.h"
#include "daemon/client/verbs.h"
#include "daemon/control/identity.h"
#include "daemon/control/spec_builder.h"
#include "initiator/recorder.h"

namespace holdfast::daemon {

namespace {

constexpr std::uint32_t kPageBytes = 4096;

/// Refuses what can be refused before anything goes over the network.
OrFailure<void> judge_early(const Options& options) {
    const auto offset = size_option(options.range.offset, "--offset");
    if (!offset) return std::unexpected{offset.error()};
    if (!options.range.length.empty()) {
        const auto length = size_option(options.range.length, "--length");
        if (!length) return std::unexpected{length.error()};
    }
    if (options.verb != Verb::Bench) return {};
    if (!workload_from(options.bench.workload))
        return fail(
            ExitCode::Usage,
            fmt::format("--rw {} is unknown; use read, write, randread, randwrite or randrw",
                        options.bench.workload));
    const auto block = size_option(options.bench.block_size, "--bs");
    if (!block) return std::unexpected{block.error()};
    if (*block == 0 || *block > AttachSpec::kRequestBytesMax)
        return fail(ExitCode::Usage, "--bs must be 512 bytes to 4 MiB");
    return {};
}

/// Requests must be able to hold one block of the measurement.
void widen_for_bench(const Options& options, AttachSettings& settings) {
    if (options.verb != Verb::Bench) return;
    const auto block = size_from(options.bench.block_size).value_or(0);
    const auto wanted =
        static_cast<std::uint32_t>((block + kPageBytes - 1) / kPageBytes) * kPageBytes;
    settings.tuning.request_bytes = std::max(settings.tuning.request_bytes, wanted);
}

}  // namespace

OrFailure<Output> run_unit_verb(const Options& options) {
    if (const auto fits = judge_early(options); !fits) return std::unexpected{fits.error()};
    auto settings = session_settings(options.session);
    if (!settings) return std::unexpected{settings.error()};
    widen_for_bench(options, *settings);
    const auto session = build_session(
        *settings, {.initiator_name = initiator_name_for(options.session), .isid = fresh_isid()});
    if (!session) return std::unexpected{session.error()};
    DriverConfig config;
    config.session = *session;
    config.limits.depth = settings->tuning.depth;
    config.limits.request_bytes_max = settings->tuning.request_bytes;
    config.limits.connections = settings->tuning.connections;
    config.tcp.send_bytes = settings->tuning.socket.send_bytes;
    config.tcp.receive_bytes = settings->tuning.socket.receive_bytes;
    const initiator::RecorderShape shape{.connections = config.limits.connections,
                                         .records = options.bench.records & ~1U};
    std::vector<initiator::RecordCell> cells(shape.cells());
    if (!cells.empty()) config.flight = {.cells = cells, .shape = shape};
    const auto classifier = choose_path(settings->tuning.path, options.session.zero_copy, config);
    if (!classifier) return std::unexpected{classifier.error()};
    auto port = DriverPort::open(config, Duration::from_s(options.session.timeout_s));
    if (!port) return std::unexpected{port.error()};
    return run_unit_verb(options, **port);
}

OrFailure<Output> run_discover(const Options& options) {
    const auto settings = portal_settings(options.session);
    if (!settings) return std::unexpected{settings.error()};
    const auto session = build_session(
        *settings, {.initiator_name = initiator_name_for(options.session), .isid = fresh_isid()});
    if (!session) return std::unexpected{session.error()};
    const auto found = discover(*session);
    if (!found) return std::unexpected{found.error()};
    Output output;
    output.json["targets"] = Json::array();
    for (const FoundTarget& target : *found) {
        Json json;
        json["name"] = target.name;
        json["portals"] = target.portals;
        output.json["targets"].push_back(json);
        for (const std::string& portal : target.portals)
            output.text += fmt::format("{} {}\n", portal, target.name);
    }
    if (found->empty()) output.text = "the portal shows no targets to this initiator\n";
    return output;
}

}  // namespace holdfast::daemon
