#include "reserve/host_facts.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "reserve/kernel_file.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

TEST(HostFacts, ProbingLeavesTheProcessAsItWas) {
    // Goal: trying a right does not keep it.
    EXPECT_EQ(exit_code_of_child([] {
                  const auto score = read_kernel_number("/proc/self/oom_score_adj");
                  const int policy = ::sched_getscheduler(0);
                  const int flusher = ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
                  (void)probe_host();
                  if (read_kernel_number("/proc/self/oom_score_adj") != score) return 1;
                  if (::sched_getscheduler(0) != policy) return 2;
                  return ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == flusher ? 0 : 3;
              }),
              0);
}

TEST(HostFacts, WithoutRightsNothingIsPromised) {
    // Goal: an ordinary user's process is told tier C, with reasons.
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to give its rights away";
    EXPECT_EQ(exit_code_of_child([] {
                  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
                  ::setrlimit(RLIMIT_MEMLOCK, &none);
                  ::setrlimit(RLIMIT_RTPRIO, &none);
                  if (::setuid(65534) != 0) return 1;
                  const HostFacts facts = probe_host();
                  if (facts.may_lock_memory || facts.may_run_fifo || facts.may_flush_io) return 2;
                  if (facts.may_lower_oom_score || facts.may_set_kernel_reserve) return 3;
                  return decide_tier(facts).tier == Tier::C ? 0 : 4;
              }),
              0);
}

TEST(HostFacts, KnowsTheKernel) {
    // Goal: the version is the running kernel's.
    EXPECT_GE(probe_host().kernel_major, 5U);
}

}  // namespace
}  // namespace holdfast::reserve
