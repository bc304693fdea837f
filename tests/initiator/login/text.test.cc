#include "initiator/login/text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/initiator/login/texts.h"

namespace holdfast::initiator {
namespace {

using testing::bytes_of;
using testing::pairs_of;
using testing::text_of;
using Pairs = std::vector<std::string>;

LoginError error_of(std::string_view text) {
    TextPairs pairs{text};
    while (true) {
        const auto pair = pairs.try_next();
        if (!pair) return pair.error();
        if (!*pair) return LoginError::RefusedByTarget;  // Stands for "no error".
    }
}

// Goal: pairs come out in order; the value is all behind the first "=".
// Rows: LOG-16, NEG-01
TEST(TextPairs, KeysAndValuesAreTold) {
    EXPECT_EQ(pairs_of(text_of({"A=b", "Key=", "X-com.example=a=b=c"})),
              (Pairs{"A=b", "Key=", "X-com.example=a=b=c"}));
    EXPECT_EQ(pairs_of(""), Pairs{});
}

// Goal: a text that is not whole fails cleanly: no "=", no null, no key.
// Rows: NEG-21
TEST(TextPairs, BrokenTextIsAnError) {
    EXPECT_EQ(error_of("A=b"), LoginError::PairWithoutEnd);
    EXPECT_EQ(error_of(text_of({"A=b"}) + "C"), LoginError::PairWithoutEnd);
    EXPECT_EQ(error_of(text_of({"A"})), LoginError::PairWithoutEquals);
    EXPECT_EQ(error_of(text_of({"A=b", "", "C=d"})), LoginError::PairWithoutEquals);
    EXPECT_EQ(error_of(text_of({"=b"})), LoginError::KeyMalformed);
    EXPECT_EQ(error_of(std::string("A\0=b\0", 5)), LoginError::PairWithoutEquals);
}

// Goal: nulls behind the last pair are padding that a target counted in.
// Rows: NEG-21, PDU-21
TEST(TextPairs, TrailingNullsArePadding) {
    EXPECT_EQ(pairs_of(text_of({"A=b"}) + std::string(3, '\0')), Pairs{"A=b"});
    EXPECT_EQ(pairs_of(std::string(3, '\0')), Pairs{});
}

/// A pair whose key has so many characters.
std::string key_of(std::size_t length) {
    std::string pair(length + 2, 'K');
    pair[length] = '=';
    pair[length + 1] = 'v';
    return pair;
}

// Goal: a key name has at most 63 characters; 8191 do no harm.
// Rows: NEG-01, NEG-21
TEST(TextPairs, LongKeysAreRefused) {
    EXPECT_EQ(pairs_of(text_of({key_of(63)})).size(), 1U);
    for (const std::size_t length : {64U, 255U, 4096U, 8191U}) {
        EXPECT_EQ(error_of(text_of({key_of(length)})), LoginError::KeyMalformed);
        EXPECT_EQ(error_of(std::string(length, 'K')), LoginError::PairWithoutEnd);
    }
}

// Goal: values of any length pass through whole.
// Rows: NEG-02
TEST(TextPairs, LongValuesPass) {
    for (const std::size_t length : {255U, 256U, 8180U}) {
        const std::string pair = "Key=" + std::string(length, 'v');
        EXPECT_EQ(pairs_of(text_of({pair})), Pairs{pair});
    }
}

// Goal: of the 256 characters the ones of a standard-label may stand in a key name, capitals at the
// front, and case is kept apart.
// Rows: NEG-01
TEST(KeyName, RepertoireIsExact) {
    for (int c = 0; c < 256; ++c) {
        const auto letter = static_cast<char>(c);
        const bool capital = c >= 'A' && c <= 'Z';
        const bool rest = capital || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                          c == '-' || c == '+' || c == '@' || c == '_';
        EXPECT_EQ(is_key_name(std::string{letter}), capital) << c;
        EXPECT_EQ(is_key_name(std::string{"K"} + letter), rest) << c;
    }
    EXPECT_FALSE(is_key_name(""));
    EXPECT_TRUE(is_key_name("X#NodeArchitecture"));
    EXPECT_TRUE(is_key_name("iSCSIProtocolLevel"));
    EXPECT_FALSE(is_key_name("X#Other"));
}

// Goal: a text cut anywhere gives the same pairs.
// Method: every pair of cut points.
// Rows: LOG-16, PDU-22
TEST(JoinedText, EverySplitPointGivesTheSame) {
    const std::string text = text_of({"TargetAlias=disk", "HeaderDigest=CRC32C", "X-a.b=", "A==="});
    const Pairs due = pairs_of(text);
    for (std::size_t i = 0; i <= text.size(); ++i) {
        for (std::size_t j = i; j <= text.size(); ++j) {
            JoinedText joined;
            ASSERT_TRUE(joined.try_append(bytes_of(text.substr(0, i))));
            ASSERT_TRUE(joined.try_append(bytes_of(text.substr(i, j - i))));
            ASSERT_TRUE(joined.try_append(bytes_of(text.substr(j))));
            ASSERT_EQ(pairs_of(joined.view()), due);
        }
    }
}

// Goal: 8192 bytes are taken in one piece or in many; one more is refused.
// Rows: LOG-17
TEST(JoinedText, CapacityIs8192) {
    for (const std::size_t piece : {1U, 7U, 512U, 8192U}) {
        JoinedText joined;
        const std::string all(8192, 'a');
        for (std::size_t at = 0; at < all.size(); at += piece) {
            ASSERT_TRUE(joined.try_append(bytes_of(all.substr(at, piece))));
        }
        EXPECT_EQ(joined.view().size(), 8192U);
        EXPECT_FALSE(joined.try_append(bytes_of("b")));
        EXPECT_TRUE(joined.view().empty());
    }
}

// Goal: what we write is what the standard asks for.
// Rows: NEG-03, NEG-04, NEG-05
TEST(TextOut, WritesEachKindOfValue) {
    TextOut out;
    out.pair("TargetName", "iqn.2001-04.com.example");
    out.number("MaxBurstLength", 0);
    out.number("FirstBurstLength", ~0ULL);
    out.boolean("InitialR2T", true);
    out.boolean("ImmediateData", false);
    const std::string_view binary{"\x00\x7f\xff", 3};
    out.binary("CHAP_C", bytes_of(binary));
    EXPECT_EQ(pairs_of(out.view()),
              (Pairs{"TargetName=iqn.2001-04.com.example", "MaxBurstLength=0",
                     "FirstBurstLength=18446744073709551615", "InitialR2T=Yes", "ImmediateData=No",
                     "CHAP_C=0x007fff"}));
    EXPECT_EQ(out.view().back(), '\0');
}

// Goal: a null in a value cannot smuggle in a pair.
// Rows: NEG-21, NAM-08
TEST(TextOut, NullEndsAValue) {
    TextOut out;
    out.pair("InitiatorAlias", std::string_view{"a\0AuthMethod=None", 17});
    EXPECT_EQ(pairs_of(out.view()), Pairs{"InitiatorAlias=a"});
}

// Goal: a pair that does not fit leaves the text whole and is remembered.
// Rows: NEG-21
TEST(TextOut, OverflowLeavesWholePairs) {
    for (std::size_t length = 8170; length < 8200; ++length) {
        TextOut out;
        out.pair("A", "b");
        out.pair("Key", std::string(length, 'v'));
        const bool fits = 4 + 4 + length + 1 <= kTextBytesMax;
        EXPECT_EQ(out.overflowed(), !fits);
        EXPECT_EQ(pairs_of(out.view()).size(), fits ? 2U : 1U);
        out.clear();
        EXPECT_FALSE(out.overflowed());
        EXPECT_TRUE(out.empty());
    }
    TextOut out;
    out.binary("CHAP_R", std::vector<std::byte>(4096));
    EXPECT_TRUE(out.overflowed());
    EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace holdfast::initiator
