#include "base/serial.h"

#include <gtest/gtest.h>

#include <array>

namespace holdfast {
namespace {

using Number = Serial32<struct TestTag>;

// Goal: the order of two numbers depends on their distance only, at every place of the circle.
// Rows: SEQ-02
TEST(Serial32, OrderIsTheSameAtEveryPlaceOfTheCircle) {
    constexpr std::array<std::uint32_t, 8> kStarts = {
        0, 1, 0x7fff'fffe, 0x7fff'ffff, 0x8000'0000, 0x8000'0001, 0xffff'fffe, 0xffff'ffff};
    for (const std::uint32_t start : kStarts) {
        const Number from{start};
        EXPECT_FALSE(from.precedes(from));
        EXPECT_TRUE(from.precedes_or_is(from));
        for (const std::uint32_t ahead : {1U, 2U, 0x1000U, 0x7fff'fffeU, 0x7fff'ffffU}) {
            EXPECT_TRUE(from.precedes(from.plus(ahead))) << start << "+" << ahead;
            EXPECT_FALSE(from.plus(ahead).precedes(from)) << start << "+" << ahead;
            EXPECT_EQ(from.plus(ahead).since(from), ahead);
        }
    }
}

// Goal: numbers half a circle apart are unordered both ways, as RFC 1982 section 3.2 leaves them.
TEST(Serial32, OppositeNumbersAreUnordered) {
    for (const std::uint32_t start : {0U, 5U, 0x8000'0000U, 0xffff'ffffU}) {
        const Number one{start};
        const Number other = one.plus(0x8000'0000U);
        EXPECT_FALSE(one.precedes(other));
        EXPECT_FALSE(other.precedes(one));
    }
}

// Goal: counting on past the last number comes back to zero.
TEST(Serial32, WrapsToZero) {
    EXPECT_EQ(Number{0xffff'ffffU}.next(), Number{0});
    EXPECT_TRUE(Number{0xffff'ffffU}.precedes(Number{0}));
}

}  // namespace
}  // namespace holdfast
