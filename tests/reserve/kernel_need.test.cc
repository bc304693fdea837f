#include "reserve/kernel_need.h"

#include <gtest/gtest.h>

namespace holdfast::reserve {
namespace {

constexpr std::uint32_t kKib = 1024;

ByteCount need_of(std::uint32_t attachments, std::uint32_t depth, std::uint32_t request_bytes,
                  std::uint32_t cpus) {
    MemoryPlan plan;
    add_network_to_plan(plan, {.cpus = cpus});
    for (std::uint32_t i = 0; i < attachments; ++i) {
        add_load_to_plan(plan, {.connections = 1,
                                .depth = depth,
                                .buffers = socket_buffers_for(depth, request_bytes)});
    }
    return plan.total();
}

TEST(KernelNeed, AgreesWithTheMeasuredGuest) {
    // Goal: the sum gives what was measured to be enough, 16384 KiB in a guest of 256 MiB with two
    // CPUs, and far more than the default of 1826 KiB that locks up.
    EXPECT_EQ(min_free_kib_for(need_of(1, 32, 128 * kKib, 2)), 16384U);
    EXPECT_TRUE(reserve_fits(16384, 256 * 1024));
}

TEST(KernelNeed, GrowsWithEverythingThatAddsLoad) {
    // Goal: no term is lost.
    const ByteCount base = need_of(1, 8, 4 * kKib, 1);
    EXPECT_GT(need_of(2, 8, 4 * kKib, 1), base);
    EXPECT_GT(need_of(1, 9, 4 * kKib, 1), base);
    EXPECT_GT(need_of(1, 64, 4 * kKib, 1), need_of(1, 32, 4 * kKib, 1));
    EXPECT_GT(need_of(1, 8, 256 * kKib, 1), base);
    EXPECT_GT(need_of(1, 8, 4 * kKib, 2), base);
}

TEST(KernelNeed, QueuesCountOnceForEachCpuAtMost) {
    // Goal: a machine with fewer queues than CPUs needs less, one with more needs no more than one
    // a CPU, and one that nobody could count the same.
    const auto need = [](HostNetwork network) {
        MemoryPlan plan;
        add_network_to_plan(plan, network);
        return plan.total();
    };
    EXPECT_EQ(need({.cpus = 4, .receive_queues = 2}), need({.cpus = 2}));
    EXPECT_EQ(need({.cpus = 4, .receive_queues = 64}), need({.cpus = 4}));
    EXPECT_LT(need({.cpus = 4, .receive_queues = 1}), need({.cpus = 4, .receive_queues = 2}));
}

TEST(KernelNeed, BuffersAreBoundedBothWays) {
    // Goal: a tiny attachment still moves, a huge one does not take the machine.
    EXPECT_EQ(socket_buffers_for(1, 4096).send_bytes, 128 * kKib);
    EXPECT_EQ(socket_buffers_for(256, 4 * 1024 * kKib).send_bytes, 512 * kKib);
    EXPECT_EQ(socket_buffers_for(16, 128 * kKib).receive_bytes, 256 * kKib);
}

TEST(KernelNeed, LeavesHalfOfTheWatermarkToReclaim) {
    // Goal: the half of min_free that is open to packets covers the need, with a quarter on top.
    for (std::uint64_t mib = 1; mib < 200; ++mib) {
        const std::uint64_t min_free = min_free_kib_for(ByteCount{mib << 20});
        EXPECT_GE(min_free / 2, mib * 1024 * 5 / 4);
        EXPECT_EQ(min_free % 1024, 0U);
    }
}

TEST(KernelNeed, RefusesToTakeTheMachine) {
    // Goal: more than an eighth of memory is not a reserve any more.
    EXPECT_TRUE(reserve_fits(32 * 1024, 256 * 1024));
    EXPECT_FALSE(reserve_fits(32 * 1024 + 1, 256 * 1024));
}

}  // namespace
}  // namespace holdfast::reserve
