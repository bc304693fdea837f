#include <fmt/format.h>
#include <unistd.h>

#include <cmath>

#include "daemon/client/bench.h"
#include "daemon/client/progress.h"
#include "daemon/client/settings_from_options.h"
#include "daemon/client/transfer.h"
#include "daemon/client/verbs.h"
#include "daemon/client/verify.h"

namespace holdfast::daemon {

namespace {

OrFailure<WantedRange> wanted_range(const RangeOptions& options) {
    WantedRange range;
    const auto offset = size_option(options.offset, "--offset");
    if (!offset) return std::unexpected{offset.error()};
    range.offset_bytes = *offset;
    if (options.length.empty()) return range;
    const auto length = size_option(options.length, "--length");
    if (!length) return std::unexpected{length.error()};
    range.length_bytes = *length;
    return range;
}

Output copied(std::uint64_t bytes, std::string_view how) {
    Output output;
    output.json["bytes"] = bytes;
    output.text = fmt::format("{} {}\n", size_text(bytes), how);
    return output;
}

OrFailure<Output> run_read(UnitPort& port, const WantedRange& range, bool as_json) {
    const auto bytes = read_to(port, range, STDOUT_FILENO);
    if (!bytes) return std::unexpected{bytes.error()};
    Output output = copied(*bytes, "read");
    output.stdout_is_taken = true;
    if (!as_json) output.text.clear();
    return output;
}

OrFailure<Output> run_write(UnitPort& port, const WantedRange& range) {
    const auto bytes = write_from(port, range, STDIN_FILENO);
    if (!bytes) return std::unexpected{bytes.error()};
    return copied(*bytes, "written and flushed");
}

OrFailure<Output> run_verify(UnitPort& port, const Options& options, const WantedRange& range) {
    const auto result =
        verify(port, {.range = range, .seed = options.seed, .writes = !options.read_only_check});
    if (!result) return std::unexpected{result.error()};
    Output output = copied(result->bytes, "verified, no mismatch");
    output.json["mismatches"] = 0;
    output.json["seed"] = options.seed;
    return output;
}

std::string bench_text(const Json& json) {
    const Json& latency = json["latency_us"];
    return fmt::format(
        "{} {} B, depth {}: {:.0f} IOPS, {}/s, CPU {:.2f} us per request\n"
        "latency us: mean {:.0f}, p50 {:.0f}, p95 {:.0f}, p99 {:.0f}, p99.9 {:.0f}, max {:.0f}\n",
        json["rw"].get<std::string>(), json["bs"].get<std::uint32_t>(),
        json["depth"].get<std::uint32_t>(), json["iops"].get<double>(),
        size_text(static_cast<std::uint64_t>(json["bytes_per_second"].get<double>())),
        json["cpu_us_per_request"].get<double>(), latency["mean"].get<double>(),
        latency["p50"].get<double>(), latency["p95"].get<double>(), latency["p99"].get<double>(),
        latency["p999"].get<double>(), latency["max"].get<double>());
}

OrFailure<Output> run_bench(UnitPort& port, const Options& options, const WantedRange& range) {
    const auto workload = workload_from(options.bench.workload);
    if (!workload)
        return fail(
            ExitCode::Usage,
            fmt::format("--rw {} is unknown; use read, write, randread, randwrite or randrw",
                        options.bench.workload));
    const auto block = size_option(options.bench.block_size, "--bs");
    if (!block) return std::unexpected{block.error()};
    const BenchPlan plan{.workload = *workload,
                         .block_bytes = static_cast<std::uint32_t>(*block),
                         .depth = port.depth(),
                         .time = Duration::from_ms(std::llround(options.bench.seconds * 1000)),
                         .requests_max = options.bench.requests,
                         .warm_up = options.bench.warm_up,
                         .range = range,
                         .seed = options.seed};
    const auto result = bench(port, plan);
    if (!result) return std::unexpected{result.error()};
    Output output{.json = bench_json(plan, *result), .text = {}};
    output.text = bench_text(output.json);
    return output;
}

}  // namespace

OrFailure<Output> run_unit_verb(const Options& options, UnitPort& port) {
    const auto range = wanted_range(options.range);
    if (!range) return std::unexpected{range.error()};
    if (options.verb == Verb::Read) return run_read(port, *range, options.json);
    if (options.verb == Verb::Write) return run_write(port, *range);
    if (options.verb == Verb::Verify) return run_verify(port, options, *range);
    return run_bench(port, options, *range);
}

}  // namespace holdfast::daemon
