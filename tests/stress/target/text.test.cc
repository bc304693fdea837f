#include "stress/target/text.h"

#include <gtest/gtest.h>

#include "stress/target/chap.h"
#include "stress/target/units_text.h"

namespace holdfast::target {
namespace {

using namespace std::string_view_literals;

// Goal: pairs are split at NUL, and malformed text is refused whole.
TEST(TargetText, PairsNeedAKeyAnEqualsSignAndANul) {
    const auto good = parse_text("A=1\0B=\0C=x=y\0"sv);
    ASSERT_TRUE(good.has_value());
    ASSERT_EQ(good->size(), 3U);
    EXPECT_EQ((*good)[2].value, "x=y");
    for (const auto bad : {"A=1"sv, "A\0"sv, "=1\0"sv, "A=1\0B"sv}) EXPECT_FALSE(parse_text(bad));
    EXPECT_TRUE(parse_text("").has_value());
}

// Goal: numbers as section 6.1 has them, nothing else.
TEST(TargetText, NumbersAreDecimalOrHex) {
    EXPECT_EQ(parse_number("0"), 0U);
    EXPECT_EQ(parse_number("0x1F"), 31U);
    EXPECT_EQ(parse_number("18446744073709551615"), ~0ULL);
    for (const auto bad : {"", "-1", " 1", "1 ", "01", "0x", "18446744073709551616", "1k"})
        EXPECT_FALSE(parse_number(bad)) << bad;
}

// Goal: hex with an odd number of digits is legal, and so is base64.
TEST(TargetText, BinaryIsHexOrBase64) {
    EXPECT_EQ(parse_binary("0xabc"), (std::vector<std::uint8_t>{0x0a, 0xbc}));
    EXPECT_EQ(parse_binary("0bAQID"), (std::vector<std::uint8_t>{1, 2, 3}));
    EXPECT_EQ(parse_binary("0bAQI="), (std::vector<std::uint8_t>{1, 2}));
    for (const auto bad : {"", "0x", "0b", "0xg0", "12", "0b!!!!"})
        EXPECT_FALSE(parse_binary(bad)) << bad;
    EXPECT_EQ(hex_text({0, 0xff}), "0x00ff");
}

// Goal: the four hashes differ in length as they must; an unknown algorithm has none.
TEST(TargetChap, FourAlgorithms) {
    const Octets challenge(16, 1);
    EXPECT_EQ(chap_response(kChapMd5, 1, "secret", challenge)->size(), 16U);
    EXPECT_EQ(chap_response(kChapSha1, 1, "secret", challenge)->size(), 20U);
    EXPECT_EQ(chap_response(kChapSha256, 1, "secret", challenge)->size(), 32U);
    EXPECT_EQ(chap_response(kChapSha3, 1, "secret", challenge)->size(), 32U);
    EXPECT_FALSE(chap_response(9, 1, "secret", challenge));
}

// Goal: times need a unit; sizes are powers of 1024.
TEST(TargetUnits, TimesNeedAUnit) {
    EXPECT_EQ(parse_duration("2.5s"), Duration::from_ms(2500));
    EXPECT_EQ(parse_duration("50ms"), Duration::from_ms(50));
    for (const auto bad : {"", "5", "5 s", "-1s", "s", "1e300s", "nans"})
        EXPECT_FALSE(parse_duration(bad)) << bad;
    EXPECT_EQ(parse_size("64K"), 65'536U);
    EXPECT_FALSE(parse_size("99999999T"));
}

}  // namespace
}  // namespace holdfast::target
