// Pressure as the kernel itself tells it: a real event of its reclaim, a stamp, a packet judged.

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

// Goal: an event of the kernel's reclaim switches the classifier without any process of ours, the
// time that the switch took is told, and pressure ends by itself when no sign follows.
// Method: the event that a control group's reclaim makes stands for the two of the machine's.
TEST(ClassifierPressure, ReclaimSwitches) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    constexpr std::array kEvents{"mm_vmscan_memcg_reclaim_begin"};
    const auto files = load_classifier({.reclaim_events = kEvents});
    ASSERT_TRUE(files);
    ASSERT_EQ(files->event_count, 1U);
    const auto table = ClassifierTable::map(files->shared.get());
    ASSERT_TRUE(table);
    table->renew_lease(now());
    table->set_pressure_hold(Duration::from_s(3600));
    ASSERT_EQ(verdict_on_stray(*files), 2U) << "XDP_PASS";
    ASSERT_FALSE(table->pressure(now()).is_on);
    const Reclaimable group;
    if (!group.reclaim()) GTEST_SKIP() << "no control group of memory here";
    EXPECT_EQ(verdict_on_stray(*files), 1U) << "XDP_DROP";
    const PressureFacts facts = table->pressure(now());
    EXPECT_TRUE(facts.is_on);
    EXPECT_GT(facts.reclaims, 0U);
    EXPECT_EQ(facts.beginnings, 1U);
    EXPECT_GT(facts.switched_in.ns(), 0);
    EXPECT_LE(facts.switched_in.ns(), facts.since_reclaim.ns() + Duration::from_s(60).ns());
    RecordProperty("switched_in_us", std::to_string(facts.switched_in.ns() / 1000));
    table->set_pressure_mode(PressureMode::Off);
    EXPECT_EQ(verdict_on_stray(*files), 2U) << "the operator's word goes first";
    table->set_pressure_mode(PressureMode::Auto);
    table->set_pressure_hold(Duration{});
    EXPECT_EQ(verdict_on_stray(*files), 2U) << "the last sign is older than a sign lasts";
}

// Goal: pressure that user space saw counts until it ends, and no longer.
TEST(ClassifierPressure, NotedByUserSpace) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    const auto files = load_classifier({});
    ASSERT_TRUE(files);
    const auto table = ClassifierTable::map(files->shared.get());
    ASSERT_TRUE(table);
    table->set_pressure_hold(Duration{});
    table->renew_lease(now());
    table->note_pressure(now() + Duration::from_s(3600));
    EXPECT_EQ(verdict_on_stray(*files), 1U) << "XDP_DROP";
    table->note_pressure(now());
    EXPECT_EQ(verdict_on_stray(*files), 2U) << "XDP_PASS";
}

}  // namespace

}  // namespace holdfast::netpath::classifier
