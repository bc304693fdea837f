// sim [--seeds N] [--first S] [--jobs J] [--trace] [--twice] [--coverage] [--edges FILE]
//     [--sabotage K] [--expect-failure]
// Lives N lives. Exit 0: all held (with --expect-failure: one did not), and every edge that FILE
// wants was seen. docs/simulation.md explains the words.
#include <unistd.h>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "initiator/session/sabotage.h"
#include "tests/sim/soak.h"

namespace holdfast::initiator {
Sabotage planted_sabotage = Sabotage::None;
Denial planted_denial;
}  // namespace holdfast::initiator

namespace {

using holdfast::initiator::Sabotage;
using holdfast::sim::SoakPlan;
using holdfast::sim::SoakResult;

struct Arguments {
    SoakPlan plan;
    std::string edges;
    bool is_traced = false;
    bool expects_failure = false;
    bool prints_coverage = false;
};

Arguments parse(std::span<char* const> words) {
    Arguments arguments;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string_view word = words[i];
        const auto text = [&] { return i + 1 < words.size() ? words[++i] : ""; };
        const auto number = [&] { return std::strtoull(text(), nullptr, 10); };
        if (word == "--seeds")
            arguments.plan.seeds = number();
        else if (word == "--first")
            arguments.plan.first = number();
        else if (word == "--jobs")
            arguments.plan.jobs = static_cast<unsigned>(number());
        else if (word == "--trace")
            arguments.is_traced = true;
        else if (word == "--twice")
            arguments.plan.is_twice = true;
        else if (word == "--coverage")
            arguments.prints_coverage = true;
        else if (word == "--edges")
            arguments.edges = text();
        else if (word == "--expect-failure")
            arguments.expects_failure = true;
        else if (word == "--sabotage")
            holdfast::initiator::planted_sabotage = static_cast<Sabotage>(number());
        else {
            std::fprintf(stderr, "sim: unknown word %s\n", words[i]);
            std::exit(2);
        }
    }
    return arguments;
}

void print_result(const SoakResult& result) {
    std::printf("%" PRIu64 " lives, %.0f s lived in %.1f s, %" PRIu64 " requests, %" PRIu64
                " sessions, %" PRIu64 " executions after a connection's end, %" PRIu64
                " commands taken over, %zu edges, hash %016" PRIx64 "\n",
                result.lives, result.lived_s, result.took_s, result.requests, result.sessions,
                result.late_executions, result.taken_over, result.coverage.seen_edges(),
                result.hash);
}

}  // namespace

int main(int count, char** words) {
    const Arguments arguments = parse({words, static_cast<std::size_t>(count)});
    const SoakResult result = arguments.is_traced
                                  ? holdfast::sim::live_here(arguments.plan.first, true)
                                  : holdfast::sim::soak(arguments.plan);
    if (arguments.prints_coverage) holdfast::sim::print_coverage(result.coverage);
    if (result.has_failed) {
        std::printf("seed %" PRIu64 " failed %s\n", result.failed_seed, result.failure.c_str());
    }
    print_result(result);
    if (arguments.expects_failure) return result.has_failed ? 0 : 1;
    if (result.has_failed) return 1;
    if (arguments.edges.empty()) return 0;
    const std::string wrong =
        holdfast::sim::check_edges(result.coverage, arguments.edges, result.lives);
    std::printf("%s", wrong.c_str());
    return wrong.empty() ? 0 : 1;
}
