// The parts of a session, each alone: tables, windows, sequences, the framer, the rings.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "base/random.h"
#include "initiator/session/command_window.h"
#include "initiator/session/conn_fsm.h"
#include "initiator/session/extents.h"
#include "initiator/session/framer.h"
#include "initiator/session/keep_alive.h"
#include "initiator/session/ladder.h"
#include "initiator/session/portal_choice.h"
#include "initiator/session/status_sequence.h"
#include "initiator/session/transmit_ring.h"
#include "tests/sim/wire.h"

namespace holdfast::initiator {
namespace {

using sim::Bytes;
using sim::Pdu;

// ---- The tables of section 8.

constexpr std::array kConnStates{
    ConnState::Free,     ConnState::TransportWait,   ConnState::InLogin,    ConnState::LoggedIn,
    ConnState::InLogout, ConnState::LogoutRequested, ConnState::CleanupWait};
constexpr std::size_t kConnEvents = static_cast<std::size_t>(ConnEvent::SessionLoggedOut) + 1;

// Goal: all states x all events redraw the table of section 8.1.3, cell by cell.
// Rows: STM-01, STM-04
TEST(ConnectionDiagram, IsTheTableOfTheRfc) {
    // Rows and columns in the order of kConnStates; 0 is an undefined transition.
    constexpr std::array<std::array<int, 7>, 7> kTable{{
        {0, 1, 0, 0, 0, 0, 0},
        {2, 0, 4, 0, 0, 0, 0},
        {7, 0, 0, 5, 0, 0, 0},
        {8, 0, 0, 0, 9, 11, 15},
        {13, 0, 0, 0, 14, 0, 17},
        {18, 0, 0, 0, 10, 12, 16},
        {0, 0, 0, 0, 0, 0, 0},
    }};
    for (std::size_t from = 0; from < kConnStates.size(); ++from) {
        std::array<int, 7> drawn{};
        for (std::size_t event = 0; event < kConnEvents; ++event) {
            const auto taken = step(kConnStates.at(from), static_cast<ConnEvent>(event));
            if (!taken) continue;
            const auto to = std::ranges::find(kConnStates, taken->to) - kConnStates.begin();
            int& cell = drawn.at(static_cast<std::size_t>(to));
            EXPECT_TRUE(cell == 0 || cell == static_cast<int>(taken->edge));
            cell = static_cast<int>(taken->edge);
        }
        EXPECT_EQ(drawn, kTable.at(from)) << "from state " << from;
    }
}

// Goal: the cleanup diagram of section 8.2 has M1 to M4 and nothing else.
// Rows: STM-02
TEST(CleanupDiagram, HasFourEdges) {
    std::map<int, std::pair<CleanupState, CleanupState>> edges;
    for (int from = 0; from < 3; ++from) {
        for (int event = 0; event <= static_cast<int>(CleanupEvent::LogoutDone); ++event) {
            const auto state = static_cast<CleanupState>(from);
            const auto taken = step(state, static_cast<CleanupEvent>(event));
            if (taken) edges[static_cast<int>(taken->edge)] = {state, taken->to};
        }
    }
    using enum CleanupState;
    const std::map<int, std::pair<CleanupState, CleanupState>> expected{
        {1, {CleanupWait, Free}},
        {2, {CleanupWait, InCleanup}},
        {3, {InCleanup, CleanupWait}},
        {4, {InCleanup, Free}}};
    EXPECT_EQ(edges, expected);
}

// Goal: the session diagram of section 8.3.1 has N1 and N3 to N6 at their places.
// Rows: STM-03
TEST(SessionDiagram, IsTheTableOfTheRfc) {
    constexpr std::array<std::array<int, 3>, 3> kTable{{{0, 1, 0}, {3, 0, 5}, {6, 4, 0}}};
    for (std::size_t from = 0; from < 3; ++from) {
        std::array<int, 3> drawn{};
        for (int event = 0; event <= static_cast<int>(SessionEvent::TimedOut); ++event) {
            const auto taken =
                step(static_cast<SessionState>(from), static_cast<SessionEvent>(event));
            if (taken)
                drawn.at(static_cast<std::size_t>(taken->to)) = static_cast<int>(taken->edge);
        }
        EXPECT_EQ(drawn, kTable.at(from));
    }
}

// ---- Numbers.

// Goal: after a closed window, wrap and absurd pairs the window is what the RFC says.
// Rows: SEQ-02, SEQ-04, SEQ-05, SEQ-06
TEST(CommandWindow, RaisesOnlyAndAcrossTheWrap) {
    for (const std::uint32_t first : {1U, 0x7fffffffU, 0xfffffffeU, 0xffffffffU, 0U}) {
        CommandWindow window;
        const CmdSn start{first};
        window.start(start);
        EXPECT_FALSE(window.is_open());
        window.on_target_numbers(start, start.plus(3));
        EXPECT_EQ(window.open_count(), 4U);
        for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(window.take(), start.plus(i));
        EXPECT_FALSE(window.is_open());
        EXPECT_EQ(window.current(), start.plus(4));
        window.on_target_numbers(start.plus(2), start.plus(1));  // Legal: closed. A lower maximum.
        EXPECT_EQ(window.max(), start.plus(3));
        EXPECT_EQ(window.expected(), start.plus(2));
        window.on_target_numbers(start.plus(4), start.plus(2));  // MaxCmdSN < ExpCmdSN - 1.
        EXPECT_EQ(window.expected(), start.plus(2));
        window.on_target_numbers(start, start.plus(9));  // An old ExpCmdSN with a new maximum.
        EXPECT_EQ(window.expected(), start.plus(2));
        EXPECT_EQ(window.open_count(), 6U);
        window.on_target_numbers(start.plus(40), start.plus(60));  // Never sent that far.
        EXPECT_EQ(window.expected(), start.plus(2));
    }
}

// Goal: a window of 2^31 - 1 is used and never wraps into "closed".
// Rows: SEQ-06
TEST(CommandWindow, HugeWindowIsOpen) {
    CommandWindow window;
    window.start(CmdSn{5});
    window.on_target_numbers(CmdSn{5}, CmdSn{5}.plus(0x7ffffffeU));
    EXPECT_TRUE(window.is_open());
    EXPECT_EQ(window.open_count(), 0x7fffffffU);
    for (int i = 0; i < 1000; ++i) (void)window.take();
    EXPECT_TRUE(window.is_open());
}

// Goal: no CmdSN is ever given twice, so the rule for numbers after a retry cannot be broken.
// Rows: SEQ-09, SEQ-11, SEQ-13
TEST(CommandWindow, GivesEachNumberOnce) {
    CommandWindow window;
    window.start(CmdSn{0xfffffff0U});
    std::uint32_t due = 0xfffffff0U;
    for (int i = 0; i < 100; ++i) {
        window.on_target_numbers(window.current(), window.current().plus(2));
        EXPECT_EQ(window.take().raw(), due++);
    }
}

// Goal: StatSN is judged serially from any start: due, seen, missing, absurd.
// Rows: STA-05, STA-06, LOG-09
TEST(StatusSequence, JudgesFromAnyStart) {
    for (const std::uint32_t first : {0U, 1U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        StatusSequence status;
        status.start(StatSn{first});
        EXPECT_EQ(status.order_of(StatSn{first}), StatusOrder::Due);
        EXPECT_EQ(status.order_of(StatSn{first + 1}), StatusOrder::Missing);
        EXPECT_EQ(status.order_of(StatSn{first - 1}), StatusOrder::Seen);
        EXPECT_EQ(status.order_of(StatSn{first + kStatusSpreadMax + 1}), StatusOrder::Absurd);
        EXPECT_EQ(status.order_of(StatSn{first - kStatusSpreadMax - 1}), StatusOrder::Absurd);
        EXPECT_EQ(status.order_of(StatSn{first + 0x80000000U}), StatusOrder::Absurd);
        status.advance();
        EXPECT_EQ(status.expected(), StatSn{first + 1});
    }
}

// ---- Bytes of a transfer.

// Goal: any order of pieces gives the whole; any overlap is refused. Method: against a bitmap.
// Rows: RED-07
TEST(Extents, AgreesWithABitmap) {
    SplitMix64 random{7};
    for (int round = 0; round < 2000; ++round) {
        Extents extents;
        std::vector<bool> bits(64);
        for (int i = 0; i < 30; ++i) {
            const auto offset = static_cast<std::uint32_t>(random.below(60));
            const auto bytes = static_cast<std::uint32_t>(random.below(5));
            const auto begin = bits.begin() + offset;
            const bool overlaps = std::find(begin, begin + bytes, true) != begin + bytes;
            const bool is_added = extents.try_add(offset, bytes);
            ASSERT_FALSE(is_added && overlaps);
            if (is_added) std::fill(begin, begin + bytes, true);
            const auto total = static_cast<std::uint32_t>(std::ranges::count(bits, true));
            ASSERT_EQ(extents.total_bytes(), total);
            const auto hole = std::ranges::find(bits, false) - bits.begin();
            ASSERT_EQ(extents.contiguous_bytes(), static_cast<std::uint32_t>(hole));
        }
    }
}

// ---- The framer.

struct FramedPdu {
    Framed what = Framed::NeedsBytes;
    Bytes header;
    Bytes payload;
    bool operator==(const FramedPdu&) const = default;
};

/// Feeds `stream` in receives of the given lengths, the last one again and again.
std::vector<FramedPdu> frame(std::span<const std::uint8_t> stream, DigestsInUse digests,
                             const std::vector<std::size_t>& lengths, std::size_t place_max) {
    std::vector<std::byte> stage(4096);
    std::vector<std::byte> place(65536);
    Framer framer{stage};
    framer.agree(digests, 60000);
    std::vector<FramedPdu> got;
    std::size_t turn = 0;
    while (!stream.empty()) {
        std::array<std::span<std::byte>, Framer::kSpansMax> room;
        const auto spaces = framer.spaces(room);
        if (spaces.empty()) break;
        std::size_t left =
            std::min(stream.size(), lengths.at(std::min(turn++, lengths.size() - 1)));
        std::size_t moved = 0;
        for (const auto space : spaces) {
            const std::size_t part = std::min(space.size(), left);
            std::memcpy(space.data(), stream.data(), part);
            stream = stream.subspan(part);
            left -= part;
            moved += part;
        }
        framer.filled(moved);
        for (;;) {
            const Framed said = framer.next();
            if (said == Framed::NeedsBytes) break;
            if (said == Framed::Header) {
                const std::size_t kept = std::min<std::size_t>(framer.payload_bytes(), place_max);
                framer.place_payload(std::span{place}.first(kept));
                continue;
            }
            FramedPdu pdu{.what = said, .header = {}, .payload = {}};
            if (said == Framed::Pdu) {
                for (const auto b : framer.header()) {
                    pdu.header.push_back(std::to_integer<std::uint8_t>(b));
                }
                for (const auto b : framer.placed()) {
                    pdu.payload.push_back(std::to_integer<std::uint8_t>(b));
                }
            }
            got.push_back(pdu);
            if (said != Framed::Pdu) return got;
        }
    }
    return got;
}

Pdu data_in(std::size_t bytes, std::uint8_t seed) {
    Pdu pdu;
    pdu.bhs[0] = sim::kDataIn;
    for (std::size_t i = 16; i < 48; ++i) pdu.bhs.at(i) = static_cast<std::uint8_t>(seed + i);
    for (std::size_t i = 0; i < bytes; ++i) pdu.data.push_back(static_cast<std::uint8_t>(i * seed));
    return pdu;
}

// Goal: the same bytes at every split point give the same PDUs, with and without digests.
// Rows: PDU-22, PDU-05, PDU-06
TEST(Framer, EverySplitGivesTheSamePdus) {
    for (const int digests : {0, 1, 2, 3}) {
        const DigestsInUse in_use{(digests & 1) != 0, (digests & 2) != 0};
        Bytes stream;
        for (const std::size_t bytes : {0UL, 1UL, 6UL, 48UL, 301UL, 0UL}) {
            const Bytes wire = sim::encode(data_in(bytes, static_cast<std::uint8_t>(bytes + 3)),
                                           {in_use.header, in_use.data});
            stream.insert(stream.end(), wire.begin(), wire.end());
        }
        const auto whole = frame(stream, in_use, {stream.size()}, 60000);
        ASSERT_EQ(whole.size(), 6U);
        EXPECT_EQ(frame(stream, in_use, {1}, 60000), whole);
        for (std::size_t split = 1; split < stream.size(); ++split) {
            ASSERT_EQ(frame(stream, in_use, {split, stream.size()}, 60000), whole);
        }
    }
}

// Goal: a payload longer than its place is read, counted in the digest, and cut.
TEST(Framer, DropsWhatDoesNotFit) {
    const DigestsInUse digests{true, true};
    Bytes stream = sim::encode(data_in(5000, 3), {true, true});
    const Bytes next = sim::encode(data_in(8, 5), {true, true});
    stream.insert(stream.end(), next.begin(), next.end());
    const auto got = frame(stream, digests, {777}, 100);
    ASSERT_EQ(got.size(), 2U);
    EXPECT_EQ(got[0].payload.size(), 100U);
    EXPECT_EQ(got[1].payload.size(), 8U);
}

// Goal: any flipped bit is noticed, and the right digest is blamed.
// Rows: DIG-06, DIG-07, DIG-08
TEST(Framer, NoticesEveryFlippedBit) {
    const Bytes good = sim::encode(data_in(13, 9), {true, true});
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
        const auto got = frame(bad, {true, true}, {bad.size()}, 60000);
        ASSERT_EQ(got.size(), 1U);
        const Framed expected = bit / 8 < 52 ? Framed::HeaderDigestWrong : Framed::DataDigestWrong;
        ASSERT_EQ(got[0].what, expected) << "bit " << bit;
    }
}

// Goal: lengths and opcodes are refused before a byte of payload is placed.
// Rows: PDU-08, PDU-11, PDU-12
TEST(Framer, RefusesLongSegmentsAhsAndForeignOpcodes) {
    Pdu too_long = data_in(0, 1);
    too_long.put(5, 3, 60001);
    Pdu with_ahs = data_in(0, 1);
    with_ahs.bhs[4] = 255;
    Pdu foreign = data_in(0, 1);
    foreign.bhs[0] = sim::kCommand;
    for (const Pdu& pdu : {too_long, with_ahs, foreign}) {
        const Bytes wire{pdu.bhs.begin(), pdu.bhs.end()};
        const auto got = frame(wire, {}, {wire.size()}, 60000);
        ASSERT_EQ(got.size(), 1U);
        EXPECT_EQ(got[0].what, Framed::Violation);
    }
}

// ---- What goes out.

struct RingInMemory {
    alignas(64) std::array<std::byte, 16 * 1024> memory{};
    reserve::Region region{memory};
    TransmitRing ring{region, EngineLimits{}};
};
using Pieces = std::array<std::span<const std::byte>, EngineLimits::kTransmitPiecesMin>;

// Goal: whatever part the transport takes at a time, and however much later it lets go of it, the
// bytes are the same and each loan ends exactly when its last byte is released.
TEST(TransmitRing, PartialSendsKeepOrderAndLoans) {
    const std::array<std::byte, 10> data{};
    for (std::size_t part = 1; part < 80; ++part) {
        RingInMemory made;
        TransmitRing& ring = made.ring;
        std::size_t total = 0;
        for (std::uint16_t i = 0; i < 3; ++i) {
            write(ring.next_header(), DataOutHeader{.is_final = true,
                                                    .itt = Itt{i},
                                                    .expected_stat_sn = {},
                                                    .data_sn = {},
                                                    .data_bytes = 10});
            ring.push({true, true}, data, i);
            total += 48 + 4 + 10 + 2 + 4;
        }
        EXPECT_EQ(ring.waiting_bytes(), total);
        std::vector<std::uint16_t> released;
        Bytes stream;
        std::size_t late = 0;  // Of what was sent, what is not yet released.
        while (!ring.empty()) {
            Pieces room;
            std::size_t taken = 0;
            for (const auto span : ring.spans(room)) {
                for (const std::byte b : span.first(std::min(span.size(), part - taken))) {
                    stream.push_back(std::to_integer<std::uint8_t>(b));
                    ++taken;
                }
            }
            ring.sent(taken);
            const std::size_t held = late + taken;
            ASSERT_EQ(ring.held_bytes(), held);
            late = taken == 0 ? 0 : std::min<std::size_t>(held, 100);
            ring.released(held - late);
            std::uint16_t owner = 0;
            while (ring.release(owner) == TransmitRing::Release::Owner) released.push_back(owner);
            const std::size_t whole = (stream.size() - late) / 68;
            const std::size_t ended = whole + ((stream.size() - late) % 68 >= 62 ? 1 : 0);
            ASSERT_EQ(released.size(), ended);
        }
        sim::Decoder decoder;
        decoder.digests = {true, true};
        decoder.add(stream);
        for (std::uint32_t i = 0; i < 3; ++i) {
            const auto pdu = decoder.next();
            ASSERT_TRUE(pdu.has_value());
            EXPECT_EQ(pdu->itt(), i);
        }
    }
}

// Goal: a PDU is offered whole, its padding and digests with it: nothing can come between them.
// Rows: BUG-57
TEST(TransmitRing, PaddingLeavesWithItsPdu) {
    const std::array<std::byte, 11> data{};
    for (std::size_t bytes = 0; bytes <= data.size(); ++bytes) {
        RingInMemory made;
        TransmitRing& ring = made.ring;
        write(ring.next_header(), DataOutHeader{.is_final = true,
                                                .itt = Itt{1},
                                                .expected_stat_sn = {},
                                                .data_sn = {},
                                                .data_bytes = static_cast<std::uint32_t>(bytes)});
        ring.push({true, true}, std::span{data}.first(bytes), 0);
        Pieces room;
        std::size_t offered = 0;
        for (const auto span : ring.spans(room)) offered += span.size();
        EXPECT_EQ(offered, 48 + 4 + (bytes + 3) / 4 * 4 + (bytes > 0 ? 4 : 0));
        EXPECT_EQ(offered, ring.waiting_bytes());
    }
}

// ---- Time and escalation.

// Goal: silence for the interval asks for one ping, silence for the time-out after it is death, any
// byte in between is life.
// Rows: NOP-07
TEST(KeepAlive, AnyByteIsLife) {
    const auto at = [](std::int64_t s) { return Instant::from_ns(s * 1'000'000'000); };
    KeepAlive keep;
    EXPECT_TRUE(keep.wake_at().is_never());
    keep.start(at(0), Duration::from_s(5), Duration::from_s(3));
    EXPECT_EQ(keep.wake_at(), at(5));
    keep.on_received(at(2));
    EXPECT_FALSE(keep.is_silent(at(6)));
    EXPECT_TRUE(keep.is_silent(at(7)));
    keep.want_ping(at(7));
    keep.on_send_progress(at(8));
    EXPECT_EQ(keep.dead_at(), at(11));
    keep.on_ping_sent(at(9));
    EXPECT_EQ(keep.dead_at(), at(12));
    keep.on_received(at(11));
    EXPECT_EQ(keep.dead_at(), at(14));
    keep.on_ping_over();
    EXPECT_TRUE(keep.dead_at().is_never());
    keep.start(at(0), Duration{}, Duration::from_s(3));
    EXPECT_TRUE(keep.wake_at().is_never());
}

// Goal: the ladder ends on every path: no event sequence climbs for ever, and resets are for those
// who own the unit alone.
// Rows: TMF-13, TMF-15, TMF-16
TEST(Ladder, EveryPathEnds) {
    using enum RungEvent;
    for (const bool alone : {true, false}) {
        EXPECT_EQ(step(Rung::None, CommandTimedOut, alone),
                  (RungStep{Rung::AbortTask, RungAction::SendRequest}));
        for (const Rung rung : {Rung::AbortTask, Rung::UnitReset, Rung::TargetReset}) {
            for (const RungEvent event : {Complete, TaskUnknown, UnitUnknown, Refused, NoAnswer}) {
                const RungStep taken = step(rung, event, alone);
                EXPECT_TRUE(taken.to == Rung::None || taken.to > rung);
                EXPECT_TRUE(alone || rung != Rung::AbortTask || taken.to == Rung::None);
                EXPECT_TRUE(event != Complete || taken.action != RungAction::DropSession);
            }
        }
    }
    EXPECT_EQ(step(Rung::AbortTask, Refused, true).to, Rung::UnitReset);
    EXPECT_EQ(step(Rung::UnitReset, NoAnswer, true).to, Rung::TargetReset);
    EXPECT_EQ(step(Rung::TargetReset, NoAnswer, true).action, RungAction::DropSession);
    EXPECT_EQ(step(Rung::AbortTask, TaskUnknown, true).action, RungAction::DropSession);
}

// Goal: a chain of redirects ends; a failure leads back to what was configured.
// Rows: LOG-24
TEST(PortalChoice, LoopsEndAndFailuresComeHome) {
    SessionConfig config;
    for (const char* host : {"a", "b"}) {
        Portal portal;
        portal.host.assign_cut(host);
        config.portals.push(portal);
    }
    Portal moved;
    moved.host.assign_cut("m");
    PortalChoice choice;
    EXPECT_EQ(choice.current(config).host.view(), "a");
    for (int i = 0; i < PortalChoice::kRedirectsMax; ++i) {
        EXPECT_TRUE(choice.on_redirect(moved, false));
    }
    EXPECT_FALSE(choice.on_redirect(moved, false));
    choice.on_failed(config);
    EXPECT_EQ(choice.current(config).host.view(), "a");
    choice.on_failed(config);
    EXPECT_EQ(choice.current(config).host.view(), "b");
    EXPECT_TRUE(choice.on_redirect(moved, false));
    choice.on_logged_in();
    EXPECT_EQ(choice.current(config).host.view(), "b");
    EXPECT_TRUE(choice.on_redirect(moved, true));
    choice.on_logged_in();
    EXPECT_EQ(choice.current(config).host.view(), "m");
}

}  // namespace
}  // namespace holdfast::initiator
