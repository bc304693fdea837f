// Requests: what they become as commands, which answers are tried again, what is refused.
#include <gtest/gtest.h>

#include <array>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

// Goal: what does not fit the unit is refused before anything is taken, for every kind: the slot is
// free afterwards, and no command number is missing.
// Rows: BUG-39
TEST(Requests, OutOfRangeIsRefused) {
    Peer peer;
    peer.attach();
    const std::uint64_t end = peer.engine().facts().blocks;
    using enum RequestKind;
    for (const RequestKind kind : {Read, Write, Discard, WriteZeroes}) {
        EXPECT_EQ(peer.submit(0, kind, end, 1), Submitted::OutOfRange);
        EXPECT_EQ(peer.submit(0, kind, end - 1, 2), Submitted::OutOfRange);
        EXPECT_EQ(peer.submit(0, kind, ~0ULL, 2), Submitted::OutOfRange);
        EXPECT_EQ(peer.submit(0, kind, 0, 0), Submitted::OutOfRange);
    }
    EXPECT_EQ(peer.engine().submit(peer.now(),
                                   {.blocks = BlockCount{1}, .data = peer.buffer(0).first(511)}),
              Submitted::OutOfRange);
    EXPECT_EQ(peer.engine().submit(
                  peer.now(), {.blocks = BlockCount{~0ULL}, .data = peer.buffer(0).first(512)}),
              Submitted::OutOfRange);
    EXPECT_TRUE(peer.is_quiet());
    EXPECT_EQ(peer.submit(0, Read, end - 1, 1), Submitted::Accepted);
    const std::uint32_t next = peer.expected_cmd_sn;
    EXPECT_EQ(peer.expect(sim::kCommand).cmd_sn(), next);
    EXPECT_EQ(peer.submit(0, Read, 0, 1), Submitted::Full);
    EXPECT_EQ(peer.engine().counters().requests_in_flight, 1U);
}

// Goal: a flush may take long: it is left alone for `flush`, while a read is asked about after
// `command`.
// Rows: BUG-60
TEST(Requests, FlushIsGivenTime) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Flush, 0, 0);
    const Pdu flush = peer.expect(sim::kCommand);
    pass(peer, Duration::from_s(179));
    EXPECT_TRUE(peer.is_quiet());
    peer.submit(1, RequestKind::Read, 0, 1);
    const Pdu read = peer.expect(sim::kCommand);
    peer.send(peer.data_in(read, 0, Bytes(512), 0, 0x81));
    peer.expect_completion(1);
    pass(peer, Duration::from_s(2));
    EXPECT_EQ(expect_management(peer, 1).ttt(), flush.itt());
}

// Goal: FUA is a bit where the unit has it, a write and a flush where it has not, and nothing
// where there is no cache.
TEST(Requests, ForceUnitAccessInEveryForm) {
    for (const bool has_fua : {true, false}) {
        for (const bool has_cache : {true, false}) {
            Peer::Options options;
            options.unit.force_unit_access = has_fua;
            options.unit.write_cache = has_cache;
            Peer peer{options};
            peer.attach();
            peer.submit(0, RequestKind::Write, 0, 1, true);
            const Pdu write = peer.expect(sim::kCommand);
            EXPECT_EQ(write.cdb(1), has_fua ? 0x08 : 0x00);
            peer.send(peer.response_to(write));
            if (!has_fua && has_cache) {
                peer.expect_no_completion();
                const Pdu flush = peer.expect(sim::kCommand);
                EXPECT_EQ(flush.cdb(0), 0x35);
                peer.send(peer.response_to(flush));
            }
            peer.expect_completion(0);
        }
    }
}

// Goal: a durable write whose flush was under way when the session was lost is written again.
TEST(Requests, DurableWriteStartsAgainOnANewSession) {
    Peer::Options options;
    options.unit.force_unit_access = false;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1, true);
    peer.send(peer.response_to(peer.expect(sim::kCommand)));
    EXPECT_EQ(peer.expect(sim::kCommand).cdb(0), 0x35);
    peer.lose_transport();
    peer.come_back();
    while (peer.engine().phase() == SessionPhase::Fencing) {
        peer.send(peer.task_response(peer.expect(sim::kTaskRequest), 0));
    }
    EXPECT_EQ(peer.expect(sim::kCommand).cdb(0), 0x8a);
}

// Goal: a flush is nothing without a cache, the short form with one, the long form where the short
// one is refused.
TEST(Requests, FlushFindsItsForm) {
    Peer::Options options;
    options.unit.write_cache = false;
    Peer without{options};
    without.attach();
    without.submit(0, RequestKind::Flush, 0, 0);
    without.expect_completion(0);
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Flush, 0, 0);
    const Pdu small = peer.expect(sim::kCommand);
    EXPECT_EQ(small.bhs[1], 0x81);
    EXPECT_EQ(small.u32(20), 0U);
    peer.send(peer.sense_to(small, 0x05, 0x2000));
    const Pdu large = peer.expect(sim::kCommand);
    EXPECT_EQ(large.cdb(0), 0x91);
    peer.send(peer.response_to(large));
    peer.expect_completion(0);
}

// Goal: a write that the unit lost later, as deferred sense tells, fails the next flush.
TEST(Requests, LostWriteFailsTheNextFlush) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 1);
    const Pdu read = peer.expect(sim::kCommand);
    Pdu deferred = peer.sense_to(read, 0x03, 0x0c00);
    deferred.data[2] = 0x71;
    peer.send(deferred);
    peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
    peer.expect_completion(0);
    peer.submit(1, RequestKind::Flush, 0, 0);
    peer.send(peer.response_to(peer.expect(sim::kCommand)));
    const auto flushed = peer.next_completion();
    ASSERT_TRUE(flushed.has_value());
    EXPECT_NE(flushed->outcome, Outcome::Done);
    peer.submit(1, RequestKind::Flush, 0, 0);
    peer.send(peer.response_to(peer.expect(sim::kCommand)));
    peer.expect_completion(1);
}

struct Passing {
    std::uint8_t status;
    std::uint8_t key;
    std::uint16_t code;
};

// Goal: what passes is waited for and never goes up: the same request is sent again as a new
// command, after a rest.
// Rows: RSP-05, RSP-06, RSP-07
TEST(Requests, PassingAnswersAreTriedAgain) {
    constexpr auto kPassing = std::to_array<Passing>({
        {0x08, 0, 0},
        {0x28, 0, 0},
        {0x30, 0, 0},
        {0x40, 0, 0},
        {0x02, 0x06, 0x2900},
        {0x02, 0x06, 0x2f00},
        {0x02, 0x06, 0x477f},
        {0x02, 0x02, 0x0401},
        {0x02, 0x02, 0x040a},
        {0x02, 0x0b, 0x0c0c},
        {0x02, 0x0b, 0x0c0d},
        {0x02, 0x0b, 0x4705},
        {0x02, 0x0b, 0x1113},
    });
    for (const Passing& passing : kPassing) {
        SCOPED_TRACE(testing::Message() << int{passing.status} << " " << passing.code);
        Peer peer;
        peer.attach();
        peer.submit(0, RequestKind::Write, 0, 1);
        Pdu command = peer.expect(sim::kCommand);
        for (int i = 0; i < 3; ++i) {
            const bool has_sense = passing.status == 0x02;
            peer.send(has_sense ? peer.sense_to(command, passing.key, passing.code)
                                : peer.response_to(command, passing.status));
            peer.expect_no_completion();
            peer.live(Duration::from_ms(3000));
            const Pdu again = peer.expect(sim::kCommand);
            EXPECT_NE(again.itt(), command.itt());
            EXPECT_NE(again.cmd_sn(), command.cmd_sn());
            command = again;
        }
        peer.send(peer.response_to(command));
        peer.expect_completion(0);
    }
}

struct Final {
    std::uint8_t status;
    std::uint8_t key;
    std::uint16_t code;
    Outcome outcome;
};

// Goal: final answers go up at once as what they are.
// Rows: RSP-03, RSP-06, RES-01, RES-05
TEST(Requests, FinalAnswersGoUp) {
    constexpr auto kFinal = std::to_array<Final>({
        {0x18, 0, 0, Outcome::ReservationConflict},
        {0x02, 0x03, 0x1100, Outcome::MediumError},
        {0x02, 0x07, 0x2707, Outcome::NoSpace},
        {0x02, 0x07, 0x2700, Outcome::ReadOnly},
        {0x02, 0x05, 0x2100, Outcome::TargetFailure},
    });
    for (const Final& final : kFinal) {
        Peer peer;
        peer.attach();
        peer.submit(0, RequestKind::Write, 0, 1);
        const Pdu command = peer.expect(sim::kCommand);
        Pdu answer = final.status == 0x02 ? peer.sense_to(command, final.key, final.code)
                                          : peer.response_to(command, final.status);
        answer.bhs[1] = 0x82;
        answer.put(44, 4, 512);
        peer.send(answer);
        peer.expect_completion(0, final.outcome);
    }
}

// Goal: residuals that cannot be do no harm; CHECK CONDITION needs sense that fits.
// Rows: RES-03, RES-04, RSP-01, RSP-02, RSP-03, PDU-20
TEST(Requests, OddAnswersAreSafe) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 1);
    Pdu underflow = peer.response_to(peer.expect(sim::kCommand));
    underflow.bhs[1] = 0x82;
    underflow.put(44, 4, 513);
    peer.send(underflow);
    peer.expect_completion(0, Outcome::TargetFailure);
    peer.submit(0, RequestKind::Write, 0, 1);
    for (int i = 0; i < 9; ++i) {
        Pdu failed = peer.response_to(peer.expect(sim::kCommand), 0x77);
        failed.bhs[2] = 0x01;  // Status and flags mean nothing now.
        failed.bhs[1] = 0x86;
        peer.send(failed);
        peer.live(Duration::from_s(2));
    }
    peer.expect_completion(0, Outcome::TargetFailure);
    const auto spoil = [](Peer& target, std::size_t bytes, std::uint8_t response) {
        target.submit(0, RequestKind::Read, 0, 1);
        Pdu answer = target.response_to(target.expect(sim::kCommand), 0x02);
        answer.bhs[2] = response;
        answer.data = {0, 200};
        answer.data.resize(bytes);
        target.send(answer);
    };
    Peer without;
    without.attach();
    spoil(without, 0, 0);
    without.expect_violation(Violation::CheckConditionWithoutSense);
    Peer cut;
    cut.attach();
    spoil(cut, 20, 0);
    cut.expect_violation(Violation::SenseMalformed);
    Peer reserved;
    reserved.attach();
    spoil(reserved, 20, 0x02);
    reserved.expect_violation(Violation::ResponseCodeReserved);
}

// Goal: TASK SET FULL lowers how many commands go out at once, and the depth comes back.
// Rows: RSP-06
TEST(Requests, TaskSetFullLowersTheDepth) {
    Peer peer;
    peer.attach();
    std::vector<Pdu> out;
    for (std::uint16_t tag = 0; tag < 8; ++tag) peer.submit(tag, RequestKind::Read, tag * 8U, 1);
    for (int i = 0; i < 8; ++i) out.push_back(peer.expect(sim::kCommand));
    peer.send(peer.response_to(out[7], 0x28));
    for (int i = 0; i < 5; ++i) {
        peer.send(peer.data_in(out[static_cast<std::size_t>(i)], 0, Bytes(512), 0, 0x81));
        ASSERT_TRUE(peer.next_completion().has_value());
    }
    peer.live(Duration::from_s(1));
    peer.expect(sim::kCommand);
    // Eight were out, so four may be: two are left, one came again, one more fits.
    for (std::uint16_t tag = 0; tag < 5; ++tag) peer.submit(tag, RequestKind::Read, 0, 1);
    peer.expect(sim::kCommand);
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: a discard is UNMAP with its list, zeroes are WRITE SAME with one block, and a refusal
// turns the feature off.
TEST(Requests, DiscardAndZeroesAreOneCommandEach) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Discard, 16, 32);
    const Pdu unmap = peer.expect(sim::kCommand);
    EXPECT_EQ(unmap.cdb(0), 0x42);
    EXPECT_EQ(unmap.u32(20), 24U);
    EXPECT_EQ(unmap.data.size(), 24U);
    peer.submit(1, RequestKind::WriteZeroes, 16, 32);
    const Pdu zeroes = peer.expect(sim::kCommand);
    EXPECT_EQ(zeroes.cdb(0), 0x93);
    EXPECT_EQ(zeroes.data, Bytes(512));
    peer.send(peer.response_to(zeroes));
    peer.expect_completion(1);
    peer.send(peer.sense_to(unmap, 0x05, 0x2000));
    peer.expect_completion(0, Outcome::Unsupported);
    EXPECT_FALSE(peer.engine().facts().can_unmap);
}

// Goal: writes to what may not be written end at once, and never reach the wire.
TEST(Requests, ReadOnlyEndsAtOnce) {
    Peer::Options options;
    options.config.read_only = true;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    peer.expect_completion(0, Outcome::ReadOnly);
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: the capacity that changed under way is read again, told, and the request goes on.
// Rows: RSP-07, SER-08
TEST(Requests, CapacityChangeIsReadAgain) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    peer.options.unit.blocks = 8192;
    peer.send(peer.sense_to(peer.expect(sim::kCommand), 0x06, 0x2a09));
    bool is_written = false;
    peer.live(Duration::from_ms(100));
    while (!peer.is_quiet()) {
        const Pdu command = peer.expect(sim::kCommand);
        is_written = is_written || command.cdb(0) == 0x8a;
        if (command.cdb(0) != 0x8a) peer.answer_probe_command(command);
        if (command.cdb(0) == 0x8a) peer.send(peer.response_to(command));
    }
    EXPECT_TRUE(is_written);
    peer.expect_completion(0);
    peer.expect_order(OrderKind::DeviceResized);
    EXPECT_EQ(peer.engine().facts().blocks, 8192U);
}

}  // namespace
}  // namespace holdfast::initiator
