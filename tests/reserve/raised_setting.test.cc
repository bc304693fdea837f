#include "reserve/raised_setting.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace holdfast::reserve {
namespace {

// A file in place of the sysctl.
class RaisedSettingFile : public testing::Test {
protected:
    void SetUp() override { write("1826\n"); }
    void TearDown() override { std::remove(path_.c_str()); }
    void write(const std::string& text) { std::ofstream{path_} << text; }
    std::string read() {
        std::string text;
        std::getline(std::ifstream{path_}, text);
        return text;
    }
    std::string path_ = testing::TempDir() + "holdfast-min-free-" + std::to_string(::getpid()) +
                        testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(RaisedSettingFile, RaisesOnAttachAndRestoresOnLastDetach) {
    // Goal: the operator tunes nothing, and finds everything as it was.
    RaisedSetting reserve{path_.c_str()};
    const auto raised = reserve.settle(16384);
    ASSERT_TRUE(raised) << raised.error().text();
    EXPECT_EQ(raised->note, LedgerNote::Raised);
    EXPECT_EQ(raised->value, 16384U);
    EXPECT_EQ(read(), "16384");
    EXPECT_EQ(reserve.settle(16384)->note, LedgerNote::Enough);
    write("16384\n");
    EXPECT_EQ(reserve.settle(0)->note, LedgerNote::Restored);
    EXPECT_EQ(read().substr(0, 4), "1826");
}

TEST_F(RaisedSettingFile, LeavesAnOperatorsFigureAlone) {
    // Goal: higher stays higher, and a change behind our back is not undone.
    write("65536\n");
    RaisedSetting reserve{path_.c_str()};
    EXPECT_EQ(reserve.settle(16384)->note, LedgerNote::Enough);
    EXPECT_EQ(read(), "65536");
    write("1826\n");
    EXPECT_EQ(reserve.settle(16384)->note, LedgerNote::Raised);
    write("20000\n");
    const auto left = reserve.settle(0);
    EXPECT_EQ(left->note, LedgerNote::NotOurs);
    EXPECT_EQ(read(), "20000");
}

TEST_F(RaisedSettingFile, ASuccessorRestoresToo) {
    // Goal: the found figure is not lost with the process that found it.
    RaisedSetting first{path_.c_str()};
    ASSERT_TRUE(first.settle(16384));
    write("16384\n");
    RaisedSetting second{path_.c_str(), first.ledger()};
    EXPECT_EQ(second.settle(0)->note, LedgerNote::Restored);
}

TEST_F(RaisedSettingFile, ARefusalIsAnErrorAndChangesNothing) {
    // Goal: a reserve that could not be set is never believed.
    EXPECT_EQ(RaisedSetting{"/nowhere"}.settle(16384).error(), Errno{ENOENT});
    write("not a number\n");
    EXPECT_EQ(RaisedSetting{path_.c_str()}.settle(16384).error(), Errno{EINVAL});
    // /proc/self/stat cannot be written, and is no number either.
    RaisedSetting reserve{"/proc/self/oom_score"};
    EXPECT_FALSE(reserve.settle(1'000'000'000));
    EXPECT_FALSE(reserve.ledger().is_ours());
}

TEST(RaisedSetting, TheRealFileIsRestored) {
    // Goal: the kernel itself takes and shows the figures.
    const auto before = RaisedSetting{kMinFreePath}.settle(0);
    if (!before) GTEST_SKIP() << "no vm.min_free_kbytes here";
    RaisedSetting reserve{kMinFreePath};
    const auto raised = reserve.settle(before->value + 1024);
    if (!raised) GTEST_SKIP() << "vm.min_free_kbytes cannot be set here: needs root";
    EXPECT_EQ(raised->value, before->value + 1024);
    const auto restored = reserve.settle(0);
    ASSERT_TRUE(restored);
    EXPECT_EQ(restored->value, before->value);
}

TEST(MemoryKib, IsWhatTheMachineHas) {
    // Goal: the share of memory is computed from the real figure.
    const auto total = memory_kib();
    ASSERT_TRUE(total);
    const auto pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
    EXPECT_EQ(*total, pages * 4);
}

}  // namespace
}  // namespace holdfast::reserve
