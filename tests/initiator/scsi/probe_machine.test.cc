#include "initiator/scsi/probe_machine.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/initiator/scsi/bytes_text.h"
#include "tests/initiator/scsi/played_unit.h"

namespace holdfast::initiator::scsi {
namespace {

/// Runs a probe to its end and returns the last step. Waits cost nothing.
[[nodiscard]] ProbeStep run(ProbeMachine& probe, Unit& unit, int commands_max = 400) {
    for (int i = 0; i < commands_max; ++i) {
        const ProbeCommand command = probe.next_command();
        const std::string name = name_of(command);
        unit.asked.push_back(name);
        EXPECT_LE(command.data_in_bytes, kProbeDataBytesMax);
        const Answer answer = answer_of(unit, name, command.data_in_bytes);
        const ProbeStep step = probe.on_result(answer.whole_end(), answer.data);
        if (step == ProbeStep::Wait) {
            EXPECT_GT(probe.wait(), Duration{});
        }
        if (step != ProbeStep::Continue && step != ProbeStep::Wait) return step;
    }
    return ProbeStep::Wait;
}

// Goal: a unit that knows everything is asked in order, once each, and every fact arrives.
TEST(ProbeMachine, LearnsEveryFactOfAWholeUnit) {
    Unit unit = whole_unit();
    ProbeMachine probe{kLun};
    ASSERT_EQ(run(probe, unit), ProbeStep::Ready);
    EXPECT_EQ(unit.asked, (std::vector<std::string>{"luns", "inquiry", "ready", "vpd0", "vpd128",
                                                    "vpd131", "vpd176", "vpd177", "vpd178",
                                                    "capacity", "mode6", "functions"}));
    const DeviceFacts& facts = probe.facts();
    EXPECT_EQ(facts.block_bytes, 512U);
    EXPECT_EQ(facts.blocks, 0x10'0000U);
    EXPECT_EQ(facts.physical_block_exponent, 3);
    EXPECT_EQ(facts.transfer_blocks_max, 0x8000U);
    EXPECT_EQ(facts.transfer_blocks_optimal, 0x400U);
    EXPECT_EQ(facts.unmap_blocks_max, 0x1'0000U);
    EXPECT_EQ(facts.unmap_descriptors_max, 64U);
    EXPECT_EQ(facts.unmap_granularity, 8U);
    EXPECT_EQ(facts.write_same_blocks_max, 0x2000U);
    EXPECT_TRUE(facts.can_unmap && facts.can_write_same && facts.can_write_same_unmap);
    EXPECT_TRUE(facts.unmapped_reads_zero && facts.write_cache && facts.can_force_unit_access);
    EXPECT_FALSE(facts.rotational || facts.read_only);
    EXPECT_EQ(facts.unit_reset, Told::Yes);
    EXPECT_EQ(facts.vendor.view(), "HFTARGET");
    EXPECT_EQ(facts.product.view(), "RAM DISK");
    EXPECT_EQ(facts.revision.view(), "1.0");
    EXPECT_EQ(facts.serial.view(), "SER123");
    EXPECT_EQ(facts.designator_type, 3);
    EXPECT_EQ(facts.designator.view(), "6001020304050607");
}

// Goal: a unit that knows only what it must is still a disk, and its cache counts as volatile.
TEST(ProbeMachine, DoesWithoutEverythingOptional) {
    Unit unit = whole_unit();
    for (const char* optional : {"luns", "vpd0", "mode6", "functions"})
        unit.answers.erase(optional);
    ProbeMachine probe{kLun};
    ASSERT_EQ(run(probe, unit), ProbeStep::Ready);
    EXPECT_EQ(unit.asked,
              (std::vector<std::string>{"luns", "inquiry", "ready", "vpd0", "capacity", "mode6",
                                        "mode10", "modeall", "known", "functions"}));
    EXPECT_TRUE(probe.facts().write_cache);
    EXPECT_FALSE(probe.facts().can_unmap || probe.facts().can_write_same);
    EXPECT_FALSE(probe.facts().can_force_unit_access);
}

// Goal: each needed command that is refused for good ends the probe with its own reason.
TEST(ProbeMachine, NeededCommandsThatFailEndTheProbe) {
    const auto error_when = [](const char* name, Answer answer) {
        Unit unit = whole_unit();
        unit.answers[name] = std::move(answer);
        ProbeMachine probe{kLun};
        EXPECT_EQ(run(probe, unit), ProbeStep::Failed) << name;
        return probe.error();
    };
    EXPECT_EQ(error_when("inquiry", check(5, 0x2500)), ProbeError::NoSuchLun);
    EXPECT_EQ(error_when("ready", check(5, 0x2500)), ProbeError::NoSuchLun);
    EXPECT_EQ(error_when("inquiry", good(hex("7f 00 05 02 1f"))), ProbeError::NoSuchLun);
    EXPECT_EQ(error_when("inquiry", good(hex("0c 00 05 02 1f"))), ProbeError::NotABlockDevice);
    EXPECT_EQ(error_when("inquiry", good(hex("05 80 05 02 1f"))), ProbeError::NotABlockDevice);
    EXPECT_EQ(error_when("inquiry", good({})), ProbeError::MalformedAnswer);
    EXPECT_EQ(error_when("inquiry", check(4, 0x4400)), ProbeError::MalformedAnswer);
    EXPECT_EQ(error_when("ready", check(4, 0x4400)), ProbeError::NotReady);
    EXPECT_EQ(error_when("capacity", check(5, 0x2000)), ProbeError::BadCapacity);
    EXPECT_EQ(error_when("capacity", good({})), ProbeError::MalformedAnswer);
    EXPECT_EQ(error_when("capacity", good(std::vector<std::byte>(32))), ProbeError::BadCapacity);
    EXPECT_EQ(error_when("capacity", good(std::vector<std::byte>(32, std::byte{0xff}))),
              ProbeError::BadCapacity);
}

// Goal: at each command a unit attention, busy, or becoming ready delays the probe and changes
// nothing else.
// Rows: RSP-07, SER-05
TEST(ProbeMachine, PassingTroubleAtAnyCommandOnlyDelays) {
    Unit plain = whole_unit();
    ProbeMachine untroubled{kLun};
    ASSERT_EQ(run(untroubled, plain), ProbeStep::Ready);
    const std::vector<std::function<Answer()>> troubles = {
        [] { return check(6, 0x2900); },
        [] { return check(6, 0x3f0e); },
        [] { return check(6, 0x2a09); },
        [] { return check(2, 0x0401); },
        [] { return status(Status::Busy); },
        [] { return status(Status::TaskSetFull); },
        [] { return status(Status::TaskAborted); },
        [] { return check(0x0b, 0x4705); },
        [] { return status(Status::ReservationConflict); },
    };
    for (const auto& trouble : troubles) {
        for (const std::string& name : plain.asked) {
            for (const std::size_t times : {std::size_t{1}, std::size_t{5}}) {
                Unit unit = whole_unit();
                unit.first[name] = std::vector<Answer>(times, trouble());
                ProbeMachine probe{kLun};
                ASSERT_EQ(run(probe, unit), ProbeStep::Ready) << name;
                ASSERT_EQ(probe.facts(), untroubled.facts()) << name;
            }
        }
    }
}

// Goal: a unit that never gets ready, or never stops its unit attentions, is waited for: the
// caller's deadline ends it, and there is a wait between the commands.
TEST(ProbeMachine, EndlessTroubleMeansWaiting) {
    for (const Answer& forever : {check(2, 0x0401), check(6, 0x2900), check(6, 0x2a09),
                                  check(6, 0x3f03), status(Status::Busy)}) {
        for (const char* name : {"luns", "inquiry", "ready", "vpd0", "capacity", "mode6"}) {
            Unit unit = whole_unit();
            unit.answers[name] = forever;
            ProbeMachine probe{kLun};
            EXPECT_EQ(run(probe, unit, 2000), ProbeStep::Wait) << name;
        }
    }
}

// Goal: a long LUN list is asked for once more with all the room there is; a unit that could be
// there but is not is waited for only while the list does not deny it.
// Rows: RES-06
TEST(ProbeMachine, AsksForATruncatedLunListAgain) {
    Unit unit = whole_unit();
    auto list = hex("00002000 00000000");
    list.resize(8 + 0x2000);
    unit.answers["luns"] = good(list);
    ProbeMachine probe{kLun};
    ASSERT_EQ(run(probe, unit), ProbeStep::Ready);
    EXPECT_EQ(unit.asked[1], "luns");
    EXPECT_EQ(unit.asked[2], "inquiry");

    Unit absent = whole_unit();
    absent.answers["inquiry"] = good(hex("20 00 05 02 1f"));
    ProbeMachine waiting{kLun};
    EXPECT_EQ(run(waiting, absent), ProbeStep::Wait);
    ProbeMachine denied{Lun{0x0002'0000'0000'0000}};
    EXPECT_EQ(run(denied, absent), ProbeStep::Failed);
    EXPECT_EQ(denied.error(), ProbeError::NoSuchLun);
}

// Goal: the facts that follow from several pages together.
TEST(ProbeMachine, ConcludesFromSeveralAnswers) {
    const auto facts_with = [](const std::function<void(Unit&)>& change) {
        Unit unit = whole_unit();
        change(unit);
        ProbeMachine probe{kLun};
        EXPECT_EQ(run(probe, unit), ProbeStep::Ready);
        return probe.facts();
    };
    const auto not_thin = facts_with([](Unit& unit) { unit.answers["capacity"].data[14] = {}; });
    EXPECT_FALSE(not_thin.can_unmap || not_thin.can_write_same_unmap);
    EXPECT_TRUE(not_thin.can_write_same);
    const auto no_b2 = facts_with([](Unit& unit) { unit.answers.erase("vpd178"); });
    EXPECT_TRUE(no_b2.can_unmap);
    EXPECT_FALSE(no_b2.can_write_same_unmap);
    const auto asked = facts_with([](Unit& unit) {
        unit.answers["vpd0"] = good(hex("00 00 00 01 00"));
        unit.answers["known"] = good(hex("00 03 00 10"));
    });
    EXPECT_TRUE(asked.can_write_same);
    EXPECT_EQ(asked.write_same_blocks_max, 0U);
    const auto spinning =
        facts_with([](Unit& unit) { unit.answers["vpd177"] = good(hex("00 b1 00 3c 1c 20")); });
    EXPECT_TRUE(spinning.rotational);
    const auto by_ten = facts_with([](Unit& unit) {
        unit.answers["mode6"] = good(hex("03 00 80 00"));
        unit.answers["mode10"] = good(hex("00 1a 00 80 00 00 00 00 08 12 00 00"));
    });
    EXPECT_TRUE(by_ten.read_only);
    EXPECT_FALSE(by_ten.write_cache);
}

// Goal: whatever a hostile unit answers, the probe ends or waits, within bounded memory, and what
// it calls ready is a sane disk. Method: 20,000 seeds of random answers, some of them sane. Rows:
// SEC-01
TEST(ProbeMachine, SurvivesRandomAnswers) {
    for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
        SCOPED_TRACE(testing::Message() << "reproduce with seed=" << seed);
        SplitMix64 random{seed};
        Unit sane = whole_unit();
        ProbeMachine probe{kLun};
        for (int i = 0; i < 200; ++i) {
            const ProbeCommand command = probe.next_command();
            std::vector<std::byte> data = sane.answers[name_of(command)].data;
            if (random.one_in(3)) data.resize(random.below(command.data_in_bytes + 64));
            while (!data.empty() && random.one_in(2)) {
                data[random.below(data.size())] = std::byte(random.below(256));
            }
            std::vector<std::byte> segment(random.below(40));
            for (std::byte& b : segment) b = std::byte(random.below(256));
            if (segment.size() > 4) {
                segment[0] = {};
                segment[1] = std::byte(random.below(40));
                segment[2] = std::byte(0x70 + random.below(5));
            }
            const CommandEnd end{
                .response = static_cast<std::uint8_t>(random.one_in(50) ? random.below(256) : 0),
                .status = random.one_in(3) ? Status::CheckCondition : Status::Good,
                .data_segment = segment};
            const ProbeStep step = probe.on_result(end, data);
            if (step == ProbeStep::Ready) {
                EXPECT_NE(probe.facts().blocks, 0U);
                EXPECT_GE(probe.facts().block_bytes, 512U);
            }
            if (step != ProbeStep::Continue && step != ProbeStep::Wait) break;
        }
    }
}

// Goal: a unit that came back as another one, or nameless, is refused; one that merely grew is not.
// Rows: SER-08
TEST(CompareUnits, AnotherIdentityIsAnotherUnit) {
    Unit unit = whole_unit();
    ProbeMachine probe{kLun};
    ASSERT_EQ(run(probe, unit), ProbeStep::Ready);
    const DeviceFacts before = probe.facts();
    const auto with = [&before](const std::function<void(DeviceFacts&)>& change) {
        DeviceFacts now = before;
        change(now);
        return compare_units(before, now);
    };
    EXPECT_EQ(with([](DeviceFacts&) {}), SameUnit::Same);
    EXPECT_EQ(with([](DeviceFacts& f) { f.blocks *= 2; }), SameUnit::Changed);
    EXPECT_EQ(with([](DeviceFacts& f) { f.write_cache = false; }), SameUnit::Changed);
    EXPECT_EQ(with([](DeviceFacts& f) { f.block_bytes = 4096; }), SameUnit::Other);
    EXPECT_EQ(with([](DeviceFacts& f) { f.serial.clear(); }), SameUnit::Other);
    EXPECT_EQ(with([](DeviceFacts& f) { f.designator_type = 2; }), SameUnit::Other);
    EXPECT_EQ(with([](DeviceFacts& f) { f.designator.assign_cut("6001"); }), SameUnit::Other);
    EXPECT_EQ(with([](DeviceFacts& f) { f.product.assign_cut("NEW NAME"); }), SameUnit::Changed);

    DeviceFacts nameless = before;
    nameless.serial.clear();
    nameless.designator.clear();
    nameless.designator_type = 0;
    EXPECT_EQ(compare_units(nameless, before), SameUnit::Changed);
    DeviceFacts other_product = nameless;
    other_product.product.assign_cut("OTHER");
    EXPECT_EQ(compare_units(nameless, other_product), SameUnit::Other);
}

}  // namespace
}  // namespace holdfast::initiator::scsi
