#include "initiator/scsi/probe_run.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/initiator/scsi/bytes_text.h"
#include "tests/initiator/scsi/played_unit.h"

namespace holdfast::initiator::scsi {
namespace {

const std::vector<std::string> kWholeProbe{"luns",   "inquiry",  "ready",  "vpd0",
                                           "vpd128", "vpd131",   "vpd176", "vpd177",
                                           "vpd178", "capacity", "mode6",  "functions"};

/// A run with a unit that answers when the test wants it.
class Bench {
public:
    Bench() : run_(kLun, answers_) { run_.begin(true); }

    /// Takes what is to go out now; the names, in that order.
    std::vector<std::string> send() {
        std::vector<std::string> names;
        while (const auto place = run_.next_place()) {
            names.push_back(name_of(run_.command(*place)));
            out_.push_back({*place, names.back()});
        }
        return names;
    }
    [[nodiscard]] std::size_t out() const { return out_.size(); }

    /// The unit answers what went out as number `i` of what is out.
    ProbeStep answer(std::size_t i = 0) {
        const auto [place, name] = out_.at(i);
        const Answer given = answer_of(unit, name, run_.command(place).data_in_bytes);
        return answer_with(i, given);
    }
    ProbeStep answer_with(std::size_t i, const Answer& given) {
        const std::uint8_t place = out_.at(i).first;
        out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(i));
        std::ranges::copy(given.data, run_.answer_space(place).begin());
        return run_.on_result(place, given.whole_end(), given.data.size());
    }
    /// Answers one thing after the other until the run has ended or waits for a time.
    ProbeStep finish() {
        for (;;) {
            send();
            if (out_.empty()) return ProbeStep::Continue;
            const ProbeStep step = answer();
            if (step != ProbeStep::Continue) return step;
        }
    }
    /// A run to its end, after which the next may ask ahead; that one has begun.
    void learn() {
        ASSERT_EQ(finish(), ProbeStep::Ready);
        learned = run_.machine().facts();
        run_.begin(true);
    }
    [[nodiscard]] ProbeRun& run() { return run_; }
    [[nodiscard]] const DeviceFacts& facts() const { return run_.machine().facts(); }

    Unit unit = whole_unit();
    DeviceFacts learned{};

private:
    std::array<std::byte, ProbeRun::kAnswersBytes> answers_{};
    ProbeRun run_;
    std::vector<std::pair<std::uint8_t, std::string>> out_;
};

// Goal: what a unit was never asked is not asked ahead: the first run goes step by step.
TEST(ProbeRun, FirstRunGoesStepByStep) {
    Bench bench;
    for (const std::string& name : kWholeProbe) {
        EXPECT_EQ(bench.send(), std::vector<std::string>{name});
        EXPECT_EQ(bench.answer(), name == "functions" ? ProbeStep::Ready : ProbeStep::Continue);
    }
    EXPECT_EQ(bench.facts().serial.view(), "SER123");
    bench.run().begin(false);
    EXPECT_EQ(bench.send().size(), 1U);
}

// Goal: the next run asks for all at once, once each, and learns the same whatever order the
// answers come in.
TEST(ProbeRun, NextRunAsksForAllAtOnce) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        SCOPED_TRACE(testing::Message() << "reproduce with seed=" << seed);
        SplitMix64 random{seed};
        Bench bench;
        bench.learn();
        ASSERT_EQ(bench.send(), kWholeProbe);
        while (bench.out() > 1) {
            ASSERT_EQ(bench.answer(random.below(bench.out())), ProbeStep::Continue);
            ASSERT_TRUE(bench.send().empty());
        }
        ASSERT_EQ(bench.answer(), ProbeStep::Ready);
        ASSERT_EQ(bench.facts(), bench.learned);
    }
}

// Goal: a unit attention makes void what was asked ahead of it and before it, answered or not:
// those answers may be older than the change that it tells of.
TEST(ProbeRun, UnitAttentionMakesVoidWhatWasAskedAhead) {
    for (const bool is_answered_first : {true, false}) {
        Bench bench;
        bench.learn();
        ASSERT_EQ(bench.send(), kWholeProbe);
        if (is_answered_first) {
            ASSERT_EQ(bench.answer(9), ProbeStep::Continue);  // The capacity as it was.
        }
        ASSERT_EQ(bench.answer(), ProbeStep::Continue);
        ASSERT_EQ(bench.answer(), ProbeStep::Continue);
        ASSERT_EQ(bench.answer_with(0, check(6, 0x2a09)), ProbeStep::Continue);
        const Answer before = bench.unit.answers["capacity"];
        bench.unit.answers["capacity"].data[5] = std::byte{0x1f};
        ASSERT_EQ(bench.send(), is_answered_first ? (std::vector<std::string>{"ready", "capacity"})
                                                  : std::vector<std::string>{"ready"});
        if (!is_answered_first) {
            ASSERT_EQ(bench.answer_with(6, before), ProbeStep::Continue);
        }
        ASSERT_EQ(bench.finish(), ProbeStep::Ready);
        EXPECT_EQ(bench.facts().blocks, 2 * bench.learned.blocks);
    }
}

// Goal: a unit that asks for patience gets it: nothing goes out until the time has passed, then one
// command alone, and the others together once that one is answered.
TEST(ProbeRun, PatienceGoesAlone) {
    Bench bench;
    bench.learn();
    bench.unit.first["ready"] = {check(2, 0x0401), check(2, 0x0401)};
    bench.send();
    bench.answer();
    bench.answer();
    EXPECT_EQ(bench.answer(), ProbeStep::Wait);
    EXPECT_GT(bench.run().machine().wait(), Duration{});
    while (bench.out() > 0) {
        EXPECT_EQ(bench.answer(), ProbeStep::Continue);
        EXPECT_TRUE(bench.send().empty());
    }
    bench.run().on_waited();
    EXPECT_EQ(bench.send(), std::vector<std::string>{"ready"});
    EXPECT_EQ(bench.answer(), ProbeStep::Wait);
    bench.run().on_waited();
    EXPECT_EQ(bench.send(), std::vector<std::string>{"ready"});
    EXPECT_EQ(bench.answer(), ProbeStep::Continue);
    EXPECT_EQ(bench.send(), (std::vector<std::string>{kWholeProbe.begin() + 3, kWholeProbe.end()}));
    EXPECT_EQ(bench.finish(), ProbeStep::Ready);
    EXPECT_EQ(bench.facts(), bench.learned);
}

// Goal: a unit that needs fewer or more commands than last time gets them; the end comes only when
// nothing is out any more.
TEST(ProbeRun, EndsWhenNothingIsOut) {
    Bench bench;
    bench.learn();
    bench.send();
    bench.unit.answers["vpd0"] = good(hex("00 00 00 02 00 80"));
    // All but the page of limits, which nobody needs any more.
    for (const std::size_t i : {0U, 0U, 0U, 0U, 0U, 0U, 1U, 1U, 1U, 1U}) {
        ASSERT_EQ(bench.answer(i), ProbeStep::Continue);
    }
    ASSERT_EQ(bench.send(), std::vector<std::string>{"known"});
    ASSERT_EQ(bench.answer(2), ProbeStep::Continue);  // "known"
    ASSERT_EQ(bench.answer(1), ProbeStep::Continue);  // "functions"
    EXPECT_TRUE(bench.send().empty());
    EXPECT_EQ(bench.answer(), ProbeStep::Ready);
    EXPECT_EQ(bench.facts().transfer_blocks_max, 0U);
    EXPECT_EQ(bench.facts().serial.view(), "SER123");
}

// Goal: sense that came ahead is judged in its turn, and data beside sense is not lost.
TEST(ProbeRun, SenseThatCameAheadIsJudgedInItsTurn) {
    Bench bench;
    bench.learn();
    bench.unit.answers["functions"] = check(5, 0x2000);
    Answer recovered = bench.unit.answers["capacity"];
    recovered.end.status = Status::CheckCondition;
    recovered.sense_segment = check(1, 0x1701).sense_segment;
    bench.unit.answers["capacity"] = recovered;
    bench.send();
    while (bench.out() > 1) ASSERT_EQ(bench.answer(bench.out() - 1), ProbeStep::Continue);
    ASSERT_EQ(bench.answer(), ProbeStep::Ready);
    EXPECT_EQ(bench.facts().blocks, bench.learned.blocks);
    EXPECT_EQ(bench.facts().unit_reset, Told::Nothing);
    EXPECT_EQ(bench.run().machine().last_sense().key, SenseKey::IllegalRequest);
}

// Goal: whatever passing trouble comes at whatever command, in whatever order answers come, the run
// ends and knows what the unit is.
TEST(ProbeRun, PassingTroubleOnlyDelays) {
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        SCOPED_TRACE(testing::Message() << "reproduce with seed=" << seed);
        SplitMix64 random{seed};
        Bench bench;
        bench.learn();
        for (int troubles = 0; troubles < 4; ++troubles) {
            const auto trouble = std::to_array<Answer>(
                {check(6, 0x2900), check(6, 0x2a09), check(2, 0x0401), check(0x0b, 0x4705),
                 status(Status::Busy), status(Status::TaskAborted)});
            bench.unit.first[kWholeProbe[random.below(kWholeProbe.size())]].push_back(
                trouble[random.below(trouble.size())]);
        }
        ProbeStep step = ProbeStep::Continue;
        for (int i = 0; i < 400 && step != ProbeStep::Ready; ++i) {
            if (step == ProbeStep::Wait) bench.run().on_waited();
            bench.send();
            ASSERT_GT(bench.out(), 0U);
            step = bench.answer(random.below(bench.out()));
            ASSERT_TRUE(step != ProbeStep::Failed && step != ProbeStep::Violation);
        }
        ASSERT_EQ(step, ProbeStep::Ready);
        ASSERT_EQ(bench.out(), 0U);
        ASSERT_EQ(bench.facts(), bench.learned);
    }
}

}  // namespace
}  // namespace holdfast::initiator::scsi
