#include "tests/sim/soak.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "tests/sim/world.h"

namespace holdfast::sim {

namespace {

using Clock = std::chrono::steady_clock;

/// One job's sums. Written by it alone; the coverage is read when it has ended.
struct Worker {
    std::atomic<std::uint64_t> seed{0};  ///< The life that is being lived.
    std::atomic<std::uint64_t> lives{0};
    std::uint64_t requests = 0;
    std::uint64_t sessions = 0;
    std::uint64_t late_executions = 0;
    std::uint64_t taken_over = 0;
    std::uint64_t hash = 0;
    double lived_s = 0;
    bool has_failed = false;
    std::array<char, 1024> failure{};
    Coverage coverage;
};
/// In memory that parent and jobs share.
struct Board {
    std::atomic<std::uint64_t> next{0};  ///< Seeds are given out in order.
    std::atomic<bool> is_over{false};
    std::array<Worker, SoakPlan::kJobsMax> jobs;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

struct Unmap {
    void operator()(Board* board) const { munmap(board, sizeof(Board)); }
};

std::unique_ptr<Board, Unmap> make_board() {
    void* const place =
        mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) std::abort();
    return std::unique_ptr<Board, Unmap>{new (place) Board};
}

/// Independent of the order of the lives.
std::uint64_t mixed(std::uint64_t seed, std::uint64_t hash) {
    return SplitMix64{seed ^ (hash * 0x100000001b3ULL)}.next();
}

void keep(Worker& worker, std::uint64_t seed, const Verdict& verdict) {
    worker.requests += verdict.requests;
    worker.sessions += verdict.sessions;
    worker.late_executions += verdict.late_executions;
    worker.taken_over += verdict.taken_over;
    worker.hash += mixed(seed, verdict.hash);
    worker.lived_s += static_cast<double>(verdict.lived) / 1e6;
    ++worker.lives;
    if (verdict.failure.empty()) return;
    const std::size_t fits = std::min(verdict.failure.size(), worker.failure.size() - 1);
    std::ranges::copy(verdict.failure.substr(0, fits), worker.failure.begin());
    worker.has_failed = true;
}

void begin_life(Worker& worker, std::uint64_t seed) {
    worker.seed = seed;
    tap().coverage = &worker.coverage;
}

void live_one(Worker& worker, std::uint64_t seed, bool is_twice) {
    begin_life(worker, seed);
    auto verdict = World{seed, false}.live();
    if (is_twice && World{seed, false}.live().hash != verdict.hash) {
        verdict.failure = "the same seed, another life";
    }
    keep(worker, seed, verdict);
}

[[noreturn]] void work(Board& board, Worker& worker, const SoakPlan& plan) {
    while (!board.is_over && !worker.has_failed) {
        const std::uint64_t at = board.next++;
        if (at >= plan.seeds) break;
        live_one(worker, plan.first + at, plan.is_twice);
    }
    if (worker.has_failed) board.is_over = true;
    std::fflush(nullptr);
    _exit(0);
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void print_progress(const Board& board, const SoakPlan& plan, double took_s) {
    std::uint64_t lives = 0;
    for (const Worker& worker : board.jobs) lives += worker.lives;
    const double rate = static_cast<double>(lives) / took_s;
    const double left = rate > 0 ? static_cast<double>(plan.seeds - lives) / rate : 0;
    std::fprintf(stderr, "%" PRIu64 " of %" PRIu64 " lives, %.0f a second, %.0f s to go\n", lives,
                 plan.seeds, rate, left);
}

/// A job has ended; by a signal, when its engine asserted or a sanitizer spoke.
void on_ended(Board& board, std::span<const pid_t> pids, pid_t pid, int status) {
    const auto which = static_cast<std::size_t>(std::ranges::find(pids, pid) - pids.begin());
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    Worker& worker = board.jobs.at(which);
    worker.has_failed = true;
    board.is_over = true;
    std::snprintf(worker.failure.data(), worker.failure.size(), "the life ended its process: %s %d",
                  WIFSIGNALED(status) ? "signal" : "exit status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void wait_for_all(Board& board, std::span<const pid_t> pids, const SoakPlan& plan,
                  Clock::time_point start) {
    std::size_t running = pids.size();
    double told_s = 1;
    while (running > 0) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0) {
            --running;
            on_ended(board, pids, pid, status);
            continue;
        }
        const double took_s = seconds_since(start);
        if (took_s >= told_s + 1) {
            told_s = took_s;
            print_progress(board, plan, took_s);
        }
        usleep(20'000);
    }
}

void add_up(const Worker& worker, SoakResult& result) {
    result.lives += worker.lives;
    result.requests += worker.requests;
    result.sessions += worker.sessions;
    result.late_executions += worker.late_executions;
    result.taken_over += worker.taken_over;
    result.hash += worker.hash;
    result.lived_s += worker.lived_s;
    result.coverage.add(worker.coverage);
    if (!worker.has_failed || (result.has_failed && result.failed_seed < worker.seed)) return;
    result.has_failed = true;
    result.failed_seed = worker.seed;
    result.failure = worker.failure.data();
}

}  // namespace

SoakResult soak(const SoakPlan& plan) {
    const auto start = Clock::now();
    const auto board = make_board();
    const unsigned count = std::clamp(plan.jobs, 1U, SoakPlan::kJobsMax);
    std::fflush(nullptr);
    std::vector<pid_t> pids;
    for (unsigned i = 0; i < count; ++i) {
        const pid_t pid = fork();
        if (pid < 0) std::abort();
        if (pid == 0) work(*board, board->jobs.at(i), plan);
        pids.push_back(pid);
    }
    wait_for_all(*board, pids, plan, start);
    SoakResult result;
    for (const Worker& worker : board->jobs) add_up(worker, result);
    result.took_s = seconds_since(start);
    return result;
}

SoakResult live_here(std::uint64_t seed, bool is_traced) {
    const auto start = Clock::now();
    const auto worker = std::make_unique<Worker>();
    begin_life(*worker, seed);
    keep(*worker, seed, World{seed, is_traced}.live());
    SoakResult result;
    add_up(*worker, result);
    result.took_s = seconds_since(start);
    return result;
}

}  // namespace holdfast::sim
