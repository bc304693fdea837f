#include "initiator/login/value.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/initiator/login/texts.h"

namespace holdfast::initiator {
namespace {

std::optional<std::string> binary(std::string_view text, std::size_t room = 64) {
    std::vector<std::byte> out(room);
    const auto decoded = parse_binary(text, out);
    if (!decoded) return {};
    std::string result;
    for (const std::byte b : *decoded) result += static_cast<char>(b);
    return result;
}

std::string encoded_base64(std::string_view bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string result = "0b";
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        unsigned group = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            group =
                group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            const bool padded = i + j > bytes.size();
            result += padded ? '=' : kDigits[group >> (18 - 6 * j) & 63U];
        }
    }
    return result;
}

// Goal: numbers in both notations, up to the last one below 2^64.
// Rows: NEG-03
TEST(Number, DecimalAndHexadecimalUpTo64Bits) {
    EXPECT_EQ(parse_number("0"), 0U);
    EXPECT_EQ(parse_number("8192"), 8192U);
    EXPECT_EQ(parse_number("18446744073709551615"), ~0ULL);
    EXPECT_EQ(parse_number("0x0"), 0U);
    EXPECT_EQ(parse_number("0Xfe"), 0xfeU);
    EXPECT_EQ(parse_number("0xFFFFFFFFFFFFFFFF"), ~0ULL);
    EXPECT_EQ(parse_number("0x00000000000000000001"), 1U);
}

// Goal: sign, blank, garbage, overflow, leading zero and emptiness are no numbers.
// Rows: NEG-03
TEST(Number, EverythingElseIsRefused) {
    for (const std::string_view text : {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "01",
                                        "00",
                                        "1a",
                                        "0x",
                                        "0X",
                                        "0xg",
                                        "x1",
                                        "1e3",
                                        "1.0",
                                        "18446744073709551616",
                                        "99999999999999999999",
                                        "0x10000000000000000",
                                        "1,2",
                                        "1~2",
                                        "Yes",
                                        "0b1",
                                        "0x 1",
                                        "-0x1"}) {
        EXPECT_FALSE(parse_number(text)) << text;
    }
    EXPECT_FALSE(parse_number(std::string_view{"1\0", 2}));
    EXPECT_FALSE(parse_number(std::string(8191, '9')));
}

// Goal: every one-byte and two-byte text is a number exactly when its characters say so.
// Rows: NEG-03
TEST(Number, AllShortTexts) {
    const auto is_digit = [](int c) { return c >= '0' && c <= '9'; };
    for (int a = 0; a < 256; ++a) {
        const std::string one{static_cast<char>(a)};
        EXPECT_EQ(parse_number(one).has_value(), is_digit(a));
        for (int b = 0; b < 256; ++b) {
            const std::string two = one + static_cast<char>(b);
            ASSERT_EQ(parse_number(two).has_value(), is_digit(a) && is_digit(b) && a != '0');
        }
    }
}

// Goal: a boolean is Yes or No, with this case and nothing around it.
// Rows: NEG-04, NEG-01
TEST(Boolean, ExactlyYesOrNo) {
    EXPECT_EQ(parse_boolean("Yes"), true);
    EXPECT_EQ(parse_boolean("No"), false);
    for (const std::string_view text :
         {"", "yes", "YES", "no", "NO", "Yes ", " No", "true", "1", "0", "Y", "Yes,No", "None"}) {
        EXPECT_FALSE(parse_boolean(text)) << text;
    }
}

// Goal: hexadecimal digits are bytes; an odd count gives the first digit a byte of its own.
// Rows: NEG-05, CHP-05
TEST(Binary, HexadecimalWithAnyDigitCount) {
    EXPECT_EQ(binary("0x00"), std::string("\0", 1));
    EXPECT_EQ(binary("0x1"), "\x01");
    EXPECT_EQ(binary("0x123"), "\x01\x23");
    EXPECT_EQ(binary("0XaBcD"), "\xab\xcd");
    EXPECT_EQ(binary("0x000"), std::string("\0\0", 2));
    for (const std::string_view text :
         {"0x", "0xg0", "0x0g", "0x 1", "x12", "12", "", "0", "0x-1"}) {
        EXPECT_FALSE(binary(text)) << text;
    }
}

// Goal: base64 with its padding, as RFC 4648 has it.
// Rows: NEG-05, CHP-05
TEST(Binary, Base64WithPadding) {
    EXPECT_EQ(binary("0bZg=="), "f");
    EXPECT_EQ(binary("0bZm8="), "fo");
    EXPECT_EQ(binary("0BZm9v"), "foo");
    EXPECT_EQ(binary("0bZm9vYmFy"), "foobar");
    EXPECT_EQ(binary("0b+/+/"), "\xfb\xff\xbf");
    for (const std::string_view text :
         {"0b", "0bZ", "0bZg", "0bZg=", "0bZg===", "0b====", "0bZh==", "0bZm9=", "0bZ=m9",
          "0bZm9v=", "0b Zm9v", "0bZm-v", "0bZm_v", "0b=Zm9"}) {
        EXPECT_FALSE(binary(text)) << text;
    }
}

// Goal: whatever is encoded is decoded again, for all lengths up to 64.
// Rows: NEG-05
TEST(Binary, RoundTrip) {
    SplitMix64 random{1};
    for (std::size_t length = 1; length <= 64; ++length) {
        std::string bytes;
        for (std::size_t i = 0; i < length; ++i) {
            const auto byte = static_cast<unsigned>(random.below(256));
            bytes += static_cast<char>(byte);
        }
        EXPECT_EQ(binary(testing::hex_of(testing::bytes_of(bytes))), bytes);
        EXPECT_EQ(binary(encoded_base64(bytes)), bytes);
    }
}

// Goal: nothing is written beyond the room given, at the very edge.
// Rows: NEG-05, CHP-05, NEG-02
TEST(Binary, RoomIsRespected) {
    EXPECT_TRUE(binary("0x" + std::string(64, 'a'), 32));
    EXPECT_FALSE(binary("0x" + std::string(65, 'a'), 32));
    EXPECT_FALSE(binary("0x" + std::string(4096, 'a'), 32));
    EXPECT_TRUE(binary(encoded_base64(std::string(32, 'a')), 32));
    EXPECT_FALSE(binary(encoded_base64(std::string(33, 'a')), 32));
    EXPECT_FALSE(binary("0x1", 0));
}

// Goal: a short binary value may be a decimal number too.
// Rows: NEG-05, KEY-10
TEST(SmallBinary, ThreeNotations) {
    EXPECT_EQ(parse_small_binary("1"), 1U);
    EXPECT_EQ(parse_small_binary("0x0001"), 1U);
    EXPECT_EQ(parse_small_binary("0bAAE="), 1U);
    EXPECT_EQ(parse_small_binary("0b//////////8="), ~0ULL);
    for (const std::string_view text : {"", "0b", "0b////////////", "18446744073709551616", "01"}) {
        EXPECT_FALSE(parse_small_binary(text)) << text;
    }
}

// Goal: a list is what stands between commas, empty items included.
// Rows: NEG-06
TEST(List, ItemsBetweenCommas) {
    const auto items = [](std::string_view list) {
        std::vector<std::string> result;
        ListItems parts{list};
        while (const auto item = parts.try_next()) result.emplace_back(*item);
        return result;
    };
    using Items = std::vector<std::string>;
    EXPECT_EQ(items("CRC32C,None"), (Items{"CRC32C", "None"}));
    EXPECT_EQ(items("None"), (Items{"None"}));
    EXPECT_EQ(items(""), (Items{""}));
    EXPECT_EQ(items(","), (Items{"", ""}));
    EXPECT_EQ(items("a,,b,"), (Items{"a", "", "b", ""}));
}

}  // namespace
}  // namespace holdfast::initiator
