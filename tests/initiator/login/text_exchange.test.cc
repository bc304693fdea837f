#include "initiator/login/text_exchange.h"

#include <gtest/gtest.h>

#include "tests/initiator/pdu/headers.h"

namespace holdfast::initiator {
namespace {

using testing::Header;

struct Bench {
    Header request(std::uint32_t data_bytes = 16) {
        Header header{0};
        exchange.next_request(header.out(), CmdSn{5}, StatSn{6}, data_bytes);
        return header;
    }
    std::expected<TextStep, Violation> respond(const Header& header) {
        const auto view = TextResponseView::parse(header.bhs());
        if (!view) return std::unexpected{view.error()};
        return exchange.on_response(*view);
    }
    TextExchange exchange{Itt{7}, Delivery::Immediate};
};

// Goal: the first request opens a negotiation; the following ones carry tag and LUN back, under the
// same task tag and immediate bit.
// Rows: TXT-01, TXT-02, DSC-03
TEST(TextExchange, ContinuationCarriesTagAndLunBack) {
    Bench bench;
    const Header first = bench.request();
    EXPECT_EQ(first.at8(0), 0x44);
    EXPECT_EQ(first.at8(1), 0x80);
    EXPECT_EQ(first.at32(16), 7U);
    EXPECT_EQ(first.at32(20), 0xffff'ffffU);
    EXPECT_EQ(first.at64(8), 0U);
    for (std::uint32_t part = 1; part <= 3; ++part) {
        const Header response =
            testing::text_response().set8(1, 0x40).ttt(0x100 + part).set64(8, part);
        EXPECT_EQ(bench.respond(response), TextStep::SendNextEmpty);
        const Header next = bench.request(0);
        EXPECT_EQ(next.at8(0), 0x44);
        EXPECT_EQ(next.at8(1), 0x80);
        EXPECT_EQ(next.at32(16), 7U);
        EXPECT_EQ(next.at32(20), 0x100 + part);
        EXPECT_EQ(next.at64(8), part);
        EXPECT_EQ(next.at32(4), 0U);
    }
    EXPECT_EQ(bench.respond(testing::text_response()), TextStep::Done);
    EXPECT_FALSE(bench.exchange.is_outstanding());
}

// Goal: F with a tag is the end all the same, and the next exchange starts afresh.
// Rows: TXT-03, TXT-06
TEST(TextExchange, TagIsIgnoredAtTheEnd) {
    Bench bench;
    static_cast<void>(bench.request());
    EXPECT_EQ(bench.respond(testing::text_response().ttt(0x55)), TextStep::Done);
    EXPECT_EQ(bench.request().at32(20), 0xffff'ffffU);
}

// Goal: a target that has more to propose gets another request, with answers.
// Rows: TXT-03, NEG-16
TEST(TextExchange, PartialAnswerAsksForMore) {
    Bench bench;
    static_cast<void>(bench.request());
    EXPECT_EQ(bench.respond(testing::text_response().set8(1, 0).ttt(9)), TextStep::SendNext);
    EXPECT_EQ(bench.request(32).at32(4), 32U);
}

// Goal: an answer without a question, or to another's question, is a violation.
// Rows: TXT-01, TXT-03, TXT-04
TEST(TextExchange, UnaskedAnswersAreViolations) {
    Bench bench;
    EXPECT_EQ(bench.respond(testing::text_response()).error(), Violation::TextAnswerUnexpected);
    static_cast<void>(bench.request());
    EXPECT_EQ(bench.respond(testing::text_response().itt(8)).error(), Violation::TaskTagUnknown);
    EXPECT_EQ(bench.respond(testing::text_response().set8(1, 0)).error(),
              Violation::TextPartialWithoutTag);
    EXPECT_EQ(bench.respond(testing::text_response()), TextStep::Done);
    EXPECT_EQ(bench.respond(testing::text_response()).error(), Violation::TextAnswerUnexpected);
}

// Goal: a second request before the answer is our own bug.
// Rows: TXT-01
TEST(TextExchangeDeathTest, OneRequestIsOutstanding) {
    Bench bench;
    static_cast<void>(bench.request());
    EXPECT_DEATH(static_cast<void>(bench.request()), "is_outstanding");
}

}  // namespace
}  // namespace holdfast::initiator
