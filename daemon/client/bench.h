/// `holdfast bench`: keeps `depth` requests in flight for some seconds and reports throughput,
/// latency percentiles and the CPU time that this process spent per request.
///
/// While it measures, and not while it sets up or warms up, its thread is called kMeasuringName, so
/// that tracers and fault injection can be aimed at the steady state alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.h"
#include "daemon/client/fine_histogram.h"
#include "daemon/client/unit_port.h"
#include "daemon/client/unit_range.h"
#include "daemon/control/wire.h"

namespace holdfast::daemon {

enum class Workload : std::uint8_t { Read, Write, RandRead, RandWrite, RandRw };
[[nodiscard]] std::optional<Workload> workload_from(std::string_view text) noexcept;
[[nodiscard]] std::string_view to_text(Workload workload) noexcept;

/// At most 15 characters: TASK_COMM_LEN.
inline constexpr const char* kMeasuringName = "holdfast-load";

struct BenchPlan {
    Workload workload = Workload::RandRead;
    std::uint32_t block_bytes = 4096;  ///< Of one request; a multiple of the unit's block.
    std::uint16_t depth = 32;          ///< At most the port's.
    Duration time = Duration::from_s(10);
    std::uint64_t requests_max = 0;  ///< Ends earlier after so many; 0: no limit.
    std::uint64_t warm_up = 0;       ///< Requests that go first and are not counted.
    WantedRange range{};
    std::uint64_t seed = 1;
};

struct BenchResult {
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t bytes = 0;
    Duration elapsed;
    Duration cpu_user;
    Duration cpu_system;
    FineHistogram latency;
};

[[nodiscard]] OrFailure<BenchResult> bench(UnitPort& port, const BenchPlan& plan);

/// Keys as docs/operating.md has them.
[[nodiscard]] Json bench_json(const BenchPlan& plan, const BenchResult& result);

}  // namespace holdfast::daemon
