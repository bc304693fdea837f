#include "netpath/steer/decide.h"

#include <gtest/gtest.h>

#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::steer {

namespace {

// Goal: the bucket lets a burst through, then keeps the rate, and forgets no idle time beyond it.
TEST(TokenBucket, BurstThenRate) {
    TokenBucket bucket{Duration::from_ms(100), Duration::from_ms(200)};
    const Instant start = Instant::from_ns(5'000'000'000);
    EXPECT_TRUE(bucket.try_take(start));
    EXPECT_TRUE(bucket.try_take(start));
    EXPECT_TRUE(bucket.try_take(start));
    EXPECT_FALSE(bucket.try_take(start));
    EXPECT_FALSE(bucket.try_take(start + Duration::from_ms(99)));
    EXPECT_TRUE(bucket.try_take(start + Duration::from_ms(100)));
    EXPECT_FALSE(bucket.try_take(start + Duration::from_ms(100)));
    const Instant later = start + Duration::from_s(100);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.try_take(later)) << i;
    EXPECT_FALSE(bucket.try_take(later));
}

}  // namespace

}  // namespace holdfast::netpath::steer
