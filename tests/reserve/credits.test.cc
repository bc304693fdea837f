#include "reserve/credits.h"

#include <gtest/gtest.h>

namespace holdfast::reserve {
namespace {

using Three = Credits<3>;

TEST(Credits, TakesAllOrNothing) {
    // Goal: a refused bundle leaves no kind half taken.
    // Method: every bundle over a small space against every smaller stock.
    const Three::Bundle stock{2, 1, 3};
    for (std::uint32_t a = 0; a < 5; ++a) {
        for (std::uint32_t b = 0; b < 5; ++b) {
            for (std::uint32_t c = 0; c < 5; ++c) {
                Three credits{stock};
                const auto grant = credits.try_take({a, b, c});
                const bool fits = a <= 2 && b <= 1 && c <= 3;
                EXPECT_EQ(static_cast<bool>(grant), fits);
                const Three::Bundle left{2 - a, 1 - b, 3 - c};
                EXPECT_EQ(credits.free(), fits ? left : stock);
            }
        }
    }
}

TEST(Credits, GrantGoesHomeOnce) {
    // Goal: moving and giving back twice cannot create credits.
    Three credits{{4, 4, 4}};
    auto a = credits.try_take({1, 2, 3});
    auto b = std::move(a);
    a.give_back();
    EXPECT_FALSE(credits.is_whole());
    b.give_back();
    b.give_back();
    EXPECT_TRUE(credits.is_whole());
    EXPECT_EQ(credits.low_water(), (Three::Bundle{3, 2, 1}));
}

TEST(CreditsDeathTest, CreditsMayNotDieBeforeTheirGrants) {
    // Goal: a grant cannot dangle.
    const auto outlive = [] {
        Three::Grant grant;
        Three credits{{1, 1, 1}};
        grant = credits.try_take({1, 1, 1});
    };
    EXPECT_DEATH(outlive(), "is_whole");
}

}  // namespace
}  // namespace holdfast::reserve
