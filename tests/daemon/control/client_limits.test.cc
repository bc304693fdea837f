#include "daemon/control/client_limits.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

// Goal: no user, and not all of them together, can keep root out.
TEST(ClientLimits, RootAlwaysGetsAPlace) {
    EXPECT_TRUE(may_connect(false, 0, 0));
    EXPECT_TRUE(may_connect(false, kClientsOfOneUserMax - 1, kClientsOfOneUserMax - 1));
    EXPECT_FALSE(may_connect(false, kClientsOfOneUserMax, kClientsOfOneUserMax));
    EXPECT_FALSE(may_connect(false, 0, kClientsOfOthersMax));
    EXPECT_TRUE(may_connect(true, kClientsOfOneUserMax, kClientsOfOthersMax));
    EXPECT_LT(kClientsOfOthersMax, kClientsMax);
}

// Goal: a burst is let through, then one request an interval; nothing is saved up beyond a burst.
TEST(RequestRate, LetsABurstThroughThenPaces) {
    RequestRate rate;
    Instant now = Instant::from_ns(7'000'000'000);
    for (std::uint32_t i = 0; i < RequestRate::kAtOnce; ++i) EXPECT_TRUE(rate.try_take(now));
    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(rate.try_take(now));
        const Instant next = rate.next();
        EXPECT_GT(next, now);
        EXPECT_LE(next, now + RequestRate::kInterval);
        now = next;
        EXPECT_TRUE(rate.try_take(now));
    }
    now = now + Duration::from_s(3600);
    for (std::uint32_t i = 0; i < RequestRate::kAtOnce; ++i) EXPECT_TRUE(rate.try_take(now));
    EXPECT_FALSE(rate.try_take(now));
}

}  // namespace
}  // namespace holdfast::daemon
