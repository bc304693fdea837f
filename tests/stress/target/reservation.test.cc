// Persistent reservations, and what PREEMPT AND ABORT ends.
#include <gtest/gtest.h>

#include "stress/target/session.h"
#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

constexpr std::uint8_t kRegister = 0;
constexpr std::uint8_t kReserve = 1;
constexpr std::uint8_t kRelease = 2;
constexpr std::uint8_t kClear = 3;
constexpr std::uint8_t kPreempt = 4;
constexpr std::uint8_t kPreemptAndAbort = 5;
constexpr std::uint8_t kRegisterAnyway = 6;
constexpr std::uint8_t kConflict = 0x18;
constexpr std::uint64_t kFirstKey = 0x11;
constexpr std::uint64_t kSecondKey = 0x22;

/// Two hosts, or two ports of one, logged in to one unit.
struct Bench {
    explicit Bench(Reinstatement reinstatement = Reinstatement::Proper)
        : world([reinstatement] {
              TargetConfig config = small_config();
              config.reinstatement = reinstatement;
              return config;
          }()) {
        second.isid = 0x8000'0000'0002ULL;
        for (PlayedInitiator* each : {&first, &second}) {
            each->login();
            each->settle();
        }
    }
    World world;
    PlayedInitiator first{world};
    PlayedInitiator second{world};
};

std::uint8_t out(PlayedInitiator& initiator, std::uint8_t action, std::uint64_t own,
                 std::uint64_t other, std::uint8_t type = 5) {
    Cdb cdb{};
    put_u8<0>(std::span{cdb}, scsi_op::kPersistentReserveOut);
    put_u8<1>(std::span{cdb}, action);
    put_u8<2>(std::span{cdb}, type);
    put_be32<5>(std::span{cdb}, 24);
    std::array<std::byte, 24> list{};
    put_be64<0>(std::span{list}, own);
    put_be64<8>(std::span{list}, other);
    const auto itt = initiator.command(cdb, bit::kFinal | bit::kWrite, 24, list);
    const Seen answer = initiator.next();
    EXPECT_EQ(answer.itt(), itt);
    return answer.status();
}

std::vector<std::byte> in(PlayedInitiator& initiator, std::uint8_t action) {
    Cdb cdb{};
    put_u8<0>(std::span{cdb}, scsi_op::kPersistentReserveIn);
    put_u8<1>(std::span{cdb}, action);
    put_be16<7>(std::span{cdb}, 256);
    initiator.command(cdb, bit::kFinal | bit::kRead, 256);
    return initiator.next().data;
}

std::uint8_t write(PlayedInitiator& initiator, std::uint32_t lba) {
    initiator.write(lba, pattern(512, 9));
    return initiator.next().status();
}

// Goal: registering, reserving and what the others may do then, by type; readers are kept out by
// Exclusive Access only.
TEST(TargetReservation, TypesKeepOthersOut) {
    struct Case {
        std::uint8_t type;
        bool registrant_writes;
        bool stranger_reads;
    };
    for (const Case& one : {Case{1, false, true}, Case{3, false, false}, Case{5, true, true},
                            Case{6, true, false}, Case{7, true, true}, Case{8, true, false}}) {
        SCOPED_TRACE(testing::Message() << "type " << int{one.type});
        Bench bench;
        EXPECT_EQ(out(bench.first, kReserve, 0, 0, one.type), kConflict) << "not registered";
        EXPECT_EQ(out(bench.first, kRegister, 0, kFirstKey), 0);
        EXPECT_EQ(out(bench.first, kReserve, kFirstKey, 0, one.type), 0);
        EXPECT_EQ(write(bench.first, 0), 0);
        EXPECT_EQ(write(bench.second, 0), kConflict);
        bench.second.read(0, 1);
        EXPECT_EQ(bench.second.next().opcode(),
                  one.stranger_reads ? Opcode::DataIn : Opcode::ScsiResponse);
        EXPECT_EQ(out(bench.second, kRegister, 0, kSecondKey), 0);
        EXPECT_EQ(write(bench.second, 0), one.registrant_writes ? 0 : kConflict);
    }
}

// Goal: READ KEYS, READ RESERVATION and REPORT CAPABILITIES tell what stands.
TEST(TargetReservation, InquiriesTellWhatStands) {
    Bench bench;
    EXPECT_EQ(in(bench.first, 1).size(), 8U);
    EXPECT_EQ(out(bench.first, kRegister, 0, kFirstKey), 0);
    EXPECT_EQ(out(bench.second, kRegister, 0, kSecondKey), 0);
    EXPECT_EQ(out(bench.second, kReserve, kSecondKey, 0), 0);
    const auto keys = in(bench.first, 0);
    ASSERT_EQ(keys.size(), 24U);
    EXPECT_EQ(keys[7], std::byte{16});
    EXPECT_EQ(keys[15], std::byte{kFirstKey});
    EXPECT_EQ(keys[23], std::byte{kSecondKey});
    const auto held = in(bench.first, 1);
    ASSERT_EQ(held.size(), 24U);
    EXPECT_EQ(held[15], std::byte{kSecondKey});
    EXPECT_EQ(held[21], std::byte{5});
    EXPECT_EQ(in(bench.first, 2).at(4), std::byte{0xea});
}

// Goal: keys protect registrations: a wrong one conflicts, REGISTER AND IGNORE asks for none.
TEST(TargetReservation, KeysAreChecked) {
    Bench bench;
    EXPECT_EQ(out(bench.first, kRegister, 5, kFirstKey), kConflict);
    EXPECT_EQ(out(bench.first, kRegister, 0, kFirstKey), 0);
    EXPECT_EQ(out(bench.first, kRegister, 0, kSecondKey), kConflict) << "registered already";
    EXPECT_EQ(out(bench.first, kRegisterAnyway, 0, kSecondKey), 0);
    EXPECT_EQ(out(bench.first, kReserve, kFirstKey, 0), kConflict);
    EXPECT_EQ(out(bench.first, kReserve, kSecondKey, 0), 0);
    EXPECT_EQ(out(bench.second, kRegister, 0, kFirstKey), 0);
    EXPECT_EQ(out(bench.second, kReserve, kFirstKey, 0), kConflict);
    EXPECT_EQ(out(bench.second, kRelease, kFirstKey, 0), 0) << "of somebody else: nothing";
    EXPECT_EQ(in(bench.first, 1).size(), 24U);
    EXPECT_EQ(out(bench.first, kRegister, kSecondKey, 0), 0);
    EXPECT_EQ(in(bench.first, 1).size(), 8U) << "released with its holder's key";
    EXPECT_EQ(out(bench.second, kClear, kFirstKey, 0), 0x02) << "unit attention: released";
    EXPECT_EQ(out(bench.second, kClear, kFirstKey, 0), 0);
    EXPECT_EQ(in(bench.first, 0).size(), 8U);
}

// Goal: PREEMPT AND ABORT ends a write that is held, takes the reservation over, and whatever still
// comes over the old nexus is refused. PREEMPT alone lets the held write be executed.
TEST(TargetReservation, PreemptAndAbortEndsLateWrites) {
    for (const std::uint8_t action : {kPreempt, kPreemptAndAbort}) {
        Bench bench{Reinstatement::TgtLike};
        EXPECT_EQ(out(bench.first, kRegister, 0, kFirstKey), 0);
        EXPECT_EQ(out(bench.first, kReserve, kFirstKey, 0), 0);
        bench.world.fault("op=write hold-write 3s");
        bench.first.write(7, pattern(512, 4));
        EXPECT_EQ(out(bench.second, kRegister, 0, kSecondKey), 0);
        EXPECT_EQ(out(bench.second, action, kSecondKey, 0x77), kConflict) << "nobody's key";
        EXPECT_EQ(out(bench.second, action, kSecondKey, kFirstKey), 0);
        EXPECT_EQ(in(bench.second, 1).at(15), std::byte{kSecondKey});
        bench.world.pass(Duration::from_s(4));
        const bool is_late = bench.second.read_back(7, 1) == pattern(512, 4);
        EXPECT_EQ(is_late, action == kPreempt);
        EXPECT_EQ(bench.world.counters().late_writes_cancelled, is_late ? 0U : 1U);
        while (bench.first.has_next()) bench.first.next();
        EXPECT_EQ(write(bench.first, 7), 0x02) << "unit attention: registrations preempted";
        EXPECT_EQ(write(bench.first, 7), kConflict);
    }
}

// Goal: a power cut forgets keys and reservation: APTPL is refused.
TEST(TargetReservation, EndsWithThePower) {
    Bench bench;
    EXPECT_EQ(out(bench.first, kRegister, 0, kFirstKey), 0);
    EXPECT_EQ(out(bench.first, kReserve, kFirstKey, 0), 0);
    bench.world.fault("power-cut");
    PlayedInitiator fresh{bench.world};
    fresh.login();
    fresh.settle();
    EXPECT_EQ(in(fresh, 0).size(), 8U);
}

}  // namespace
}  // namespace holdfast::target
