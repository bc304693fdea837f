#include "initiator/login/describe.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <vector>

namespace holdfast::initiator {
namespace {

// Goal: every allocated status code has a text of its own, others that of their class.
// Rows: LOG-26
TEST(Describe, StatusCodesAreDistinct) {
    std::vector<std::uint16_t> codes{0x0000, 0x0101, 0x0102, 0x0300, 0x0301, 0x0302};
    for (std::uint16_t detail = 0; detail <= 0x0b; ++detail) {
        codes.push_back(static_cast<std::uint16_t>(0x0200 + detail));
    }
    std::set<std::string_view> texts;
    for (const std::uint16_t code : codes) texts.insert(describe_login_status(code));
    EXPECT_EQ(texts.size(), codes.size());
    for (unsigned code = 0; code < 0x10000; ++code) {
        EXPECT_FALSE(describe_login_status(static_cast<std::uint16_t>(code)).empty());
    }
    EXPECT_EQ(describe_login_status(0x02ff), describe_login_status(0x020c));
}

// Goal: waiting helps with a target error only.
// Rows: LOG-25
TEST(Describe, OnlyTargetErrorsAreWorthWaiting) {
    for (unsigned code = 0; code < 0x10000; ++code) {
        EXPECT_EQ(is_worth_waiting(static_cast<std::uint16_t>(code)), code >> 8 == 3);
    }
}

// Goal: every error of ours has a text of its own.
// Rows: LOG-26
TEST(Describe, ErrorsAreDistinct) {
    std::set<std::string_view> texts;
    constexpr auto kLast = static_cast<unsigned>(LoginError::Chap);
    for (unsigned i = 0; i <= kLast; ++i) texts.insert(describe(static_cast<LoginError>(i)));
    EXPECT_EQ(texts.size(), kLast + 1);
    EXPECT_FALSE(texts.contains("unknown error"));
    texts.clear();
    constexpr auto kLastChap = static_cast<unsigned>(ChapError::NameWrong);
    for (unsigned i = 0; i <= kLastChap; ++i) texts.insert(describe(static_cast<ChapError>(i)));
    EXPECT_EQ(texts.size(), kLastChap + 1);
    texts.clear();
    constexpr auto kLastName = static_cast<unsigned>(NameError::UpperCase);
    for (unsigned i = 0; i <= kLastName; ++i) texts.insert(describe(static_cast<NameError>(i)));
    EXPECT_EQ(texts.size(), kLastName + 1);
    EXPECT_NE(describe(ChapConfigError::SameSecretBothWays),
              describe(ChapConfigError::SecretTooShort));
}

}  // namespace
}  // namespace holdfast::initiator
