/// squeeze: memory pressure that notices. Working sets of anonymous and file-backed pages are
/// touched at random; every touch verifies the whole page against address, generation and seed.
/// Exit status: 0 every page was right, 1 one was not, 2 it could not run.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "stress/squeeze/arguments.h"
#include "stress/squeeze/mapping.h"
#include "stress/squeeze/worker.h"

namespace holdfast::stress {
namespace {

constexpr std::size_t kPagesPerMib = (1U << 20U) / kPageBytes;
constexpr std::uint64_t kFileAddressBase = 1ULL << 40U;  // far above any anonymous page's number
constexpr std::uint64_t kReportsMax = 8;                 // mismatches told in full
constexpr std::uint64_t kTouchesPerTurn = 16;            // between two looks at the clock
constexpr double kNever = std::numeric_limits<double>::infinity();

struct Settings {
    std::uint64_t anon_mib = 64;
    const char* file = nullptr;
    std::uint64_t file_mib = 0;
    std::uint64_t window_mib = 0;  // 0: everything
    std::uint64_t rate = 0;        // pages per second of all threads, 0: as fast as possible
    std::uint64_t seconds = 10;
    std::uint64_t threads = 1;
    std::uint64_t seed = 1;
    bool json = false;
    bool sabotage = false;
};

double now_s() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void sleep_s(double seconds) noexcept {
    const auto whole = static_cast<time_t>(seconds);
    const timespec time{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
    ::nanosleep(&time, nullptr);
}

// At most kReportsMax lines over all threads: a broken disk must not drown the console.
void report(const Mismatch& mismatch) noexcept {
    static std::atomic<std::uint64_t> reports{0};
    if (reports.fetch_add(1) >= kReportsMax) return;
    std::fprintf(stderr,
                 "squeeze: %s page: wanted address %#" PRIx64 " generation %" PRIu64
                 ", found address %#" PRIx64 " generation %" PRIu64 "\n",
                 name_of(mismatch.fault), mismatch.wanted.address, mismatch.wanted.generation,
                 mismatch.found.address, mismatch.found.generation);
}

/// One thread's share: a stripe of each mapping, and its part of the rate.
class Share {
public:
    Share(const Settings& settings, double ends_at) noexcept
        : settings_(settings), ends_at_(ends_at) {}

    void add(Worker worker) { workers_.push_back(std::move(worker)); }

    /// Runs until the end and then verifies everything once more. The thread's body.
    void run() noexcept {
        const double started = now_s();
        const double rate =
            static_cast<double>(settings_.rate) / static_cast<double>(settings_.threads);
        // Not some time behind the end: one turn can last longer than any, when pages come slowly.
        double sabotage_at = settings_.sabotage ? (started + ends_at_) / 2 : kNever;
        for (std::uint64_t touches = 0; now_s() < ends_at_; touches += kTouchesPerTurn) {
            turn();
            if (now_s() > sabotage_at) {
                workers_.front().sabotage();
                sabotage_at = kNever;
            }
            if (rate <= 0) continue;
            const double ahead_s = started + static_cast<double>(touches) / rate - now_s();
            if (ahead_s > 0) sleep_s(std::min(ahead_s, ends_at_ - now_s()));
        }
        verify_everything();
    }

    [[nodiscard]] Tally tally() const noexcept {
        Tally sum;
        for (const Worker& worker : workers_) sum.add(worker.tally());
        return sum;
    }

private:
    void turn() noexcept {
        for (std::uint64_t i = 0; i < kTouchesPerTurn; ++i) {
            Worker& worker = workers_[next_++ % workers_.size()];
            if (const auto mismatch = worker.touch_next()) report(*mismatch);
        }
    }

    void verify_everything() noexcept {
        for (Worker& worker : workers_) {
            for (std::size_t number = 0; number < worker.page_count(); ++number) {
                if (const auto mismatch = worker.verify(number)) report(*mismatch);
            }
        }
    }

    const Settings& settings_;
    double ends_at_;
    std::size_t next_ = 0;
    std::vector<Worker> workers_;
};

// Stripe `index` of `count` nearly equal ones.
Stripe stripe_of(std::size_t pages, std::size_t index, std::size_t count) noexcept {
    const std::size_t first = pages * index / count;
    return {.first = first, .count = pages * (index + 1) / count - first};
}

void share_out(const Mapping& mapping, std::uint64_t address_base, const Settings& settings,
               std::span<Share> shares) {
    for (std::size_t index = 0; index < shares.size(); ++index) {
        const Stripe stripe = stripe_of(mapping.page_count(), index, shares.size());
        Worker worker{mapping, stripe, address_base, settings.seed};
        if (settings.window_mib > 0)
            worker.set_window(settings.window_mib * kPagesPerMib / shares.size());
        shares[index].add(std::move(worker));
    }
}

void print_result(const Settings& settings, const Tally& tally, double seconds) noexcept {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const char* const form =
        settings.json ? "{\"touches\":%" PRIu64 ",\"writes\":%" PRIu64 ",\"mismatches\":%" PRIu64
                        ",\"anon_mib\":%" PRIu64 ",\"file_mib\":%" PRIu64 ",\"threads\":%" PRIu64
                        ",\"seed\":%" PRIu64 ",\"major_faults\":%ld,\"seconds\":%.1f}\n"
                      : "%" PRIu64 " touches, %" PRIu64 " writes, %" PRIu64
                        " mismatches; anonymous %" PRIu64 " MiB, file %" PRIu64 " MiB, %" PRIu64
                        " threads, seed %" PRIu64 ", %ld major faults, %.1f s\n";
    std::printf(form, tally.touches, tally.writes, tally.mismatches, settings.anon_mib,
                settings.file_mib, settings.threads, settings.seed, usage.ru_majflt, seconds);
}

int squeeze(const Settings& settings) {
    std::vector<Mapping> mappings;
    const auto keep = [&mappings](OrErrno<Mapping> mapping, const char* what) {
        if (mapping)
            mappings.push_back(std::move(*mapping));
        else
            std::fprintf(stderr, "squeeze: cannot map %s: %s\n", what, mapping.error().text());
        return mapping.has_value();
    };
    if (settings.anon_mib > 0 &&
        !keep(Mapping::anonymous(settings.anon_mib * kPagesPerMib), "anonymous memory"))
        return 2;
    const std::size_t file_index = mappings.size();
    if (settings.file != nullptr &&
        !keep(Mapping::of_file(settings.file, settings.file_mib * kPagesPerMib), settings.file))
        return 2;

    const double started = now_s();
    std::vector<Share> shares(settings.threads,
                              Share{settings, started + static_cast<double>(settings.seconds)});
    for (std::size_t i = 0; i < mappings.size(); ++i)
        share_out(mappings[i], i == file_index ? kFileAddressBase : 0, settings, shares);
    std::vector<std::thread> threads;
    for (Share& share : shares) threads.emplace_back([&share] { share.run(); });
    for (std::thread& thread : threads) thread.join();

    Tally tally;
    for (const Share& share : shares) tally.add(share.tally());
    print_result(settings, tally, now_s() - started);
    return tally.mismatches == 0 ? 0 : 1;
}

// A sentence when the settings contradict each other, nullptr when they can be carried out.
const char* objection(const Settings& settings) noexcept {
    if ((settings.file == nullptr) != (settings.file_mib == 0))
        return "--file and --file-size belong together";
    if (settings.anon_mib == 0 && settings.file == nullptr) return "there is no memory to touch";
    if (settings.threads == 0 || settings.threads > kPagesPerMib)
        return "--threads must be between 1 and 256";
    constexpr std::uint64_t kMibMax = 1U << 22U;  // 4 TiB: keeps every product far from overflow
    if (settings.anon_mib > kMibMax || settings.file_mib > kMibMax || settings.window_mib > kMibMax)
        return "sizes must be at most 4194304 MiB";
    return nullptr;
}

}  // namespace
}  // namespace holdfast::stress

int main(int argc, char** argv) {
    using namespace holdfast::stress;
    Settings settings;
    bool help = false;
    const std::array options{
        Option{"--anon", &settings.anon_mib, "MiB of anonymous memory (64)"},
        Option{"--file", &settings.file, "file to map shared"},
        Option{"--file-size", &settings.file_mib, "MiB of it"},
        Option{"--working-set", &settings.window_mib, "MiB of each that are hot at a time (all)"},
        Option{"--rate", &settings.rate, "pages per second, 0 for no limit (0)"},
        Option{"--seconds", &settings.seconds, "length of the run (10)"},
        Option{"--threads", &settings.threads, "each with a share of its own (1)"},
        Option{"--seed", &settings.seed, "of contents and order (1)"},
        Option{"--json", &settings.json, "print the result as one JSON object"},
        Option{"--sabotage", &settings.sabotage, "flip a bit halfway: the run must fail"},
        Option{"--help", &help, "this text"},
    };
    const std::span<char* const> words{argv, static_cast<std::size_t>(argc)};
    const auto parsed = parse_arguments(words.subspan(words.empty() ? 0 : 1), options);
    if (help) {
        std::fputs(describe(options).c_str(), stdout);
        return 0;
    }
    const char* const wrong = parsed ? objection(settings) : parsed.error().c_str();
    if (wrong != nullptr) {
        std::fprintf(stderr, "squeeze: %s\n%s", wrong, describe(options).c_str());
        return 2;
    }
    return squeeze(settings);
}
