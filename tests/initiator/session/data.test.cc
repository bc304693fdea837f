// Data transfer: what goes out with a write, what R2Ts and Data-In may do, and what they may not.
#include <gtest/gtest.h>

#include <cstring>

#include "initiator/session/out_queue.h"
#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;

Peer::Options options_with(const sim::TargetParameters& target) {
    Peer::Options options;
    options.target = target;
    return options;
}

bool holds(std::span<const std::byte> buffer, std::uint32_t offset, const Bytes& data) {
    return std::memcmp(buffer.subspan(offset).data(), data.data(), data.size()) == 0;
}

Bytes some_data(std::size_t bytes, std::uint8_t seed = 1) {
    Bytes data(bytes);
    for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::uint8_t>(seed + i * 5);
    return data;
}

/// One write of `total` bytes against a target with these parameters.
void check_unsolicited(const sim::TargetParameters& target, std::uint32_t total) {
    Peer peer{options_with(target)};
    peer.attach();
    peer.submit(0, RequestKind::Write, 7, total / 512);
    const Pdu command = peer.expect(sim::kCommand);
    const auto in_command = static_cast<std::uint32_t>(command.data.size());
    const std::uint32_t allowed = std::min(target.first_burst_bytes, total);
    EXPECT_LE(in_command, target.immediate_data ? std::min(target.max_recv_bytes, allowed) : 0);
    EXPECT_EQ(in_command > 0, target.immediate_data);
    EXPECT_TRUE(command.is_final() || !target.initial_r2t);
    std::uint32_t have = in_command;
    std::uint32_t data_sn = 0;
    bool is_ended = command.is_final();
    while (!is_ended && !testing::Test::HasFailure()) {
        const Pdu out = peer.expect(sim::kDataOut);
        EXPECT_EQ(out.ttt(), kNone);
        EXPECT_EQ(out.u32(36), data_sn++);
        EXPECT_EQ(out.u32(40), have);
        EXPECT_LE(out.data.size(), target.max_recv_bytes);
        have += static_cast<std::uint32_t>(out.data.size());
        is_ended = out.is_final();
        EXPECT_TRUE(is_ended || out.data.size() % 4 == 0);
    }
    EXPECT_TRUE(peer.is_quiet());
    EXPECT_EQ(have, target.initial_r2t ? in_command : allowed);
}

// Goal: for every combination of InitialR2T, ImmediateData, FirstBurstLength, the target's
// MaxRecvDataSegmentLength and length, a write sends exactly the unsolicited bytes it may.
// Rows: WRI-01, WRI-02, WRI-03, WRI-04, WRI-05, WRI-06, WRI-07, WRI-10, WRI-11, WRI-13, WRI-14
// Rows: WRI-15
TEST(Writes, UnsolicitedDataIsExactlyWhatWasAgreed) {
    constexpr std::array<std::uint32_t, 4> kFirstBursts{512, 1000, 4096, 8192};
    constexpr std::array<std::uint32_t, 3> kSegments{512, 1500, 8192};
    constexpr std::array<std::uint32_t, 5> kBlocks{1, 2, 3, 16, 40};
    for (std::size_t i = 0; i < 4 * 4 * 3 * 5; ++i) {
        const sim::TargetParameters target{.max_recv_bytes = kSegments.at(i / 16 % 3),
                                           .max_burst_bytes = 8192,
                                           .first_burst_bytes = kFirstBursts.at(i / 4 % 4),
                                           .initial_r2t = (i & 1) != 0,
                                           .immediate_data = (i & 2) != 0};
        check_unsolicited(target, kBlocks.at(i / 48) * 512);
    }
}

// Goal: solicited data is exactly what each R2T asked for, numbered anew, in segments the target
// takes, with F at the end only and the target's tag.
// Rows: WRI-12, R2T-01, R2T-05, R2T-07
TEST(Writes, HonoursR2tsInOrderAtAnyOffset) {
    Peer peer{options_with(
        {.max_recv_bytes = 1024, .initial_r2t = true, .immediate_data = false, .max_r2t = 4})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 16);
    const Pdu command = peer.expect(sim::kCommand);
    const std::array<std::pair<std::uint32_t, std::uint32_t>, 3> wanted{
        {{4096, 2500}, {0, 512}, {6596, 1596}}};
    for (std::uint32_t i = 0; i < wanted.size(); ++i) {
        peer.send(peer.r2t(command, wanted[i].first, wanted[i].second, i, 0x77));
    }
    for (const auto& [offset, bytes] : wanted) {
        std::uint32_t at = offset;
        std::uint32_t data_sn = 0;
        while (at < offset + bytes) {
            const Pdu out = peer.expect(sim::kDataOut);
            ASSERT_FALSE(HasFailure());
            EXPECT_EQ(out.ttt(), 0x77U);
            EXPECT_EQ(out.get(8, 8), kTestLun);
            EXPECT_EQ(out.u32(40), at);
            EXPECT_EQ(out.u32(36), data_sn++);
            EXPECT_LE(out.data.size(), 1024U);
            EXPECT_TRUE(holds(peer.buffer(0), at, out.data));
            at += static_cast<std::uint32_t>(out.data.size());
            EXPECT_EQ(out.is_final(), at == offset + bytes);
        }
    }
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: R2Ts of two tasks are served in the order in which they came.
// Rows: R2T-06
TEST(Writes, ServesTasksInOrderOfArrival) {
    Peer peer{options_with({.initial_r2t = true, .immediate_data = false})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 2);
    peer.submit(1, RequestKind::Write, 8, 2);
    const Pdu first = peer.expect(sim::kCommand);
    const Pdu second = peer.expect(sim::kCommand);
    peer.send(peer.r2t(second, 0, 1024, 0));
    peer.send(peer.r2t(first, 0, 1024, 0));
    EXPECT_EQ(peer.expect(sim::kDataOut).itt(), second.itt());
    EXPECT_EQ(peer.expect(sim::kDataOut).itt(), first.itt());
}

// Goal: unsolicited bursts follow their own command, in command order.
// Rows: WRI-09
TEST(Writes, UnsolicitedBurstsFollowTheirCommands) {
    Peer peer{options_with({.max_recv_bytes = 512, .immediate_data = false})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 4);
    peer.submit(1, RequestKind::Write, 8, 4);
    for (int task = 0; task < 2; ++task) {
        const Pdu command = peer.expect(sim::kCommand);
        for (int i = 0; i < 4; ++i) EXPECT_EQ(peer.expect(sim::kDataOut).itt(), command.itt());
    }
}

// Goal: data that the target waits for goes before new commands, however many there are.
// Rows: R2T-10
TEST(Writes, DataBeforeNewCommands) {
    Peer peer{options_with({.initial_r2t = true, .immediate_data = true})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 64);
    const Pdu big = peer.expect(sim::kCommand);
    for (std::uint16_t tag = 1; tag < 8; ++tag) peer.submit(tag, RequestKind::Write, tag * 8, 1);
    peer.send(peer.r2t(big, 8192, 64 * 512 - 8192, 0));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(peer.expect(sim::kDataOut).itt(), big.itt());
    for (int i = 1; i < 8; ++i) peer.expect(sim::kCommand);
}

// Goal: a read waits neither for the data of older writes nor for their commands.
TEST(Writes, AReadGoesFirst) {
    Peer peer{options_with({.initial_r2t = true, .immediate_data = true})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 64);
    const Pdu big = peer.expect(sim::kCommand);
    peer.send(peer.r2t(big, 8192, 64 * 512 - 8192, 0));
    peer.submit(1, RequestKind::Write, 64, 1);
    peer.submit(2, RequestKind::Read, 100, 1);
    const Pdu read = peer.expect(sim::kCommand);
    EXPECT_EQ(read.cdb(0), 0x88);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(peer.expect(sim::kDataOut).itt(), big.itt());
    EXPECT_EQ(peer.expect(sim::kCommand).cdb(0), 0x8a);
}

// Goal: reads that never end do not keep a write waiting: 32 may overtake it, then it goes.
// Rows: R2T-10
TEST(Writes, ReadsDoNotStarveThem) {
    Peer::Options options = options_with({.initial_r2t = true, .immediate_data = true});
    options.limits.depth = 48;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 64);
    const Pdu big = peer.expect(sim::kCommand);
    peer.send(peer.r2t(big, 8192, 64 * 512 - 8192, 0));
    for (std::uint16_t tag = 1; tag < 40; ++tag) peer.submit(tag, RequestKind::Read, tag * 8, 1);
    for (int i = 0; i < 32; ++i) EXPECT_EQ(peer.expect(sim::kCommand).cdb(0), 0x88);
    EXPECT_EQ(peer.expect(sim::kDataOut).itt(), big.itt());
}

// Goal: an answer that comes before all data was asked for, or sent, ends the sending; the slot
// lives on.
// Rows: R2T-11
TEST(Writes, AnswerBeforeTheDataStopsIt) {
    Peer peer{options_with({.max_recv_bytes = 512, .initial_r2t = true, .immediate_data = false})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 64);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.r2t(command, 0, 64 * 512, 0));
    peer.send(peer.sense_to(command, 0x03, 0x0c00));
    // The medium error is tried again as a new command: it comes next, not the old one's data.
    const Pdu again = peer.expect(sim::kCommand);
    EXPECT_NE(again.itt(), command.itt());
}

struct BadR2t {
    const char* name;
    Violation violation;
    std::function<void(Peer&, const Pdu&, Pdu&)> spoil;
};

// Goal: each R2T that asks for what is not there is a protocol error and reads no memory.
// Rows: R2T-02, R2T-04, R2T-08, PDU-17, PDU-19
TEST(Writes, BadR2tsDropTheSession) {
    const std::vector<BadR2t> cases{
        {"beyond", Violation::R2tBeyondTransfer,
         [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(40, 4, 512); }},
        {"wraps", Violation::R2tOffsetWraps,
         [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(40, 4, 0xfffffe00).put(44, 4, 0x400); }},
        {"empty", Violation::R2tWantsNothing,
         [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(44, 4, 0); }},
        {"no tag", Violation::R2tWithoutTransferTag,
         [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(20, 4, kNone); }},
        {"data", Violation::DataNotAllowed,
         [](Peer&, const Pdu&, Pdu& r2t) { r2t.data.resize(4); }},
        {"gap", Violation::R2tNumberWrong, [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(36, 4, 1); }},
        {"lun", Violation::LunMismatch, [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(8, 8, 0); }},
        {"too many", Violation::R2tTooMany,
         [](Peer& peer, const Pdu& command, Pdu& r2t) {
             peer.send(peer.r2t(command, 0, 512, 0));
             r2t.put(36, 4, 1);
         }},
        {"no such task", Violation::TaskTagUnknown,
         [](Peer&, const Pdu&, Pdu& r2t) { r2t.put(16, 4, 0x0000ff00); }},
    };
    for (const BadR2t& bad : cases) {
        SCOPED_TRACE(bad.name);
        Peer peer{options_with({.initial_r2t = true, .immediate_data = false})};
        peer.attach();
        peer.submit(0, RequestKind::Write, 0, 2);
        const Pdu command = peer.expect(sim::kCommand);
        Pdu r2t = peer.r2t(command, 0, 1024, 0);
        bad.spoil(peer, command, r2t);
        peer.send(r2t);
        peer.expect_violation(bad.violation);
        peer.expect_no_completion();
    }
}

// Goal: an R2T for a read is a protocol error.
// Rows: R2T-02
TEST(Writes, R2tForAReadDropsTheSession) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 2);
    peer.send(peer.r2t(peer.expect(sim::kCommand), 0, 1024, 0));
    peer.expect_violation(Violation::R2tForRead);
}

// Goal: an R2T that comes twice is served once; a later one may ask for bytes again.
// Rows: R2T-08, R2T-09
TEST(Writes, DuplicateR2tIsDroppedRecoveryR2tIsServed) {
    Peer peer{options_with({.initial_r2t = true, .immediate_data = false})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 2);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.r2t(command, 0, 1024, 0));
    EXPECT_EQ(peer.expect(sim::kDataOut).data.size(), 1024U);
    peer.send(peer.r2t(command, 0, 1024, 0));
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.r2t(command, 512, 512, 1));
    EXPECT_EQ(peer.expect(sim::kDataOut).u32(40), 512U);
}

// Goal: an R2T above MaxBurstLength is honoured as it stands; its size is bounded by our command.
// Rows: R2T-03
TEST(Writes, R2tAboveMaxBurstIsHonoured) {
    Peer peer{options_with({.max_recv_bytes = 65536,
                            .max_burst_bytes = 4096,
                            .first_burst_bytes = 512,
                            .initial_r2t = true,
                            .immediate_data = false})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 32);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.r2t(command, 0, 16384, 0));
    EXPECT_EQ(peer.expect(sim::kDataOut).data.size(), 16384U);
}

// Goal: a request buffer is not given back while the transport still holds a piece of it, even
// when it was sent and the answer is there already: it may have to be sent again.
// Rows: BUG-37, BUG-47
TEST(Writes, BufferIsLentUntilItIsReleased) {
    Peer peer{options_with({.max_recv_bytes = 8192})};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 16);
    std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
    const auto spans = peer.engine().tx_spans(ConnIndex{0}, peer.now(), room);
    std::size_t total = 0;
    for (const auto span : spans) total += span.size();
    Pdu command;
    for (std::size_t i = 0; i < 48; ++i) {
        command.bhs.at(i) = std::to_integer<std::uint8_t>(spans[0][i]);
    }
    ++peer.expected_cmd_sn;
    peer.send(peer.response_to(command));
    peer.expect_no_completion();
    peer.engine().tx_sent(ConnIndex{0}, peer.now(), total - 1);
    peer.engine().tx_sent(ConnIndex{0}, peer.now(), 1);
    peer.expect_no_completion();
    peer.engine().tx_released(ConnIndex{0}, total - 1);
    peer.expect_no_completion();
    peer.engine().tx_released(ConnIndex{0}, 1);
    peer.expect_completion(0);
}

// ---- Reads.

// Goal: F in the middle, empty PDUs, more than MaxBurstLength in one sequence and a separate status
// make a good read.
// Rows: RED-01, RED-04, RED-05, RED-06, RED-09, STA-04
TEST(Reads, TakeEveryLegalSequence) {
    Peer peer{options_with({.max_burst_bytes = 1024, .first_burst_bytes = 512})};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 8);
    const Pdu command = peer.expect(sim::kCommand);
    const Bytes data = some_data(4096);
    const auto part = [&](std::uint32_t from, std::uint32_t to) {
        return Bytes{data.begin() + from, data.begin() + to};
    };
    peer.send(peer.data_in(command, 0, part(0, 2048), 0, 0x80));
    peer.send(peer.data_in(command, 2048, {}, 1, 0x00));
    peer.send(peer.data_in(command, 2048, part(2048, 2052), 2, 0x00));
    peer.send(peer.data_in(command, 2052, part(2052, 4096), 3, 0x80));
    peer.expect_no_completion();
    Pdu status = peer.response_to(command);
    status.put(36, 4, 4);
    peer.send(status);
    peer.expect_completion(0);
    EXPECT_TRUE(holds(peer.buffer(0), 0, data));
}

struct BadDataIn {
    const char* name;
    Violation violation;
    std::function<void(Pdu&)> spoil;
};

// Goal: each Data-In that lies about itself is a protocol error before a byte is placed.
// Rows: RED-01, RED-03, RED-10, RES-02, PDU-17, PDU-18
TEST(Reads, BadDataInDropsTheSession) {
    const std::vector<BadDataIn> cases{
        {"beyond", Violation::DataInBeyondTransfer, [](Pdu& in) { in.put(40, 4, 512); }},
        {"wraps", Violation::DataInOffsetWraps, [](Pdu& in) { in.put(40, 4, 0xfffffff0); }},
        {"gap", Violation::DataNumberWrong, [](Pdu& in) { in.put(36, 4, 1); }},
        {"order", Violation::DataInOutOfOrder,
         [](Pdu& in) {
             in.put(40, 4, 512);
             in.data.resize(512);
         }},
        {"status without F", Violation::DataInStatusWithoutFinal,
         [](Pdu& in) { in.bhs[1] = 0x01; }},
        {"check condition", Violation::DataInStatusNotGood,
         [](Pdu& in) {
             in.bhs[1] = 0x81;
             in.bhs[3] = 0x02;
         }},
        {"both residuals", Violation::ResidualBothWays, [](Pdu& in) { in.bhs[1] = 0x87; }},
        {"no such task", Violation::TaskTagUnknown, [](Pdu& in) { in.put(16, 4, 0xff00); }},
        {"ahs", Violation::AhsInResponse, [](Pdu& in) { in.bhs[4] = 1; }},
    };
    for (const BadDataIn& bad : cases) {
        SCOPED_TRACE(bad.name);
        Peer peer;
        peer.attach();
        peer.submit(0, RequestKind::Read, 0, 2);
        const Bytes before{reinterpret_cast<const std::uint8_t*>(peer.buffer(0).data()),
                           reinterpret_cast<const std::uint8_t*>(peer.buffer(0).data()) + 2048};
        Pdu in = peer.data_in(peer.expect(sim::kCommand), 0, some_data(1024), 0);
        bad.spoil(in);
        peer.send(in);
        peer.expect_violation(bad.violation);
        EXPECT_TRUE(holds(peer.buffer(0), 0, before));
        peer.expect_no_completion();
    }
}

// Goal: Data-In for a write is a protocol error.
TEST(Reads, DataInForAWriteDropsTheSession) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 2);
    peer.send(peer.data_in(peer.expect(sim::kCommand), 0, some_data(1024), 0));
    peer.expect_violation(Violation::DataInForWrite);
}

// Goal: Data-In for a command that has no buffer at all places nothing: a protocol error.
// Rows: BUG-11, RED-10
TEST(Reads, DataInForACommandWithoutABufferDropsTheSession) {
    for (const std::size_t bytes : {0U, 512U}) {
        Peer peer;
        peer.attach();
        peer.submit(0, RequestKind::Flush, 0, 0);
        const Pdu command = peer.expect(sim::kCommand);
        peer.send(peer.data_in(command, 0, some_data(bytes), 0, 0x80));
        peer.expect_order(OrderKind::Reset);
        EXPECT_TRUE(peer.was_noticed(NoticeKind::PeerViolation));
        peer.expect_no_completion();
    }
}

// Goal: without agreed order, data may come in any order and is whole at the end; an overlap is a
// protocol error.
// Rows: RED-07
TEST(Reads, OutOfOrderDataWhenAgreed) {
    for (const bool overlaps : {false, true}) {
        Peer::Options options = options_with({.data_in_order = false});
        options.config.wish.data_pdu_in_order = false;
        options.config.wish.data_sequence_in_order = false;
        Peer peer{options};
        peer.attach();
        ASSERT_FALSE(peer.agreed().pdu_in_order);
        peer.submit(0, RequestKind::Read, 0, 4);
        const Pdu command = peer.expect(sim::kCommand);
        const Bytes data = some_data(2048);
        std::uint32_t data_sn = 0;
        for (const std::uint32_t offset : {1024U, 0U, 1536U, overlaps ? 256U : 512U}) {
            const Bytes part{data.begin() + offset, data.begin() + offset + 512};
            peer.send(peer.data_in(command, offset, part, data_sn++, 0x00));
        }
        if (overlaps) {
            peer.expect_violation(Violation::DataInOutOfOrder);
            continue;
        }
        peer.send(peer.response_to(command));
        peer.expect_completion(0);
        EXPECT_TRUE(holds(peer.buffer(0), 0, data));
    }
}

// Goal: GOOD with bytes missing never completes the read; it is tried again, then fails.
// Rows: RED-11
TEST(Reads, MissingDataIsNeverDone) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 2);
    for (int i = 0; i < 4; ++i) {
        peer.expect_no_completion();
        const Pdu command = peer.expect(sim::kCommand);
        peer.send(peer.data_in(command, 0, some_data(512), 0));
        peer.send(peer.response_to(command));
    }
    peer.expect_completion(0, Outcome::TargetFailure);
}

// Goal: ExpDataSN that disagrees with what came is lost data; 0 is tolerated.
// Rows: RED-02
TEST(Reads, ExpDataSnIsChecked) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 2);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.data_in(command, 0, some_data(1024), 0));
    Pdu status = peer.response_to(command);
    status.put(36, 4, 2);
    peer.send(status);
    peer.expect_violation(Violation::DataNumberWrong);
}

// Goal: what comes for a command that has ended is read and dropped, and touches no buffer.
// Rows: RED-12, PDU-18
TEST(Reads, LateDataForAnEndedTaskIsDropped) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 2);
    const Pdu first = peer.expect(sim::kCommand);
    peer.send(peer.data_in(first, 0, some_data(1024), 0, 0x81));
    peer.expect_completion(0);
    peer.submit(0, RequestKind::Read, 8, 2);
    const Pdu second = peer.expect(sim::kCommand);
    EXPECT_NE(first.itt(), second.itt());
    const Bytes before{reinterpret_cast<const std::uint8_t*>(peer.buffer(0).data()),
                       reinterpret_cast<const std::uint8_t*>(peer.buffer(0).data()) + 1024};
    peer.send(peer.data_in(first, 0, some_data(1024, 99), 0));
    peer.send(peer.response_to(first));
    EXPECT_TRUE(holds(peer.buffer(0), 0, before));
    peer.expect_no_completion();
    peer.send(peer.data_in(second, 0, some_data(1024, 7), 0, 0x81));
    peer.expect_completion(0);
}

// Goal: a read buffer is filled across any split, and long payloads land in place.
// Rows: PDU-22
TEST(Reads, LongReadsInReceivesOfAnySize) {
    for (const std::size_t chunk : {13UL, 47UL, 1000UL, 30000UL, 1UL << 20}) {
        Peer::Options options;
        options.limits.request_bytes_max = 256 * 1024;
        Peer peer{options};
        peer.attach();
        peer.submit(0, RequestKind::Read, 0, 400);
        const Pdu command = peer.expect(sim::kCommand);
        const Bytes data = some_data(400 * 512);
        peer.chunk = chunk;
        const std::ptrdiff_t middle = 100'000;
        peer.send(peer.data_in(command, 0, {data.begin(), data.begin() + middle}, 0, 0));
        peer.send(peer.data_in(command, static_cast<std::uint32_t>(middle),
                               {data.begin() + middle, data.end()}, 1, 0x81));
        peer.expect_completion(0);
        EXPECT_TRUE(holds(peer.buffer(0), 0, data));
    }
}

// Goal: a data digest that is wrong costs the connection, ends no request, and changes no number;
// the read is done again on the next session.
// Rows: DIG-08, DIG-09, DIG-10, STA-04
TEST(Reads, WrongDataDigestIsNeverBelieved) {
    Peer::Options options = options_with({.header_digest = true, .data_digest = true});
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 2);
    const Pdu command = peer.expect(sim::kCommand);
    Pdu in = peer.data_in(command, 0, some_data(1024), 0, 0x81);
    in.put(24, 4, peer.stat_sn).put(28, 4, peer.expected_cmd_sn);
    in.put(32, 4, peer.expected_cmd_sn + 8);
    Bytes wire = peer.encode(in);
    wire.back() ^= 1;
    peer.deliver(wire);
    peer.expect_no_completion();
    EXPECT_TRUE(peer.was_noticed(NoticeKind::DigestError, 1));
    peer.expect_reset();
    peer.come_back();
    const Pdu again = peer.expect(sim::kCommand);
    EXPECT_EQ(again.cdb(0), 0x88);
    peer.send(peer.data_in(again, 0, some_data(1024), 0, 0x81));
    peer.expect_completion(0);
}

}  // namespace
}  // namespace holdfast::initiator
