// sim --seeds N [--first S] [--trace] [--twice] [--sabotage K] [--expect-failure]
// Lives N lives. Exit 0: all held (with --expect-failure: one did not). --twice: each life two
// times, with the same hash.
#include <unistd.h>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "initiator/session/sabotage.h"
#include "tests/sim/world.h"

namespace holdfast::initiator {
Sabotage planted_sabotage = Sabotage::None;
}

namespace {

using holdfast::initiator::Sabotage;

struct Arguments {
    std::uint64_t seeds = 100;
    std::uint64_t first = 1;
    bool is_traced = false;
    bool expects_failure = false;
    bool is_twice = false;
};

/// An assert of the engine is a failure like any other, and one that is wanted here.
extern "C" void on_abort(int) {
    _exit(0);
}

Arguments parse(std::span<char* const> words) {
    Arguments arguments;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string_view word = words[i];
        const auto number = [&] {
            return i + 1 < words.size() ? std::strtoull(words[++i], nullptr, 10) : 0ULL;
        };
        if (word == "--seeds")
            arguments.seeds = number();
        else if (word == "--first")
            arguments.first = number();
        else if (word == "--trace")
            arguments.is_traced = true;
        else if (word == "--twice")
            arguments.is_twice = true;
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

}  // namespace

int main(int count, char** words) {
    const Arguments arguments = parse({words, static_cast<std::size_t>(count)});
    if (arguments.expects_failure) std::signal(SIGABRT, on_abort);
    std::uint64_t requests = 0;
    std::uint64_t sessions = 0;
    std::uint64_t late = 0;
    std::uint64_t taken_over = 0;
    std::uint64_t hash = 0;
    double lived = 0;
    for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
        const std::uint64_t seed = arguments.first + i;
        holdfast::sim::World world{seed, arguments.is_traced};
        auto verdict = world.live();
        if (arguments.is_twice) {
            holdfast::sim::World again{seed, false};
            if (again.live().hash != verdict.hash) verdict.failure = "the same seed, another life";
        }
        requests += verdict.requests;
        sessions += verdict.sessions;
        late += verdict.late_executions;
        taken_over += verdict.taken_over;
        hash = (hash ^ verdict.hash) * 0x100000001b3ULL;
        lived += static_cast<double>(verdict.lived) / 1e6;
        if (verdict.failure.empty()) continue;
        std::printf("seed %" PRIu64 " failed %s\n", seed, verdict.failure.c_str());
        return arguments.expects_failure ? 0 : 1;
    }
    std::printf("%" PRIu64 " lives, %.0f s, %" PRIu64 " requests, %" PRIu64 " sessions, %" PRIu64
                " executions after a connection's end, %" PRIu64
                " commands taken over, hash %016" PRIx64 "\n",
                arguments.seeds, lived, requests, sessions, late, taken_over, hash);
    return arguments.expects_failure ? 1 : 0;
}
