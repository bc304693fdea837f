#include "daemon/client/bench.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/random.h"
#include "daemon/client/progress.h"
#include "daemon/control/failures.h"
#include "daemon/control/log_drain.h"

namespace holdfast::daemon {

namespace {

using initiator::Outcome;
using initiator::Request;
using initiator::RequestKind;
using initiator::Submitted;

constexpr std::array<std::string_view, 5> kWorkloads{"read", "write", "randread", "randwrite",
                                                     "randrw"};
constexpr Duration kBenchTurn = Duration::from_ms(50);

Duration duration_of(const timeval& time) {
    return Duration::from_us(std::int64_t{time.tv_sec} * 1'000'000 + time.tv_usec);
}

struct CpuTime {
    Duration user;
    Duration system;
};

/// Of the whole process: kernel workers that io_uring starts for us count as its threads.
CpuTime cpu_time_now() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return {.user = duration_of(usage.ru_utime), .system = duration_of(usage.ru_stime)};
}

/// The thread has another name while this lives.
class ThreadName {
public:
    explicit ThreadName(const char* name) {
        ::prctl(PR_GET_NAME, before_.data());
        ::prctl(PR_SET_NAME, name);
    }
    ThreadName(const ThreadName&) = delete;
    ThreadName& operator=(const ThreadName&) = delete;
    ~ThreadName() { ::prctl(PR_SET_NAME, before_.data()); }

private:
    std::array<char, 16> before_{};
};

bool is_random(Workload workload) {
    return workload != Workload::Read && workload != Workload::Write;
}

/// One run: chooses requests, keeps them in flight, counts.
class Run {
public:
    Run(UnitPort& port, const BenchPlan& plan, const UnitRange& range)
        : port_(port),
          plan_(plan),
          range_(range),
          slots_(range.length_bytes / plan.block_bytes),
          random_(plan.seed),
          submitted_at_(port.depth()),
          kinds_(port.depth()) {}

    [[nodiscard]] OrFailure<BenchResult> go() {
        fill_buffers();
        if (plan_.warm_up > 0) {
            if (const auto ran = loop(Instant::never(), plan_.warm_up); !ran)
                return std::unexpected{ran.error()};
            result_ = {};
        }
        const CpuTime cpu_before = cpu_time_now();
        const Instant started = monotonic_now();
        {
            const ThreadName name{kMeasuringName};
            if (const auto ran = loop(started + plan_.time, plan_.requests_max); !ran)
                return std::unexpected{ran.error()};
        }
        const CpuTime cpu_after = cpu_time_now();
        result_.elapsed = monotonic_now() - started;
        result_.cpu_user = cpu_after.user - cpu_before.user;
        result_.cpu_system = cpu_after.system - cpu_before.system;
        return std::move(result_);
    }

private:
    void fill_buffers() {
        for (std::uint16_t tag = 0; tag < plan_.depth; ++tag) {
            for (std::byte& byte : port_.buffer(tag).first(plan_.block_bytes))
                byte = static_cast<std::byte>(random_.next());
        }
    }

    /// Until `deadline` or until `requests_max` were sent, 0: no limit; and until all are answered.
    [[nodiscard]] OrFailure<void> loop(Instant deadline, std::uint64_t requests_max) {
        Progress progress{"measuring", 0};
        Instant now = monotonic_now();
        submitted_ = 0;
        for (std::uint16_t tag = 0; tag < plan_.depth; ++tag) {
            if (const auto sent = submit(tag, now); !sent) return sent;
        }
        while (in_flight_ > 0) {
            if (const auto ran = port_.run_once(kBenchTurn); !ran) return ran;
            now = monotonic_now();
            progress.at(result_.bytes);
            while (const auto completion = port_.poll_completion()) {
                if (const auto taken = take(*completion, now); !taken) return taken;
                const bool is_enough = requests_max != 0 && submitted_ >= requests_max;
                if (now >= deadline || is_enough) continue;
                if (const auto sent = submit(completion->tag, now); !sent) return sent;
            }
        }
        return {};
    }

    [[nodiscard]] std::uint64_t next_offset() {
        const std::uint64_t slot =
            is_random(plan_.workload) ? random_.below(slots_) : sequence_++ % slots_;
        return range_.offset_bytes + slot * plan_.block_bytes;
    }

    [[nodiscard]] RequestKind next_kind() {
        switch (plan_.workload) {
        case Workload::Read:
        case Workload::RandRead: return RequestKind::Read;
        case Workload::Write:
        case Workload::RandWrite: return RequestKind::Write;
        case Workload::RandRw: break;
        }
        return random_.one_in(2) ? RequestKind::Write : RequestKind::Read;
    }

    [[nodiscard]] OrFailure<void> submit(std::uint16_t tag, Instant now) {
        const std::uint32_t unit_block_bytes = port_.facts().block_bytes;
        const Request request{.tag = tag,
                              .kind = next_kind(),
                              .lba = Lba{next_offset() / unit_block_bytes},
                              .blocks = BlockCount{plan_.block_bytes / unit_block_bytes},
                              .data = port_.buffer(tag).first(plan_.block_bytes)};
        if (port_.submit(request) != Submitted::Accepted)
            return fail(ExitCode::DeviceError,
                        "the session takes no requests any more; start again");
        submitted_at_[tag] = now;
        kinds_[tag] = request.kind;
        ++in_flight_;
        ++submitted_;
        return {};
    }

    [[nodiscard]] OrFailure<void> take(const initiator::Completion& completion, Instant now) {
        --in_flight_;
        if (completion.outcome != Outcome::Done)
            return std::unexpected{failure_of_outcome(completion.outcome, "measuring")};
        const Duration took = now - submitted_at_[completion.tag];
        result_.latency.add(static_cast<std::uint64_t>(std::max<std::int64_t>(took.ns(), 0)));
        if (kinds_[completion.tag] == RequestKind::Read) {
            ++result_.reads;
        } else {
            ++result_.writes;
        }
        result_.bytes += plan_.block_bytes;
        return {};
    }

    UnitPort& port_;
    const BenchPlan& plan_;
    const UnitRange range_;
    const std::uint64_t slots_;
    SplitMix64 random_;
    std::vector<Instant> submitted_at_;
    std::vector<RequestKind> kinds_;
    std::uint64_t sequence_ = 0;
    std::uint64_t submitted_ = 0;
    std::uint32_t in_flight_ = 0;
    BenchResult result_;
};

double seconds_of(Duration duration) {
    return static_cast<double>(duration.ns()) / 1e9;
}

}  // namespace

std::optional<Workload> workload_from(std::string_view text) noexcept {
    const auto found = std::ranges::find(kWorkloads, text);
    if (found == kWorkloads.end()) return {};
    return static_cast<Workload>(found - kWorkloads.begin());
}

std::string_view to_text(Workload workload) noexcept {
    return kWorkloads[static_cast<std::size_t>(workload)];
}

OrFailure<BenchResult> bench(UnitPort& port, const BenchPlan& plan) {
    const std::uint32_t unit_block_bytes = port.facts().block_bytes;
    if (plan.block_bytes == 0 || plan.block_bytes % unit_block_bytes != 0 ||
        plan.block_bytes > port.request_bytes_max())
        return fail(ExitCode::Usage,
                    fmt::format("--bs must be a multiple of the LUN's block of {} bytes, up to {}",
                                unit_block_bytes, port.request_bytes_max()));
    if (plan.depth == 0 || plan.depth > port.depth())
        return fail(ExitCode::Usage, fmt::format("--depth must be 1 to {}", port.depth()));
    WantedRange wanted = plan.range;
    if (!wanted.length_bytes) {
        const std::uint64_t size = size_bytes(port.facts());
        const std::uint64_t left = size - std::min(size, wanted.offset_bytes);
        wanted.length_bytes = left - left % plan.block_bytes;
    }
    const auto range = range_on(port.facts(), wanted, unit_block_bytes);
    if (!range) return std::unexpected{range.error()};
    if (range->length_bytes < plan.block_bytes)
        return fail(ExitCode::Usage, "the range is smaller than --bs; choose a larger one");
    return Run{port, plan, *range}.go();
}

Json bench_json(const BenchPlan& plan, const BenchResult& result) {
    const std::uint64_t requests = result.reads + result.writes;
    const double seconds = seconds_of(result.elapsed);
    const auto count = static_cast<double>(std::max<std::uint64_t>(requests, 1));
    const double cpu_us = seconds_of(result.cpu_user + result.cpu_system) * 1e6;
    Json json;
    json["rw"] = to_text(plan.workload);
    json["bs"] = plan.block_bytes;
    json["depth"] = plan.depth;
    json["seconds"] = seconds;
    json["requests"] = requests;
    json["reads"] = result.reads;
    json["writes"] = result.writes;
    json["bytes"] = result.bytes;
    json["iops"] = static_cast<double>(requests) / seconds;
    json["bytes_per_second"] = static_cast<double>(result.bytes) / seconds;
    Json& latency = json["latency_us"];
    latency["min"] = static_cast<double>(result.latency.min_ns()) / 1e3;
    latency["mean"] = result.latency.mean_ns() / 1e3;
    latency["p50"] = static_cast<double>(result.latency.percentile_ns(500)) / 1e3;
    latency["p95"] = static_cast<double>(result.latency.percentile_ns(950)) / 1e3;
    latency["p99"] = static_cast<double>(result.latency.percentile_ns(990)) / 1e3;
    latency["p999"] = static_cast<double>(result.latency.percentile_ns(999)) / 1e3;
    latency["max"] = static_cast<double>(result.latency.max_ns()) / 1e3;
    json["cpu_user_seconds"] = seconds_of(result.cpu_user);
    json["cpu_system_seconds"] = seconds_of(result.cpu_system);
    json["cpu_us_per_request"] = cpu_us / count;
    return json;
}

}  // namespace holdfast::daemon
