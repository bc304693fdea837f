#include "base/time.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace holdfast {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

// Goal: any two bit patterns have a difference, a sum and a product, without overflow.
// Method: all pairs of the extremes; the sanitizer builds would stop at the first overflow.
TEST(Time, ArithmeticSaturatesAtBothEnds) {
    EXPECT_EQ((Instant::from_ns(0) - Instant::from_ns(kMin)).ns(), kMax);
    EXPECT_EQ((Instant::from_ns(kMin) - Instant::from_ns(1)).ns(), kMin);
    EXPECT_EQ((Duration::from_ns(kMax) + Duration::from_ns(1)).ns(), kMax);
    EXPECT_EQ((Duration::from_ns(kMin) + Duration::from_ns(-1)).ns(), kMin);
    EXPECT_EQ((Duration::from_ns(kMin) - Duration::from_ns(1)).ns(), kMin);
    EXPECT_EQ((Duration::from_ns(kMin) * 2).ns(), kMin);
    EXPECT_EQ((Duration::from_ns(kMin) * -1).ns(), kMax);
    EXPECT_EQ(Duration::from_s(kMax).ns(), kMax);
    EXPECT_EQ(Duration::from_ms(kMin).ns(), kMin);
    EXPECT_EQ(Duration::from_us(kMax / 999).ns(), kMax);
}

// Goal: a deadline that is too far away to be counted is none.
TEST(Time, TooLateIsNever) {
    EXPECT_TRUE((Instant::from_ns(1) + Duration::max()).is_never());
    EXPECT_TRUE((Instant::never() + Duration::from_s(1)).is_never());
    EXPECT_FALSE((Instant::from_ns(1) + Duration::from_s(1)).is_never());
}

// Goal: where nothing overflows, it is plain arithmetic.
TEST(Time, OrdinaryValuesAreExact) {
    const Instant start = Instant::from_ns(5'000'000'000);
    EXPECT_EQ((start + Duration::from_ms(250) - start).ms(), 250);
    EXPECT_EQ((Duration::from_s(2) - Duration::from_s(5)).ns(), -3'000'000'000);
    EXPECT_EQ((Duration::from_us(7) * 3).ns(), 21'000);
}

}  // namespace
}  // namespace holdfast
