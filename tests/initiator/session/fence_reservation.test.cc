// The fence by persistent reservation: PREEMPT AND ABORT of the lost session's key.
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint8_t kConflict = 0x18;
constexpr std::uint8_t kUnitReset = 5;
constexpr std::uint8_t kReserveIn = 0x5e;
constexpr std::uint8_t kReserveOut = 0x5f;
constexpr std::uint8_t kPreemptAndAbort = 5;
constexpr std::uint8_t kExclusive = 1;
constexpr std::uint8_t kRegistrants = 5;
constexpr std::uint64_t kForeignPort = 0x4000'0000'1234ULL;
constexpr std::uint64_t kForeignKey = 0x1122'3344'5566'7788ULL;

void append(Bytes& to, std::size_t bytes, std::uint64_t value) {
    for (std::size_t i = bytes; i > 0; --i) {
        to.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
    }
}

std::uint64_t number_at(const Bytes& from, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = at; i < at + 8; ++i) value = (value << 8) | from.at(i);
    return value;
}

/// A unit that keeps the rules of SPC-4 section 5.13; initiator ports are told apart by ISID.
class Reservations {
public:
    std::map<std::uint64_t, std::uint64_t> keys;
    std::optional<std::uint64_t> holder;
    std::uint8_t type = kRegistrants;
    std::vector<std::uint64_t> preempted;

    /// Answers what the session asks of it, until it asks something else.
    void answer_all(Peer& peer) {
        while (peer.engine().phase() == SessionPhase::Fencing && !peer.is_quiet()) {
            const Pdu command = peer.expect(sim::kCommand);
            if (testing::Test::HasFatalFailure()) return;
            answer(peer, command);
        }
    }
    void answer(Peer& peer, const Pdu& command) {
        if (command.cdb(0) == kReserveIn) {
            Bytes data = in_data(command.cdb(1) & 0x1f);
            const auto rest = command.u32(20) - static_cast<std::uint32_t>(data.size());
            Pdu pdu = peer.data_in(command, 0, data, 0, rest > 0 ? 0x83 : 0x81);
            pdu.put(44, 4, rest);
            return peer.send(pdu);
        }
        ASSERT_EQ(command.cdb(0), kReserveOut);
        ASSERT_EQ(command.data.size(), 24U);
        const std::uint64_t port = peer.login_requests.back().get(8, 6);
        const bool is_done = out(command.cdb(1) & 0x1f, port, number_at(command.data, 0),
                                 number_at(command.data, 8));
        peer.send(peer.response_to(command, is_done ? 0 : kConflict));
    }

private:
    [[nodiscard]] Bytes in_data(std::uint8_t action) const {
        Bytes data;
        append(data, 4, action == 2 ? 0x0008'0080U : 0);
        if (action == 2) append(data, 4, 0x2000'0000U);
        if (action == 0) {
            append(data, 4, keys.size() * 8);
            for (const auto& [port, key] : keys) append(data, 8, key);
        }
        if (action == 1) append(data, 4, holder ? 16 : 0);
        if (action == 1 && holder) {
            append(data, 8, keys.at(*holder));
            append(data, 8, std::uint64_t{type} << 16);
        }
        return data;
    }
    bool out(std::uint8_t action, std::uint64_t port, std::uint64_t own, std::uint64_t other) {
        const auto at = keys.find(port);
        const bool is_known = at != keys.end() && at->second == own;
        if (action == 0 && !is_known && (at != keys.end() || own != 0)) return false;
        if (action == 0 || action == 6) {
            if (other == 0 && holder == port) holder.reset();
            if (other == 0) return keys.erase(port) == 1;
            keys[port] = other;
            return true;
        }
        if (!is_known) return false;
        if (action == 1) {
            if (holder && holder != port) return false;
            holder = port;
            return true;
        }
        EXPECT_EQ(action, kPreemptAndAbort);
        const auto erased = std::erase_if(keys, [&](const auto& item) {
            const bool is_it = item.second == other && item.first != port;
            if (is_it && holder == item.first) holder = port;
            return is_it;
        });
        if (erased > 0) preempted.push_back(other);
        return erased > 0;
    }
};

Peer::Options reserving() {
    Peer::Options options;
    options.config.fence_by_reservation = true;
    return options;
}

bool was_fenced_by(Peer& peer, FenceRung rung) {
    return peer.was_noticed(NoticeKind::Fenced, static_cast<std::uint64_t>(rung));
}

std::uint64_t port_of(const Peer& peer) {
    return peer.login_requests.back().get(8, 6);
}

void attach(Peer& peer, Reservations& unit) {
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    peer.answer_probe();
    unit.answer_all(peer);
    peer.expect_order(OrderKind::DeviceReady);
}

/// Up to the probe's end on the session that follows a lost write.
void lose_a_write(Peer& peer) {
    peer.submit(0, RequestKind::Write, 0, 1);
    peer.expect(sim::kCommand);
    peer.lose_transport();
    peer.come_back();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Fencing);
}

// Goal: the first session registers a key and reserves the unit for those who are registered; the
// last one gives both up before it logs out.
TEST(FenceReservation, IsTakenAtAttachAndGivenUpAtDetach) {
    Peer peer{reserving()};
    Reservations unit;
    unit.keys[kForeignPort] = kForeignKey;
    attach(peer, unit);
    EXPECT_EQ(unit.keys.size(), 2U);
    EXPECT_EQ(unit.holder, port_of(peer));
    EXPECT_EQ(peer.engine().counters().fence, FenceReliance::PreemptAndAbort);
    peer.engine().stop(peer.now());
    unit.answer(peer, peer.expect(sim::kCommand));
    EXPECT_FALSE(unit.holder.has_value());
    EXPECT_EQ(unit.keys.size(), 1U) << "and nobody else's";
    peer.send(peer.logout_response(peer.expect(sim::kLogout), 0));
    peer.expect_order(OrderKind::Close);
}

// Goal: after a lost write the next session comes over another initiator port and preempts the
// key of the old one, and only then the write is sent again. Nothing is reset: others use the unit.
// Rows: SER-04
TEST(FenceReservation, PreemptAndAbortIsTheFence) {
    Peer::Options options = reserving();
    options.config.owns_unit_alone = false;
    Peer peer{options};
    Reservations unit;
    attach(peer, unit);
    const std::uint64_t old_port = port_of(peer);
    const std::uint64_t old_key = unit.keys.at(old_port);
    lose_a_write(peer);
    EXPECT_NE(port_of(peer), old_port);
    EXPECT_EQ(port_of(peer) & ~7ULL, old_port & ~7ULL) << "ports of one family";
    unit.answer_all(peer);
    EXPECT_EQ(unit.preempted, std::vector{old_key});
    EXPECT_FALSE(unit.keys.contains(old_port));
    EXPECT_EQ(unit.holder, port_of(peer)) << "the old nexus is refused from now on";
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::PreemptAndAbort));
    EXPECT_EQ(peer.expect(sim::kCommand).cdb(0), 0x8a);
}

// Goal: a key that is gone proves nothing: the unit is reset.
// Rows: SER-04
TEST(FenceReservation, ForgottenKeyIsNoFence) {
    Peer peer{reserving()};
    Reservations unit;
    attach(peer, unit);
    unit = {};
    lose_a_write(peer);
    for (int i = 0; i < 5; ++i) unit.answer(peer, peer.expect(sim::kCommand));
    const Pdu reset = expect_management(peer, kUnitReset);
    EXPECT_TRUE(peer.is_quiet()) << "sent again before the fence";
    peer.send(peer.task_response(reset, 0));
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::LogicalUnitReset));
    EXPECT_EQ(peer.engine().counters().fence, FenceReliance::PreemptAndAbort) << "anew";
}

// Goal: a successor does not know the key, nor the port. It leaves a port where a key is, and
// preempts every key of the family from another one.
// Rows: SER-04
TEST(FenceReservation, SuccessorFindsTheKeysOfItsPredecessor) {
    Reservations unit;
    {
        Peer before{reserving()};
        attach(before, unit);
    }
    const auto old = *unit.keys.begin();
    Peer::Options options = reserving();
    options.config.takes_over_device = true;
    options.config.owns_unit_alone = false;
    Peer peer{options};
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    peer.answer_probe();
    EXPECT_EQ(port_of(peer), old.first);
    unit.answer_all(peer);
    EXPECT_EQ(unit.keys.at(old.first), old.second) << "replaced, and its tasks live on";
    peer.expect_reset();
    peer.come_back();
    EXPECT_NE(port_of(peer), old.first);
    unit.answer_all(peer);
    EXPECT_EQ(unit.preempted, std::vector{old.second});
    peer.expect_order(OrderKind::DeviceReady);
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::PreemptAndAbort));
}

// Goal: where a key stands at every port, the unit is reset first and a key replaced then.
TEST(FenceReservation, EveryPortTakenIsFencedByReset) {
    Peer::Options options = reserving();
    options.config.takes_over_device = true;
    Peer peer{options};
    Reservations unit;
    for (std::uint64_t port = 0; port < 8; ++port) {
        unit.keys[options.config.isid.raw() ^ port] = kForeignKey + port;
    }
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    peer.answer_probe();
    for (int i = 0; i < 7; ++i) {
        unit.answer_all(peer);
        peer.expect_reset();
        peer.come_back();
    }
    for (int i = 0; i < 4; ++i) unit.answer(peer, peer.expect(sim::kCommand));
    peer.send(peer.task_response(expect_management(peer, kUnitReset), 0));
    unit.answer_all(peer);
    peer.expect_order(OrderKind::DeviceReady);
    EXPECT_EQ(unit.holder, port_of(peer));
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::LogicalUnitReset));
}

// Goal: a host whose key another one has preempted does not come back by itself: no key is
// registered, no request is sent, all of them wait.
TEST(FenceReservation, WhoWasPreemptedStaysAway) {
    Peer peer{reserving()};
    Reservations unit;
    attach(peer, unit);
    unit.keys = {{kForeignPort, kForeignKey}};
    unit.holder = kForeignPort;
    lose_a_write(peer);
    unit.answer_all(peer);
    EXPECT_TRUE(peer.was_noticed(NoticeKind::ProbeFailed,
                                 static_cast<std::uint64_t>(ProbeError::Preempted)));
    peer.expect_reset();
    EXPECT_EQ(unit.keys.size(), 1U);
    peer.expect_no_completion();
}

// Goal: a unit that knows no reservations, or is under one of another kind, is used without; then
// the rung below is the fence.
TEST(FenceReservation, UnitWithoutIsFencedByReset) {
    for (const bool is_held : {false, true}) {
        Peer peer{reserving()};
        Reservations unit;
        unit.keys[kForeignPort] = kForeignKey;
        unit.holder = kForeignPort;
        unit.type = kExclusive;
        peer.engine().start(peer.now());
        peer.expect_order(OrderKind::Connect);
        peer.log_in();
        peer.answer_probe();
        while (peer.engine().phase() == SessionPhase::Fencing) {
            const Pdu command = peer.expect(sim::kCommand);
            ASSERT_FALSE(HasFatalFailure());
            if (is_held) unit.answer(peer, command);
            if (!is_held) peer.send(peer.sense_to(command, 0x05, 0x2000));
        }
        peer.expect_order(OrderKind::DeviceReady);
        EXPECT_EQ(unit.keys.size(), 1U);
        EXPECT_EQ(peer.engine().counters().fence, FenceReliance::UnitResetUntried);
    }
}

// Goal: without the wish no question about reservations is asked.
TEST(FenceReservation, IsOnlyAskedForWhereItIsWanted) {
    Peer peer;
    peer.attach();  // Fails at any command after the probe.
    EXPECT_EQ(peer.engine().counters().fence, FenceReliance::UnitResetUntried);
}

}  // namespace
}  // namespace holdfast::initiator
