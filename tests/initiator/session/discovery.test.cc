// Discovery sessions, with the target played by hand.
#include "initiator/discovery.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/sim/wire.h"

namespace holdfast::initiator {
namespace {

using sim::Bytes;
using sim::Pdu;

/// Plays the target of a discovery session.
class Found : public testing::Test {
protected:
    Found() {
        reserve::MemoryPlan plan;
        Discovery::add_to_plan(plan);
        memory_.resize(plan.total().raw() + reserve::kCarveUnitBytes);
        region_.emplace(memory_);
        SessionConfig config;
        config.initiator_name.assign_cut("iqn.2026-01.test:initiator");
        Portal portal;
        portal.host.assign_cut("192.0.2.1");
        config.portals.push(portal);
        config.isid = Isid{0x4000'0000'0002ULL};
        discovery_.emplace(config, *region_);
        EXPECT_EQ(region_->used(), plan.total());
    }

    void expect_order(OrderKind kind) {
        const auto order = discovery_->poll_order();
        ASSERT_TRUE(order.has_value());
        EXPECT_EQ(order->kind, kind);
    }
    Pdu expect(std::uint8_t opcode) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        std::size_t bytes = 0;
        for (const auto span : discovery_->tx_spans(room)) {
            for (const std::byte b : span) {
                const std::uint8_t raw = std::to_integer<std::uint8_t>(b);
                decoder_.add({&raw, 1});
            }
            bytes += span.size();
        }
        discovery_->tx_sent(bytes);
        const auto pdu = decoder_.next();
        EXPECT_TRUE(pdu.has_value() && pdu->opcode() == opcode);
        return pdu.value_or(Pdu{});
    }
    void send(Pdu pdu) {
        pdu.put(24, 4, stat_sn_++).put(28, 4, 1).put(32, 4, 10);
        const Bytes wire = sim::encode(pdu, decoder_.digests);
        for (const std::uint8_t byte : wire) {
            std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
            const auto spaces = discovery_->rx_spaces(room);
            if (spaces.empty()) return;
            spaces[0][0] = std::byte{byte};
            discovery_->rx_filled(now_, 1);
        }
    }
    void log_in() {
        discovery_->start(now_);
        expect_order(OrderKind::Connect);
        discovery_->transport_up(now_, FreshRandom{});
        for (;;) {
            const auto answer = sim::answer_login(expect(sim::kLogin), {}, agreed_);
            send(answer.response);
            if (answer.is_last || HasFailure()) break;
        }
        decoder_.digests = agreed_.digests;
    }
    static Pdu text_answer(const Pdu& request, std::uint8_t flags, std::uint32_t ttt,
                           std::string_view text) {
        Pdu pdu;
        pdu.bhs[0] = sim::kTextResponse;
        pdu.bhs[1] = flags;
        pdu.put(16, 4, request.itt()).put(20, 4, ttt);
        pdu.data.assign(text.begin(), text.end());
        return pdu;
    }

    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    std::optional<Discovery> discovery_;
    sim::Decoder decoder_;
    sim::Agreed agreed_;
    Instant now_ = Instant::from_ns(1);
    std::uint32_t stat_sn_ = 1;
};

constexpr std::string_view kAnswer{
    "TargetName=iqn.2026-01.test:a\0TargetAddress=192.0.2.1:3260,1\0"
    "TargetName=iqn.2026-01.test:b\0",
    91};

// Goal: a long answer in two responses brings both targets; then the session logs out.
// Rows: DSC-01, DSC-02, DSC-03, DSC-04, TXT-02
TEST_F(Found, TakesAnswerInPartsAndLogsOut) {
    log_in();
    const Pdu question = expect(sim::kText);
    EXPECT_EQ(question.ttt(), 0xffffffffU);
    const auto asked = sim::parse_text(question.data);
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].first, "SendTargets");
    EXPECT_EQ(asked[0].second, "All");
    send(text_answer(question, 0x40, 0x55, kAnswer.substr(0, 40)));
    EXPECT_FALSE(discovery_->poll_finding(now_).has_value());
    const Pdu more = expect(sim::kText);
    EXPECT_EQ(more.ttt(), 0x55U);
    EXPECT_TRUE(more.data.empty());
    send(text_answer(more, 0x80, 0xffffffff, kAnswer.substr(40)));
    const auto first = discovery_->poll_finding(now_);
    ASSERT_TRUE(first && first->address);
    EXPECT_EQ(first->target.view(), "iqn.2026-01.test:a");
    const auto second = discovery_->poll_finding(now_);
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(second->target.view(), "iqn.2026-01.test:b");
    EXPECT_FALSE(second->address.has_value());
    EXPECT_FALSE(discovery_->poll_finding(now_).has_value());
    const Pdu logout = expect(sim::kLogout);
    Pdu answer;
    answer.bhs[0] = sim::kLogoutResponse;
    answer.bhs[1] = 0x80;
    answer.put(16, 4, logout.itt());
    send(answer);
    expect_order(OrderKind::Close);
    discovery_->transport_lost(now_);
    expect_order(OrderKind::Stopped);
    EXPECT_EQ(discovery_->result(), DiscoveryResult::Done);
}

// Goal: silence after the question ends in TimedOut, and the connection is reset.
TEST_F(Found, SilenceTimesOut) {
    log_in();
    expect(sim::kText);
    now_ = discovery_->next_wake();
    discovery_->wake(now_);
    expect_order(OrderKind::Reset);
    discovery_->transport_lost(now_);
    EXPECT_EQ(discovery_->result(), DiscoveryResult::TimedOut);
}

// Goal: a target that drops the session during the answer keeps nobody waiting.
// Rows: DSC-09
TEST_F(Found, DropDuringAnswerIsAnError) {
    log_in();
    expect(sim::kText);
    discovery_->transport_lost(now_);
    expect_order(OrderKind::Stopped);
    EXPECT_EQ(discovery_->result(), DiscoveryResult::ConnectFailed);
}

}  // namespace
}  // namespace holdfast::initiator
