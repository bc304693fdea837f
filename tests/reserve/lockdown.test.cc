#include "reserve/lockdown.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "reserve/kernel_file.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

const Protection* row_of(const Protections& rows, std::string_view name) {
    for (const Protection& row : rows.span()) {
        if (row.name.view() == name) return &row;
    }
    return nullptr;
}

// CAP_SYS_RESOURCE is missing in many containers, for root too.
bool may_lower_oom_score() {
    return exit_code_of_child([] {
               std::ofstream file{"/proc/self/oom_score_adj"};
               file << "-1000" << std::flush;
               return file.good() ? 0 : 1;
           }) == 0;
}

bool may_flush_io() {
    return exit_code_of_child([] { return ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0 ? 0 : 1; }) ==
           0;
}

class Lockdown : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        std::ofstream{path_} << "1\n";
        wish_.compaction_path = path_.c_str();
        wish_.lock_memory = !kSanitized;  // Nobody can lock a sanitizer's shadow memory.
    }
    void TearDown() override { std::remove(path_.c_str()); }

    // In a child: locks down or not, then 0 when the row holds, 1 when it does not.
    int row_after(bool lock, const char* name) {
        std::ofstream{path_} << "1\n";
        return exit_code_of_child([&] {
            const Protections rows = lock ? lock_down(wish_) : read_back(wish_);
            const Protection* const row = row_of(rows, name);
            if (row == nullptr) return 2;
            return row->holds ? 0 : 1;
        });
    }

    std::string path_ = testing::TempDir() + "holdfast-compaction-" + std::to_string(::getpid());
    LockdownWish wish_;
};

TEST_F(Lockdown, EachRowHoldsAfterwardsAndNotBefore) {
    // Goal: every row tells a process that is locked down from one that is not.
    // Rows: BUG-62
    for (const char* const name :
         {"scheduling", "compact_unevictable_allowed", "huge pages off", "core dumps"}) {
        EXPECT_EQ(row_after(false, name), 1) << name;
        EXPECT_EQ(row_after(true, name), 0) << name;
    }
    EXPECT_EQ(row_after(false, "oom_score_adj"), 1);
    EXPECT_EQ(row_after(true, "oom_score_adj"), may_lower_oom_score() ? 0 : 1);
    EXPECT_EQ(row_after(false, "IO_FLUSHER"), 1);
    EXPECT_EQ(row_after(true, "IO_FLUSHER"), may_flush_io() ? 0 : 1);
    if (!wish_.lock_memory) return;
    for (const char* const name : {"memory locked", "main stack"}) {
        EXPECT_EQ(row_after(false, name), 1) << name;
        EXPECT_EQ(row_after(true, name), 0) << name;
    }
}

TEST_F(Lockdown, TheKernelSaysTheSame) {
    // Goal: the rows do not come from what we asked for. Method: other ways to ask the kernel.
    const std::int64_t score = may_lower_oom_score() ? -1000 : 0;
    EXPECT_EQ(exit_code_of_child([&] {
                  const Protections rows = lock_down(wish_);
                  if (::sched_getscheduler(0) != SCHED_FIFO) return 1;
                  if (read_kernel_number("/proc/self/oom_score_adj") != score) return 2;
                  if (::prctl(PR_GET_DUMPABLE) != 0) return 3;
                  if (::prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) != 1) return 4;
                  if (read_kernel_number(path_.c_str()) != 0) return 5;
                  if (wish_.lock_memory && *read_kernel_field("/proc/self/status", "VmLck") == 0) {
                      return 6;
                  }
                  return rows.empty() ? 7 : 0;
              }),
              0);
}

TEST_F(Lockdown, UndoingOneIsSeen) {
    // Goal: a protection that goes missing later is noticed by the next read-back.
    EXPECT_EQ(exit_code_of_child([&] {
                  (void)lock_down(wish_);
                  const sched_param none{};
                  if (::sched_setscheduler(0, SCHED_OTHER, &none) != 0) return 1;
                  (void)::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
                  const Protections rows = read_back(wish_);
                  if (row_of(rows, "scheduling")->holds) return 2;
                  if (row_of(rows, "core dumps")->holds) return 3;
                  return row_of(rows, "huge pages off")->holds ? 0 : 4;
              }),
              0);
}

TEST_F(Lockdown, IoFlusherIsReadFromTheThreadsThemselves) {
    // Goal: the row follows the flags of the task, whatever prctl answered.
    EXPECT_EQ(exit_code_of_child([&] {
                  const bool granted = ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
                  const Protections rows = read_back(wish_);
                  const Protection* const row = row_of(rows, "IO_FLUSHER");
                  if (row == nullptr || row->holds != granted) return 1;
                  if (!granted) return row->advice.empty() ? 2 : 0;
                  (void)::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
                  return row_of(read_back(wish_), "IO_FLUSHER")->holds ? 3 : 0;
              }),
              0);
}

TEST_F(Lockdown, WithoutRightsItGoesOnAndSaysSo) {
    // Goal: refusals end in rows with advice, not in a crash.
    EXPECT_EQ(exit_code_of_child([&] {
                  if (::setuid(65534) != 0) return 1;
                  const Protections rows = lock_down(wish_);
                  int refused = 0;
                  for (const Protection& row : rows.span()) {
                      if (row.holds != row.advice.empty()) return 2;
                      if (!row.holds) ++refused;
                  }
                  return refused >= 3 ? 0 : 3;
              }),
              0);
}

TEST_F(Lockdown, TheOomScoreIsWrittenAndReadBack) {
    // Goal: also where the kernel would refuse, it is us who ask for -1000.
    wish_.oom_score_path = path_.c_str();
    wish_.forbid_compaction = false;
    EXPECT_EQ(row_after(false, "oom_score_adj"), 1);
    EXPECT_EQ(row_after(true, "oom_score_adj"), 0);
    EXPECT_EQ(read_kernel_number(path_.c_str()), -1000);
}

TEST_F(Lockdown, AProgramWithoutTheHeapHasNoFuse) {
    // Goal: this program, which does not link reserve_heap, is told so.
    const Protections rows = read_back(wish_);
    ASSERT_NE(row_of(rows, "allocation fuse"), nullptr);
    EXPECT_FALSE(row_of(rows, "allocation fuse")->holds);
}

TEST_F(Lockdown, WhatIsNotWishedHasNoRow) {
    // Goal: a data volume without real-time rights is not blamed for it.
    wish_.fifo_priority = 0;
    wish_.io_flusher = false;
    const Protections rows = read_back(wish_);
    EXPECT_EQ(row_of(rows, "scheduling"), nullptr);
    EXPECT_EQ(row_of(rows, "IO_FLUSHER"), nullptr);
    EXPECT_NE(row_of(rows, "oom_score_adj"), nullptr);
}

}  // namespace
}  // namespace holdfast::reserve
