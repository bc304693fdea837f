// The parts of the TCP that a script sees only from far away.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "netpath/tcp/cubic.h"
#include "netpath/tcp/isn.h"
#include "netpath/tcp/path_mtu.h"
#include "netpath/tcp/rto.h"
#include "netpath/tcp/sent_queue.h"

namespace holdfast::netpath::tcp {
namespace {

// Goal: SipHash-2-4 gives the values of its reference implementation.
TEST(SipHash, ReferenceVectors) {
    const Secret key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    std::array<std::byte, 15> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    EXPECT_EQ(siphash(key, {}), 0x726fdb47dd0e0e31ULL);
    EXPECT_EQ(siphash(key, bytes), 0xa129ca6149be45e5ULL);
}

// Goal: RFC 6528: the number steps every 4 us, and differs between flows and secrets.
TEST(Isn, StepsAndDiffers) {
    wire::Flow flow;
    flow.local_port = 1000;
    const Instant start = Instant::from_ns(5'000'000'000);
    const Seq first = initial_seq({1, 2}, flow, start);
    EXPECT_EQ(initial_seq({1, 2}, flow, start + Duration::from_us(8)).since(first), 2U);
    EXPECT_NE(initial_seq({1, 3}, flow, start), first);
    flow.local_port = 1001;
    EXPECT_NE(initial_seq({1, 2}, flow, start), first);
}

// Goal: RFC 6056: each port of the range is tried once, from a place that depends on the secret.
TEST(PortChoice, TriesEachOnce) {
    PortChoice choice{{7, 8}, {}, {.first = 65000, .count = 536}, 3};
    std::set<std::uint16_t> seen;
    while (const auto port = choice.next()) {
        EXPECT_GE(*port, 65000);
        EXPECT_TRUE(seen.insert(*port).second);
    }
    EXPECT_EQ(seen.size(), 536U);
    EXPECT_NE(PortChoice({7, 8}, {}, {}, 0).next(), PortChoice({7, 9}, {}, {}, 0).next());
}

// Goal: RFC 6298 (2.2) and (2.3), figures worked out by hand.
TEST(Rto, FollowsTheFormulas) {
    RtoEstimator rto{Duration::from_s(1), Duration::from_ms(1), Duration::from_s(60)};
    rto.on_sample(Duration::from_ms(100));
    EXPECT_EQ(rto.rto(), Duration::from_ms(300));
    rto.on_sample(Duration::from_ms(180));
    EXPECT_EQ(rto.srtt(), Duration::from_ms(110));
    EXPECT_EQ(rto.rto(), Duration::from_us(110'000 + 4 * 57'500));
    for (int i = 0; i < 40; ++i) rto.back_off();
    EXPECT_EQ(rto.rto(), Duration::from_s(60));
}

// Goal: RFC 9438: after a loss the window follows 0.4 (t - K)^3 + W_max within a segment or two,
// or Reno's line where that is higher.
TEST(Cubic, FollowsTheCurve) {
    constexpr std::uint32_t kMss = 1000;
    Cubic cubic;
    cubic.start(kMss, 10);
    cubic.set_cwnd(400ULL * kMss);
    cubic.on_loss(400ULL * kMss);
    cubic.on_recovered();
    EXPECT_EQ(cubic.cwnd_bytes(), 280U * kMss);
    const double k = std::cbrt(120 / 0.4);
    double reno = 280;
    const Duration rtt = Duration::from_ms(100);
    for (int round = 0; round < 150; ++round) {
        const Instant now = Instant::from_ns(0) + rtt * round;
        const auto window = static_cast<double>(cubic.cwnd_bytes()) / kMss;
        const double t = 0.1 * round;
        const double curve = 0.4 * std::pow(t - k, 3) + 400;
        if (round > 2) {
            EXPECT_LT(window, std::max(curve, reno) * 1.02 + 3) << round;
            EXPECT_GT(window, std::max(curve, reno) * 0.98 - 3) << round;
        }
        reno += reno >= 400 ? 1.0 : 0.529;
        const std::uint64_t acked = cubic.cwnd_bytes();
        for (std::uint64_t done = 0; done < acked; done += 2 * kMss)
            cubic.on_ack(now, std::min<std::uint64_t>(2 * kMss, acked - done), rtt);
    }
}

// Goal: RFC 9438 section 4.7: a loss below the last maximum makes the next one smaller, and undo
// gives everything back.
TEST(Cubic, UndoGivesBack) {
    Cubic cubic;
    cubic.start(1000, 10);
    cubic.set_cwnd(100'000);
    cubic.on_loss(100'000);
    cubic.on_recovered();
    EXPECT_EQ(cubic.cwnd_bytes(), 70'000U);
    EXPECT_TRUE(cubic.undo());
    EXPECT_EQ(cubic.cwnd_bytes(), 100'000U);
    EXPECT_TRUE(cubic.is_in_slow_start());
    EXPECT_FALSE(cubic.undo());
}

// Goal: a clock that jumps by a year cannot make the window absurd.
TEST(Cubic, ClockJump) {
    Cubic cubic;
    cubic.start(1460, 10);
    cubic.on_loss(14600);
    cubic.on_recovered();
    cubic.on_ack(Instant::from_ns(0), 1460, Duration::from_ms(1));
    const std::uint64_t before = cubic.cwnd_bytes();
    cubic.on_ack(Instant::from_ns(0) + Duration::from_s(365LL * 86400), 1460, Duration::from_ms(1));
    EXPECT_LE(cubic.cwnd_bytes(), before + 1460);
}

// Goal: the search for the path's size ends, at most 16 bytes below it, for every size.
TEST(PathMtu, SearchFindsEverySize) {
    for (std::uint32_t path = 1064; path <= 9000; path += 7) {
        PathMtu mtu;
        mtu.start(9000, false);
        if (path < 9000) {
            for (unsigned i = 1; i < PathMtu::kTimeoutsForBlackHole; ++i)
                EXPECT_FALSE(mtu.on_timeout(9000));
            EXPECT_TRUE(mtu.on_timeout(9000));
        }
        int probes = 0;
        while (const std::uint32_t probe = mtu.probe_bytes()) {
            ASSERT_LT(++probes, 100);
            if (probe <= path) {
                mtu.on_probe_delivered(probe);
            } else {
                mtu.on_probe_lost(probe);
            }
        }
        EXPECT_LE(mtu.mtu_bytes(), path);
        EXPECT_GE(mtu.mtu_bytes() + PathMtu::kSmallestStep, path);
    }
}

// Goal: the sums of the scoreboard and the order in time hold through every change of state.
// Method: random changes, against a recount.
TEST(SentQueue, SumsHold) {
    std::vector<std::byte> memory(64 * 1024);
    reserve::Region region{memory};
    SentQueue queue{region, 16};
    std::uint32_t draw = 1;
    const auto below = [&draw](std::uint32_t bound) {
        draw = draw * 1664525U + 1013904223U;
        return (draw >> 8) % bound;
    };
    Seq next{0xffff'ff00U};
    for (int i = 0; i < 20000; ++i) {
        const Instant now = Instant::from_ns(i / 3);
        if (queue.has_room() && below(3) == 0) {
            const std::uint32_t bytes = 1 + below(100);
            queue.push(now, next, bytes);
            next = next.plus(bytes);
        } else if (!queue.empty()) {
            SentSegment& segment = queue.at(below(queue.size()));
            const std::uint32_t what = below(6);
            if (what == 0) queue.mark_lost(segment);
            if (what == 1 && segment.state != SentState::Sacked) queue.mark_sacked(segment);
            if (what == 2 && segment.state == SentState::Lost) queue.mark_resent(now, segment);
            if (what == 3 && segment.state == SentState::Lost) queue.mark_not_lost(segment);
            if (what == 4) queue.pop();
            if (what == 5 && queue.front().bytes > 1) queue.trim_front(queue.front().begin.next());
        }
        std::uint64_t in_flight = 0;
        std::uint32_t first_lost = queue.size();
        std::uint32_t flying = 0;
        for (std::uint32_t j = 0; j < queue.size(); ++j) {
            if (queue.at(j).state == SentState::InFlight) in_flight += queue.at(j).bytes, ++flying;
            if (queue.at(j).state == SentState::Lost) first_lost = std::min(first_lost, j);
            ASSERT_EQ(queue.find(queue.at(j).begin), j);
        }
        ASSERT_EQ(queue.in_flight_bytes(), in_flight);
        ASSERT_EQ(queue.first_lost(), first_lost);
        Instant last{};
        for (SentSegment* s = queue.oldest(); s != nullptr; s = queue.after(*s), --flying) {
            ASSERT_LE(last, s->sent_at);
            last = s->sent_at;
        }
        ASSERT_EQ(flying, 0U);
    }
}

}  // namespace
}  // namespace holdfast::netpath::tcp
