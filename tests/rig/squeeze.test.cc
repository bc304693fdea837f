/// Tests of squeeze's pages, its worker and its command line.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "stress/squeeze/arguments.h"
#include "stress/squeeze/ledger.h"
#include "stress/squeeze/mapping.h"
#include "stress/squeeze/page.h"
#include "stress/squeeze/worker.h"

namespace holdfast::stress {
namespace {

using PageBuffer = std::array<std::uint64_t, kPageWords>;
constexpr PageStamp kStamp{.address = 7, .generation = 3, .seed = 42};

PageFault fault_of(const PageBuffer& page, const PageStamp& wanted) {
    const auto checked = check_page(page, wanted);
    EXPECT_FALSE(checked.has_value());
    return checked.has_value() ? PageFault::Torn : checked.error();
}

TEST(Page, WhatWasWrittenIsRight) {
    // Goal: a filled page passes its own check, and carries its stamp.
    PageBuffer page{};
    fill_page(page, kStamp);
    EXPECT_TRUE(check_page(page, kStamp).has_value());
    EXPECT_EQ(stamp_in(page), kStamp);
}

TEST(Page, EverySingleFlippedBitIsTorn) {
    // Goal: no bit of a page is outside the checksum.
    PageBuffer page{};
    fill_page(page, kStamp);
    for (std::uint64_t& word : page) {
        for (unsigned bit = 0; bit < 64; ++bit) {
            word ^= 1ULL << bit;
            ASSERT_EQ(fault_of(page, kStamp), PageFault::Torn);
            word ^= 1ULL << bit;
        }
    }
}

TEST(Page, TwoHalvesOfTwoGenerationsAreTorn) {
    // Goal: a page of which only some sectors were written is noticed, at every sector boundary.
    PageBuffer older{};
    PageBuffer newer{};
    fill_page(older, kStamp);
    fill_page(newer, {.address = 7, .generation = 4, .seed = 42});
    constexpr std::size_t kSectorWords = 512 / sizeof(std::uint64_t);
    for (std::size_t cut = kSectorWords; cut < kPageWords; cut += kSectorWords) {
        PageBuffer mixed = older;
        std::copy_n(newer.begin(), cut, mixed.begin());
        ASSERT_EQ(fault_of(mixed, kStamp), PageFault::Torn) << "cut at word " << cut;
    }
}

TEST(Page, WholePagesOfElsewhereAreNamed) {
    // Goal: the three ways to get a whole but wrong page are told apart.
    PageBuffer page{};
    fill_page(page, kStamp);
    EXPECT_EQ(fault_of(page, {.address = 8, .generation = 3, .seed = 42}), PageFault::Misplaced);
    EXPECT_EQ(fault_of(page, {.address = 7, .generation = 4, .seed = 42}), PageFault::Stale);
    EXPECT_EQ(fault_of(page, {.address = 7, .generation = 3, .seed = 43}), PageFault::Foreign);
}

TEST(Page, AZeroPageIsTorn) {
    // Goal: a page that came back empty does not pass for one with address, generation and seed 0.
    const PageBuffer page{};
    EXPECT_EQ(fault_of(page, {}), PageFault::Torn);
}

/// Touches a few pages of anonymous memory many times over.
class WorkerTest : public testing::Test {
protected:
    static constexpr std::size_t kPages = 16;
    OrErrno<Mapping> mapping = Mapping::anonymous(kPages);
    Worker worker{*mapping, {.first = 4, .count = 8}, 0, 1};
    void touch(int times) {
        for (int i = 0; i < times; ++i) ASSERT_FALSE(worker.touch_next().has_value());
    }
};

TEST_F(WorkerTest, UndisturbedPagesAreRight) {
    // Goal: no false alarm, and only the stripe is written.
    touch(1000);
    EXPECT_EQ(worker.tally().mismatches, 0U);
    EXPECT_GT(worker.tally().writes, 8U);
    for (const std::size_t outside : {0U, 3U, 12U, 15U}) {
        for (const std::uint64_t word : mapping->page(outside)) ASSERT_EQ(word, 0U);
    }
}

TEST_F(WorkerTest, SabotageIsFoundAndCountedOnce) {
    // Goal: one flipped bit is one mismatch, not one for each later touch.
    touch(1000);
    worker.sabotage();
    std::uint64_t found = 0;
    for (int i = 0; i < 1000; ++i) found += worker.touch_next().has_value() ? 1U : 0U;
    for (std::size_t i = 0; i < worker.page_count(); ++i)
        found += worker.verify(i).has_value() ? 1U : 0U;
    EXPECT_EQ(found, 1U);
    EXPECT_EQ(worker.tally().mismatches, 1U);
}

TEST_F(WorkerTest, AllPagesGetTheirTurnThroughASmallWindow) {
    // Goal: the window wanders, so that cold pages become hot again.
    worker.set_window(2);
    touch(1000);
    for (std::size_t number = 4; number < 12; ++number)
        EXPECT_NE(stamp_in(mapping->page(number)).generation, 0U) << "page " << number;
}

using enum AfterCut;

TEST(Ledger, AnAcknowledgedWriteIsNoPromise) {
    // Goal: a volatile cache may lose what was only acknowledged.
    Ledger ledger{1};
    EXPECT_EQ(ledger.write_sent(0), 1U);
    ledger.write_acknowledged(0, false);
    EXPECT_EQ(ledger.judge(0, 0), RolledBack);
    EXPECT_EQ(ledger.judge(0, 1), Newest);
    EXPECT_EQ(ledger.judge(0, 2), Unsent);
    EXPECT_EQ(ledger.promised_count(), 0U);
}

TEST(Ledger, AnAcknowledgedFuaWriteIsAPromise) {
    // Goal: it must be there, although no flush followed.
    Ledger ledger{1};
    ledger.write_sent(0);
    EXPECT_EQ(ledger.judge(0, 0), RolledBack) << "not acknowledged yet";
    ledger.write_acknowledged(0, true);
    EXPECT_EQ(ledger.judge(0, 0), Lost);
    EXPECT_EQ(ledger.promised_count(), 1U);
}

TEST(Ledger, AFlushCoversWhatWasAcknowledgedWhenItWasSent) {
    // Goal: neither a write in flight nor one that came later is promised by it.
    Ledger ledger{3};
    for (const std::size_t block : {0U, 1U}) ledger.write_sent(block);
    ledger.write_acknowledged(0, false);
    ledger.flush_sent();
    ledger.write_acknowledged(1, false);
    ledger.write_sent(2);
    ledger.write_acknowledged(2, false);
    ledger.flush_acknowledged();
    EXPECT_EQ(ledger.judge(0, 0), Lost);
    EXPECT_EQ(ledger.judge(1, 0), RolledBack);
    EXPECT_EQ(ledger.judge(2, 0), RolledBack);
    ledger.flush_sent();
    ledger.flush_acknowledged();
    EXPECT_EQ(ledger.judge(1, 0), Lost) << "the next flush covers the rest";
    EXPECT_EQ(ledger.judge(2, 0), Lost);
}

TEST(Ledger, AFlushThatIsNotAcknowledgedPromisesNothing) {
    // Goal: the writes stay unpromised, and the next flush covers them.
    Ledger ledger{1};
    ledger.write_sent(0);
    ledger.write_acknowledged(0, false);
    ledger.flush_sent();
    EXPECT_EQ(ledger.judge(0, 0), RolledBack);
    ledger.flush_sent();
    ledger.flush_acknowledged();
    EXPECT_EQ(ledger.judge(0, 0), Lost);
}

TEST(Ledger, AnyGenerationFromThePromisedToTheLastOneWillDo) {
    // Goal: overwriting a promised block widens what may be there, upwards only.
    Ledger ledger{1};
    for (int i = 0; i < 4; ++i) {
        ledger.write_sent(0);
        ledger.write_acknowledged(0, i == 1);
    }
    EXPECT_EQ(ledger.judge(0, 0), Lost);
    EXPECT_EQ(ledger.judge(0, 1), Lost);
    EXPECT_EQ(ledger.judge(0, 2), RolledBack);
    EXPECT_EQ(ledger.judge(0, 3), RolledBack);
    EXPECT_EQ(ledger.judge(0, 4), Newest);
    EXPECT_EQ(ledger.judge(0, 5), Unsent);
}

std::expected<void, std::string> parse(std::vector<std::string> words,
                                       std::span<const Option> options) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    return parse_arguments(pointers, options);
}

TEST(Arguments, EveryKindIsRead) {
    // Goal: a flag takes no word, a number and a text take one.
    bool flag = false;
    std::uint64_t number = 0;
    const char* text = nullptr;
    const std::array options{Option{"--flag", &flag, ""}, Option{"--number", &number, ""},
                             Option{"--text", &text, ""}};
    std::vector<std::string> words{"--flag", "--number", "12"};
    ASSERT_TRUE(parse(words, options).has_value());
    EXPECT_TRUE(flag);
    EXPECT_EQ(number, 12U);
    EXPECT_EQ(text, nullptr);
}

TEST(Arguments, EveryMistakeIsASentence) {
    // Goal: unknown options, missing values and numbers that are none are refused by name.
    std::uint64_t number = 0;
    const std::array options{Option{"--number", &number, ""}};
    EXPECT_EQ(parse({"--other"}, options).error(), "unknown option '--other'");
    EXPECT_EQ(parse({"--number"}, options).error(), "--number needs a value");
    for (const char* bad : {"", "x", "-1", "1x", "99999999999999999999"})
        EXPECT_FALSE(parse({"--number", bad}, options).has_value()) << bad;
}

}  // namespace
}  // namespace holdfast::stress
