#include "netpath/io/ring.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "netpath/io/ring_limits.h"

namespace holdfast::netpath {
namespace {

constexpr FileSlot kFile{0};

std::int64_t clock_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// Goal: this kernel grants everything that the data path is built on.
TEST(Ring, KernelGrantsEverything) {
    std::vector<std::byte> memory(16 * 4096);
    Ring ring;
    ASSERT_TRUE(ring.open({}, memory).has_value());
    EXPECT_TRUE(ring.grants().defer_taskrun);
    EXPECT_TRUE(ring.grants().single_issuer);
    EXPECT_TRUE(ring.grants().restricted);
    EXPECT_TRUE(ring.grants().registered_ring);
    EXPECT_TRUE(ring.grants().pinned);
}

// Goal: the wait ends at its limit, with nothing, although nothing was ever submitted.
TEST(Ring, WaitEndsAtItsLimit) {
    Ring ring;
    ASSERT_TRUE(ring.open({}, {}).has_value());
    const std::int64_t before = clock_ms();
    ring.submit_and_wait(Duration::from_ms(30));
    EXPECT_GE(clock_ms() - before, 29);
    EXPECT_FALSE(ring.poll_completed().has_value());
}

// Goal: a token comes back as it went in.
TEST(Ring, TokenTravelsThroughTheKernel) {
    Ring ring;
    ASSERT_TRUE(ring.open({}, {}).has_value());
    const UniqueFd event{eventfd(7, 0)};
    ASSERT_TRUE(ring.set_file(kFile, event.get()).has_value());
    std::array<std::byte, 8> word{};
    const Token token{.owner = 200, .kind = 3, .index = 65535, .serial = 0xfedcba98};
    ring.read(kFile, word, token);
    ring.submit_and_wait(Duration::max());
    const auto completed = ring.poll_completed();
    ASSERT_TRUE(completed.has_value());
    EXPECT_EQ(completed->token, token);
    EXPECT_EQ(completed->result, 8);
    EXPECT_EQ(ring.outstanding(), 0U);
}

// Goal: a cancelled operation and its cancel both complete, so that memory can be taken back.
TEST(Ring, CancelBringsBothHome) {
    Ring ring;
    ASSERT_TRUE(ring.open({}, {}).has_value());
    const UniqueFd event{eventfd(0, 0)};
    ASSERT_TRUE(ring.set_file(kFile, event.get()).has_value());
    ring.poll(kFile, POLLIN, {.owner = 1});
    ring.submit_and_wait(Duration{});
    ring.cancel({.owner = 1}, {.owner = 2});
    int seen = 0;
    while (seen < 2) {
        ring.submit_and_wait(Duration::from_s(5));
        while (const auto completed = ring.poll_completed()) {
            ++seen;
            EXPECT_EQ(completed->result, completed->token.owner == 1 ? -ECANCELED : 0);
        }
    }
    EXPECT_EQ(ring.outstanding(), 0U);
}

// Goal: kicks that succeed say nothing, one that fails says so, and neither counts as outstanding:
// more of them than the ring has operations.
TEST(Ring, KicksCompleteOnlyWhenTheyFail) {
    Ring ring;
    ASSERT_TRUE(ring.open({.operations = 4}, {}).has_value());
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd near{ends[0]};
    UniqueFd far{ends[1]};
    ASSERT_TRUE(ring.set_file(kFile, near.get()).has_value());
    for (int i = 0; i < 6; ++i) ring.kick_sending(kFile);
    ring.submit_and_wait(Duration{});
    EXPECT_FALSE(ring.poll_completed().has_value());
    far.reset();
    ring.kick_sending(kFile);
    ring.kick_receiving(kFile);
    EXPECT_EQ(ring.outstanding(), 0U);
    ring.submit_and_wait(Duration::from_s(5));
    const auto completed = ring.poll_completed();
    ASSERT_TRUE(completed.has_value());
    EXPECT_EQ(completed->token.owner, Ring::kKickOwner);
    EXPECT_LT(completed->result, 0);
    EXPECT_EQ(ring.outstanding(), 0U);
}

// Goal: an operation that was not asked for at open is refused by the kernel.
// Method: a ring without commands gets one.
TEST(Ring, UnplannedOperationIsRefused) {
    Ring ring;
    ASSERT_TRUE(ring.open({}, {}).has_value());
    const UniqueFd event{eventfd(0, 0)};
    ASSERT_TRUE(ring.set_file(kFile, event.get()).has_value());
    ring.command(kFile, 1, {}, {.owner = 9});
    ring.submit_and_wait(Duration::from_s(5));
    const auto completed = ring.poll_completed();
    ASSERT_TRUE(completed.has_value());
    EXPECT_EQ(completed->result, -EACCES);
}

// Goal: with accept, which needs the other form of closing, the ring is limited as well.
TEST(Ring, IsLimitedWithAcceptToo) {
    Ring ring;
    ASSERT_TRUE(ring.open({.with_commands = true, .with_accept = true}, {}).has_value());
    EXPECT_TRUE(ring.grants().restricted);
}

// Goal: the judgement on limits tells a limited ring from one that is not, in each point.
TEST(RingLimits, AreTried) {
    constexpr std::array<std::uint8_t, 2> kReading{IORING_OP_READ, IORING_OP_NOP};
    constexpr std::array<std::uint8_t, 1> kEvents{IORING_REGISTER_EVENTFD};
    const auto read_only = std::span{kReading}.first(1);
    struct Case {
        RingLimits limits;
        bool refuses;
    };
    const std::array cases{
        Case{{.operations = read_only, .registrations = {}}, true},
        Case{{.operations = kReading, .registrations = {}}, false},
        Case{{.operations = read_only, .registrations = kEvents}, false},
        Case{{.operations = read_only, .registrations = {}, .files = RingFiles::Any}, false},
    };
    for (const Case& one : cases) {
        io_uring ring{};
        ASSERT_EQ(io_uring_queue_init(4, &ring, IORING_SETUP_R_DISABLED), 0);
        ASSERT_EQ(limit_ring(ring, one.limits), 0);
        ASSERT_EQ(io_uring_enable_rings(&ring), 0);
        EXPECT_EQ(refuses_the_rest(ring, RingFiles::Registered), one.refuses);
        io_uring_queue_exit(&ring);
    }
}

// Goal: more operations than planned is our bug, and stops.
TEST(RingDeathTest, TooManyOperationsAbort) {
    Ring ring;
    ASSERT_TRUE(ring.open({.operations = 4}, {}).has_value());
    const UniqueFd event{eventfd(0, 0)};
    ASSERT_TRUE(ring.set_file(kFile, event.get()).has_value());
    EXPECT_DEATH(for (int i = 0; i < 5; ++i) ring.poll(kFile, POLLIN, {.owner = 1}),
                 "operations_max_");
}

}  // namespace
}  // namespace holdfast::netpath
