// Pressure as the kernel itself tells it: a real event of its reclaim, a stamp, a packet judged.

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "netpath/classifier/loader.h"
#include "netpath/classifier/table.h"
#include "netpath/classifier/zeroed.h"
#include "tests/netpath/classifier/veth.h"
#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::classifier {

namespace {

bool put(const std::string& path, const std::string& text) {
    std::ofstream file{path};
    file << text << std::flush;
    return file.good();
}

/// A control group of its own with some page cache in it, which the kernel can be told to reclaim:
/// the machine's other memory is left alone.
class Reclaimable {
public:
    Reclaimable() {
        is_v2_ = std::filesystem::exists("/sys/fs/cgroup/cgroup.controllers");
        group_ = is_v2_ ? "/sys/fs/cgroup/hf-reclaim" : "/sys/fs/cgroup/memory/hf-reclaim";
        if (is_v2_) put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        ::mkdir(group_.c_str(), 0755);
    }
    Reclaimable(const Reclaimable&) = delete;
    Reclaimable& operator=(const Reclaimable&) = delete;
    ~Reclaimable() { ::rmdir(group_.c_str()); }

    /// False: this machine has no such control group.
    bool reclaim() const {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(put(group_ + "/cgroup.procs", "0") && fill() ? 0 : 1);
        int status = 0;
        ::waitpid(child, &status, 0);
        if (status != 0) return false;
        // It need not free as much as it is asked for: that it begins is enough.
        std::ofstream{group_ + (is_v2_ ? "/memory.reclaim" : "/memory.force_empty")}
            << (is_v2_ ? "4M" : "0") << std::flush;
        return true;
    }

private:
    static bool fill() {
        const std::string path = "/var/tmp/hf-reclaim-" + std::to_string(::getpid());
        {
            std::ofstream file{path};
            const std::vector<char> chunk(std::size_t{1} << 20);
            for (int i = 0; i < 8; ++i) file.write(chunk.data(), std::ssize(chunk));
        }
        return ::unlink(path.c_str()) == 0;
    }

    std::string group_;
    bool is_v2_ = false;
};

Instant now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant::from_ns(time.tv_sec * 1'000'000'000 + time.tv_nsec);
}

/// XDP_DROP or XDP_PASS for a packet that is nobody's.
std::uint32_t verdict_on_stray(const Classifier& files) {
    const steer::Bytes frame(64);
    auto options = zeroed<bpf_test_run_opts>();
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.repeat = 1;
    EXPECT_EQ(bpf_prog_test_run_opts(files.program.get(), &options), 0);
    return options.retval;
}

/// A classifier on no interface, with a lease, on which one sign of pressure lasts for an hour.
class ClassifierPressure : public testing::Test {
protected:
    void SetUp() override {
        if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
        ASSERT_TRUE(load({}));
    }

    bool load(const ReclaimEvents& events) {
        auto made = load_classifier({.reclaim_events = events});
        if (!made || !made->hears_reclaim()) return false;
        files_.emplace(*std::move(made));
        auto table = ClassifierTable::map(files_->shared.get());
        if (!table) return false;
        table_.emplace(*std::move(table));
        table_->renew_lease(now());
        table_->set_pressure_hold(kHour);
        return true;
    }

    bool drops_strays() const { return verdict_on_stray(*files_) == 1U; }  // XDP_DROP.

    /// As if the kernel had told so: the machine's own memory is not touched.
    void begin_reclaim() const { run(0); }
    void end_reclaim() const { run(1); }
    void say_over() const { run(2); }
    /// Somebody waits for memory: at least that long. Returns how long it was.
    Duration reclaim_for(Duration least) const {
        const Instant begun = now();
        begin_reclaim();
        ::usleep(static_cast<useconds_t>(least.ns() / 1000));
        end_reclaim();
        return now() - begun;
    }

    static constexpr Duration kHour = Duration::from_s(3600);

    std::optional<Classifier> files_;
    std::optional<ClassifierTable> table_;

private:
    void run(std::size_t event) const {
        auto options = zeroed<bpf_test_run_opts>();
        options.sz = sizeof options;
        const int program = files_->event_programs.at(event).get();
        EXPECT_EQ(bpf_prog_test_run_opts(program, &options), 0);
    }
};

// Goal: events of the kernel's reclaim switch the classifier without any process of ours, the time
// that the switch took is told, and pressure ends by itself when no sign follows.
// Method: the events that a control group's reclaim makes stand for the machine's.
TEST_F(ClassifierPressure, ReclaimSwitches) {
    ASSERT_TRUE(
        load({.begin = "mm_vmscan_memcg_reclaim_begin", .end = "mm_vmscan_memcg_reclaim_end"}));
    table_->set_pressure_stall(Duration::from_ns(1));
    ASSERT_FALSE(drops_strays());
    ASSERT_FALSE(table_->pressure(now()).is_on);
    const Reclaimable group;
    if (!group.reclaim()) GTEST_SKIP() << "no control group of memory here";
    EXPECT_TRUE(drops_strays());
    const PressureFacts facts = table_->pressure(now());
    EXPECT_TRUE(facts.is_on);
    EXPECT_GT(facts.reclaims, 0U);
    EXPECT_EQ(facts.beginnings, 1U);
    EXPECT_GT(facts.switched_in.ns(), 0);
    EXPECT_LE(facts.switched_in.ns(), facts.since_reclaim.ns() + Duration::from_s(60).ns());
    RecordProperty("switched_in_us", std::to_string(facts.switched_in.ns() / 1000));
    table_->set_pressure_mode(PressureMode::Off);
    EXPECT_FALSE(drops_strays()) << "the operator's word goes first";
    table_->set_pressure_mode(PressureMode::Auto);
    table_->set_pressure_hold(Duration{});
    EXPECT_FALSE(drops_strays()) << "the last sign is older than a sign lasts";
}

// Goal: a host that reclaims a little, as each does that turns its page cache over, is not cut off.
TEST_F(ClassifierPressure, ShortWaitsAreNoSign) {
    table_->set_pressure_stall(Duration::from_s(1));
    end_reclaim();
    EXPECT_FALSE(drops_strays()) << "nobody knows how long that one took";
    table_->set_pressure_stall(kHour);
    for (int i = 0; i < 100; ++i) {
        begin_reclaim();
        EXPECT_FALSE(drops_strays());
        end_reclaim();
    }
    EXPECT_FALSE(drops_strays());
    EXPECT_EQ(table_->pressure(now()).reclaims, 100U);
    EXPECT_EQ(table_->pressure(now()).beginnings, 0U);
}

// Goal: whoever waits for memory and gets none makes no more events; that he waits is the sign.
TEST_F(ClassifierPressure, WaitingIsASignWhileItLasts) {
    table_->set_pressure_stall(Duration{});
    table_->set_pressure_hold(Duration{});
    EXPECT_FALSE(drops_strays());
    begin_reclaim();
    begin_reclaim();
    EXPECT_TRUE(drops_strays());
    EXPECT_TRUE(table_->pressure(now()).is_on);
    end_reclaim();
    EXPECT_TRUE(drops_strays()) << "the other one still waits";
    end_reclaim();
    EXPECT_FALSE(drops_strays());
    EXPECT_FALSE(table_->pressure(now()).is_on);
}

// Goal: many short waits are as good a sign as a long one.
// Method: each wait is measured; a machine that was too slow for the figures is asked again.
TEST_F(ClassifierPressure, WaitsAreSummedUp) {
    constexpr Duration kStall = Duration::from_ms(20);
    for (int attempt = 0; attempt < 50; ++attempt) {
        ASSERT_TRUE(load({}));
        table_->set_pressure_stall(kStall);
        Duration longest{};
        const Instant first = now();
        for (int i = 0; i < 30; ++i) longest = std::max(longest, reclaim_for(Duration::from_ms(1)));
        if (longest >= kStall || now() - first >= Duration::from_ms(90)) continue;
        EXPECT_TRUE(drops_strays());
        return;
    }
    FAIL() << "this machine never ran 30 waits of a millisecond within 90";
}

// Goal: waits that lie far apart are not summed up.
// Method: as above.
TEST_F(ClassifierPressure, WaitsAreForgotten) {
    constexpr Duration kStall = Duration::from_us(1500);
    for (int attempt = 0; attempt < 50; ++attempt) {
        ASSERT_TRUE(load({}));
        table_->set_pressure_stall(kStall);
        Duration longest{};
        for (int i = 0; i < 4 && longest < kStall; ++i) {
            longest = std::max(longest, reclaim_for(Duration::from_us(500)));
            ::usleep(110'000);
        }
        if (longest >= kStall) continue;
        EXPECT_FALSE(drops_strays());
        return;
    }
    FAIL() << "this machine never woke four times in a row within 1.5 ms";
}

// Goal: a wait whose end was not seen does not cut the host off for good, and an end whose
// beginning was not seen does not hide the next wait.
TEST_F(ClassifierPressure, KswapdSleepingEndsAllWaits) {
    table_->set_pressure_stall(Duration{});
    table_->set_pressure_hold(Duration{});
    begin_reclaim();
    EXPECT_TRUE(drops_strays());
    say_over();
    EXPECT_FALSE(drops_strays());
    end_reclaim();
    EXPECT_FALSE(drops_strays());
    begin_reclaim();
    EXPECT_TRUE(drops_strays());
}

// Goal: pressure that user space saw counts until it ends, and no longer.
TEST_F(ClassifierPressure, NotedByUserSpace) {
    table_->set_pressure_hold(Duration{});
    table_->note_pressure(now() + kHour);
    EXPECT_TRUE(drops_strays());
    table_->note_pressure(now());
    EXPECT_FALSE(drops_strays());
}

}  // namespace

}  // namespace holdfast::netpath::classifier
