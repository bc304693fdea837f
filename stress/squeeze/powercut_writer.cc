/// powercut-writer: writes, flushes and FUA writes at random to a disk whose power is cut
/// meanwhile, and then compares the disk with what it had promised.
///
/// The host talks on --port-fd: the line `hold` says that the cut is near. From then on nothing is
/// promised any more, because a flush after the cut cannot bring back what the cut took. Neither
/// flush nor FUA is sent (to a whole disk the kernel adds a flush to every FUA write): each thread
/// writes the blocks of its second half once, in order, the evidence, for nothing writes over what
/// the cut takes of it. `check` says that the power is back: the writing ends, without a flush, and
/// every block is read and judged. Without a port the run ends after --seconds.
///
/// Exit status: 0 every promise was kept, 1 one was not, 2 it could not run.
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/unique_fd.h"
#include "stress/squeeze/arguments.h"
#include "stress/squeeze/ledger.h"
#include "stress/squeeze/mapping.h"
#include "stress/squeeze/page.h"

namespace holdfast::stress {
namespace {

constexpr std::uint64_t kFlushOneIn = 64;
constexpr std::uint64_t kFuaOneIn = 4;
constexpr std::size_t kBytesPerMib = 1U << 20U;
constexpr int kPollMs = 100;

struct Settings {
    const char* device = nullptr;
    std::uint64_t region_mib = 16;
    std::uint64_t threads = 4;
    std::uint64_t seed = 1;
    std::uint64_t seconds = 60;
    std::uint64_t port_fd = 0;  // 0: none
    bool sabotage = false;
};

/// What the threads share: the disk, and the two things the host can say.
struct Stage {
    int fd = -1;
    std::size_t block_words = 0;
    std::uint64_t seed = 0;
    bool sabotage = false;
    std::atomic<bool> hold{false};
    std::atomic<bool> stop{false};
};

struct Count {
    std::uint64_t writes = 0;
    std::uint64_t flushes = 0;
    std::uint64_t promised = 0;
    std::uint64_t rolled_back = 0;
    std::uint64_t lost = 0;
    std::uint64_t torn = 0;
    std::uint64_t foreign = 0;
    void add(const Count& other) noexcept {
        writes += other.writes;
        flushes += other.flushes;
        promised += other.promised;
        rolled_back += other.rolled_back;
        lost += other.lost;
        torn += other.torn;
        foreign += other.foreign;
    }
};

[[noreturn]] void give_up(const char* what, Errno error) {
    std::fprintf(stderr, "powercut-writer: %s: %s\n", what, error.text());
    std::exit(2);
}

/// Writes its own stripe of the disk and judges it afterwards. One thread's own.
class Writer {
public:
    Writer(Stage& stage, std::size_t first_block, std::size_t block_count, Mapping buffer)
        : stage_(stage),
          first_block_(first_block),
          ledger_(block_count),
          random_(stage.seed + first_block),
          buffer_(std::move(buffer)) {}

    /// The thread's body.
    void run() {
        while (!stage_.stop && !stage_.hold) {
            if (random_.one_in(kFlushOneIn))
                flush();
            else
                write_somewhere(ledger_.block_count(), random_.one_in(kFuaOneIn));
        }
        leave_evidence();
        judge_everything();
        count_.promised = ledger_.promised_count();
    }

    [[nodiscard]] const Count& count() const noexcept { return count_; }

private:
    [[nodiscard]] std::size_t block_bytes() const noexcept {
        return stage_.block_words * sizeof(std::uint64_t);
    }
    [[nodiscard]] off_t offset_of(std::size_t block) const noexcept {
        return static_cast<off_t>((first_block_ + block) * block_bytes());
    }

    [[nodiscard]] std::size_t blocks_fit() const noexcept {
        return kPageWords / stage_.block_words;
    }

    void leave_evidence() {
        std::size_t next = ledger_.block_count() / 2;
        while (!stage_.stop && next < ledger_.block_count()) {
            const std::size_t count = std::min(blocks_fit(), ledger_.block_count() - next);
            write(next, count, false);
            next += count;
        }
        while (!stage_.stop) (void)::poll(nullptr, 0, kPollMs);
    }

    // One to as many blocks as fit the buffer, anywhere below `limit`.
    void write_somewhere(std::size_t limit, bool fua) {
        const std::size_t first = random_.below(limit);
        const std::size_t wanted = 1 + random_.below(blocks_fit());
        write(first, std::min(wanted, limit - first), fua);
    }

    // Each block carries its own stamp, because a disk owes atomicity to single blocks only.
    void write(std::size_t first, std::size_t blocks, bool fua) {
        const PageWords words = buffer_.page(0).first(blocks * stage_.block_words);
        for (std::size_t i = 0; i < blocks; ++i) {
            const std::uint64_t generation = ledger_.write_sent(first + i);
            fill_page(words.subspan(i * stage_.block_words, stage_.block_words),
                      {.address = first_block_ + first + i,
                       .generation = generation,
                       .seed = stage_.seed});
        }
        const iovec piece{words.data(), words.size_bytes()};
        const ssize_t done =
            ::pwritev2(stage_.fd, &piece, 1, offset_of(first), fua ? RWF_DSYNC : 0);
        if (done != static_cast<ssize_t>(words.size_bytes())) give_up("write", Errno::last());
        // Sabotage believes that every acknowledged write is a promise.
        for (std::size_t i = 0; i < blocks; ++i)
            ledger_.write_acknowledged(first + i, fua || stage_.sabotage);
        ++count_.writes;
    }

    void flush() {
        ledger_.flush_sent();
        if (::fdatasync(stage_.fd) != 0) give_up("flush", Errno::last());
        if (!stage_.hold) ledger_.flush_acknowledged();
        ++count_.flushes;
    }

    void judge_everything() {
        for (std::size_t first = 0; first < ledger_.block_count(); first += blocks_fit()) {
            const std::size_t blocks = std::min(blocks_fit(), ledger_.block_count() - first);
            const PageWords words = buffer_.page(0).first(blocks * stage_.block_words);
            if (::pread(stage_.fd, words.data(), words.size_bytes(), offset_of(first)) !=
                static_cast<ssize_t>(words.size_bytes()))
                give_up("read", Errno::last());
            for (std::size_t i = 0; i < blocks; ++i)
                judge(first + i, words.subspan(i * stage_.block_words, stage_.block_words));
        }
    }

    void judge(std::size_t block, ConstPageWords words) {
        const bool blank = std::ranges::all_of(words, [](auto word) { return word == 0; });
        const std::uint64_t generation = blank ? 0 : stamp_in(words).generation;
        if (!blank) {
            const PageStamp wanted{
                .address = first_block_ + block, .generation = generation, .seed = stage_.seed};
            const auto whole = check_page(words, wanted);
            if (!whole) {
                ++(whole.error() == PageFault::Torn ? count_.torn : count_.foreign);
                return;
            }
        }
        switch (ledger_.judge(block, generation)) {
        case AfterCut::Newest: return;
        case AfterCut::RolledBack: ++count_.rolled_back; return;
        case AfterCut::Lost: ++count_.lost; return;
        case AfterCut::Unsent: ++count_.foreign; return;
        }
    }

    Stage& stage_;
    std::size_t first_block_;
    Ledger ledger_;
    SplitMix64 random_;
    Mapping buffer_;
    Count count_;
};

void say(int fd, std::string_view text) {
    if (fd > 0) (void)!::write(fd, text.data(), text.size());
}

// Follows the host's words until it says `check` or the time is over.
void conduct(Stage& stage, const Settings& settings) {
    const int port = static_cast<int>(settings.port_fd);
    std::array<char, 256> buffer{};
    std::string heard;
    const std::uint64_t turns_max = settings.seconds * 1000 / kPollMs;
    for (std::uint64_t turn = 0; turn < turns_max && !stage.stop; ++turn) {
        pollfd waiting{.fd = port > 0 ? port : -1, .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, kPollMs) <= 0 || (waiting.revents & POLLIN) == 0) continue;
        const ssize_t length = ::read(port, buffer.data(), buffer.size());
        if (length <= 0) continue;
        heard.append(buffer.data(), static_cast<std::size_t>(length));
        if (heard.contains("hold\n") && !stage.hold.exchange(true)) say(port, "RIG phase=held\n");
        if (heard.contains("check\n")) stage.stop = true;
    }
    stage.stop = true;
}

std::size_t block_bytes_of(int fd) {
    int bytes = 0;
    if (::ioctl(fd, BLKSSZGET, &bytes) == 0 && bytes > 0) return static_cast<std::size_t>(bytes);
    return 512;  // a plain file: the smallest block there is
}

int cut_test(const Settings& settings) {
    struct stat facts{};
    const bool is_disk = ::stat(settings.device, &facts) == 0 && S_ISBLK(facts.st_mode);
    const UniqueFd fd{
        ::open(settings.device, O_RDWR | O_CLOEXEC | (is_disk ? O_DIRECT : O_CREAT), 0600)};
    if (!fd) give_up(settings.device, Errno::last());
    if (!is_disk &&
        ::ftruncate(fd.get(), static_cast<off_t>(settings.region_mib * kBytesPerMib)) != 0)
        give_up(settings.device, Errno::last());
    const std::size_t block_bytes = block_bytes_of(fd.get());
    Stage stage;
    stage.fd = fd.get();
    stage.block_words = block_bytes / sizeof(std::uint64_t);
    stage.seed = settings.seed;
    stage.sabotage = settings.sabotage;

    const std::size_t stripe = settings.region_mib * kBytesPerMib / block_bytes / settings.threads;
    std::vector<Writer> writers;
    for (std::size_t i = 0; i < settings.threads; ++i) {
        OrErrno<Mapping> buffer = Mapping::anonymous(1);
        if (!buffer) give_up("memory", buffer.error());
        writers.emplace_back(stage, i * stripe, stripe, std::move(*buffer));
    }
    std::vector<std::thread> threads;
    for (Writer& writer : writers) threads.emplace_back([&writer] { writer.run(); });
    conduct(stage, settings);
    for (std::thread& thread : threads) thread.join();

    Count sum;
    for (const Writer& writer : writers) sum.add(writer.count());
    std::printf("{\"block_bytes\":%zu,\"writes\":%" PRIu64 ",\"flushes\":%" PRIu64
                ",\"promised\":%" PRIu64 ",\"rolled_back\":%" PRIu64 ",\"lost\":%" PRIu64
                ",\"torn\":%" PRIu64 ",\"foreign\":%" PRIu64 "}\n",
                block_bytes, sum.writes, sum.flushes, sum.promised, sum.rolled_back, sum.lost,
                sum.torn, sum.foreign);
    return sum.lost + sum.torn + sum.foreign == 0 ? 0 : 1;
}

const char* objection(const Settings& settings) noexcept {
    if (settings.device == nullptr) return "--device is missing";
    if (settings.region_mib == 0 || settings.region_mib > 1024) return "--region: 1 to 1024 MiB";
    if (settings.threads == 0 || settings.threads > 64) return "--threads: 1 to 64";
    if (settings.port_fd > 1023) return "--port-fd is no descriptor";
    return nullptr;
}

}  // namespace
}  // namespace holdfast::stress

int main(int argc, char** argv) {
    using namespace holdfast::stress;
    Settings settings;
    const std::array options{
        Option{"--device", &settings.device, "disk (or file) to write; its content is lost"},
        Option{"--region", &settings.region_mib, "MiB of it from the start (16)"},
        Option{"--threads", &settings.threads, "each with a stripe of its own (4)"},
        Option{"--seed", &settings.seed, "of contents and order (1)"},
        Option{"--seconds", &settings.seconds, "end after this time at the latest (60)"},
        Option{"--port-fd", &settings.port_fd, "open descriptor on which the host talks"},
        Option{"--sabotage", &settings.sabotage, "count unflushed writes as promised: must fail"},
    };
    const std::span<char* const> words{argv, static_cast<std::size_t>(argc)};
    const auto parsed = parse_arguments(words.subspan(words.empty() ? 0 : 1), options);
    const char* const wrong = parsed ? objection(settings) : parsed.error().c_str();
    if (wrong != nullptr) {
        std::fprintf(stderr, "powercut-writer: %s\n%s", wrong, describe(options).c_str());
        return 2;
    }
    return cut_test(settings);
}
