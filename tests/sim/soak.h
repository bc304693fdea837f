/// Many lives, on several processes at once. What comes out does not depend on how many: the seeds
/// are the same, and so is the sum over them.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/coverage.h"

namespace holdfast::sim {

struct SoakPlan {
    std::uint64_t first = 1;
    std::uint64_t seeds = 100;
    unsigned jobs = 1;      ///< 1 to kJobsMax.
    bool is_twice = false;  ///< Each life two times, with the same hash.
    static constexpr unsigned kJobsMax = 64;
};

struct SoakResult {
    std::uint64_t lives = 0;
    std::uint64_t requests = 0;
    std::uint64_t sessions = 0;
    std::uint64_t late_executions = 0;
    std::uint64_t taken_over = 0;
    std::uint64_t hash = 0;
    double lived_s = 0;
    double took_s = 0;
    Coverage coverage;
    bool has_failed = false;
    std::uint64_t failed_seed = 0;  ///< The smallest of those that failed.
    std::string failure;
};

/// Lives them, each job in a process of its own, until the end or the first failure. A life that
/// ends its process, as an assert of the engine does, is a failure like any other. Progress goes to
/// stderr, one line a second. Not to be called when there are other threads.
[[nodiscard]] SoakResult soak(const SoakPlan& plan);

/// One life in this very process, for a trace or a debugger.
[[nodiscard]] SoakResult live_here(std::uint64_t seed, bool is_traced);

}  // namespace holdfast::sim
