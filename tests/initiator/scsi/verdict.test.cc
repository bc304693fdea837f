#include "initiator/scsi/verdict.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/initiator/scsi/bytes_text.h"

namespace holdfast::initiator::scsi {
namespace {

constexpr std::array kKinds = {RequestKind::Read, RequestKind::Write, RequestKind::Flush,
                               RequestKind::Discard, RequestKind::WriteZeroes};

[[nodiscard]] SenseSummary sense(SenseKey key, int code) {
    return {.key = key,
            .asc = static_cast<std::uint8_t>(code >> 8),
            .ascq = static_cast<std::uint8_t>(code & 0xff)};
}

/// The data segment of a SCSI Response with that sense in fixed format.
[[nodiscard]] std::vector<std::byte> segment_with(const SenseSummary& of) {
    auto segment = hex("00 12 70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00");
    segment[4] = std::byte{static_cast<std::uint8_t>(of.key)};
    segment[14] = std::byte{of.asc};
    segment[15] = std::byte{of.ascq};
    return segment;
}

[[nodiscard]] Verdict on_sense(SenseKey key, int code, const CommandContext& context = {}) {
    const auto segment = segment_with(sense(key, code));
    return verdict({.status = Status::CheckCondition, .data_segment = segment}, context);
}

// Goal: the reasons of iSCSI itself (unexpected or wrong amount of unsolicited data, CRC error,
// rejected SNACK) lead to a new command, and to failure only when they do not stop.
// Rows: RSP-05
TEST(Verdict, IscsiConditionsAreReissuedAsNewCommands) {
    for (const int code : {0x0c0c, 0x0c0d, 0x4705, 0x1113}) {
        CommandContext context{.kind = RequestKind::Write};
        EXPECT_EQ(on_sense(SenseKey::AbortedCommand, code, context).step, Step::RetryNow);
        for (int i = 0; i < kTransientRetriesMax; ++i) {
            const Verdict judged = on_sense(SenseKey::AbortedCommand, code, context);
            ASSERT_NE(judged.step, Step::Fail) << i;
            context.counts.add(judged);
        }
        const Verdict last = on_sense(SenseKey::AbortedCommand, code, context);
        EXPECT_EQ(last.step, Step::Fail);
        EXPECT_EQ(last.outcome, Outcome::TargetFailure);
    }
}

// Goal: a status without sense has its own answer: busy waits for ever, a conflict fails at once.
// Method: all 256 status bytes, fresh and after many retries.
// Rows: RSP-06
TEST(Verdict, StatusesAreWaitedForOrFailed) {
    for (int raw = 0; raw < 256; ++raw) {
        const auto status = static_cast<Status>(raw);
        if (status == Status::CheckCondition) continue;
        CommandContext context{};
        const Verdict fresh = verdict({.status = status}, context);
        context.counts = {.retries = 1000, .transient_failures = kTransientRetriesMax};
        const Verdict late = verdict({.status = status}, context);
        switch (raw) {
        case 0x00:
        case 0x04:
            EXPECT_EQ(fresh.step, Step::Done);
            EXPECT_EQ(late.step, Step::Done);
            break;
        case 0x08:
        case 0x30:
            EXPECT_EQ(fresh.step, Step::RetryAfter);
            EXPECT_EQ(fresh.backoff, Backoff::Busy);
            EXPECT_EQ(late.step, Step::RetryAfter);
            break;
        case 0x28:
            EXPECT_EQ(fresh.backoff, Backoff::QueueFull);
            EXPECT_EQ(late.step, Step::RetryAfter);
            break;
        case 0x18:
            EXPECT_EQ(fresh.step, Step::Fail);
            EXPECT_EQ(fresh.outcome, Outcome::ReservationConflict);
            break;
        case 0x40:
            EXPECT_EQ(fresh.step, Step::RetryNow);
            EXPECT_EQ(late.step, Step::RetryAfter);
            break;
        default:
            EXPECT_EQ(fresh.step, Step::RetryNow) << raw;
            EXPECT_TRUE(fresh.is_transient_failure);
            EXPECT_EQ(late.step, Step::Fail) << raw;
        }
    }
}

// Goal: no unit attention, of whatever code, ever becomes an error, not even the thousandth.
// Method: all 65536 codes, every kind of request.
// Rows: RSP-07, SER-05
TEST(Verdict, UnitAttentionsNeverFailARequest) {
    for (int code = 0; code <= 0xffff; ++code) {
        for (const RequestKind kind : kKinds) {
            for (const std::uint16_t retries : std::array<std::uint16_t, 2>{0, 1000}) {
                const Verdict judged = verdict_of_sense(
                    sense(SenseKey::UnitAttention, code),
                    {.kind = kind, .counts = {.retries = retries, .transient_failures = 255}});
                ASSERT_NE(judged.step, Step::Fail) << std::hex << code;
                ASSERT_NE(judged.step, Step::Done) << std::hex << code;
                // The thousandth in a row has to wait, so that the loop does not spin.
                if (retries != 0) {
                    ASSERT_NE(judged.step, Step::RetryNow);
                }
            }
        }
    }
}

// Goal: each unit attention that says what changed has that read again; resets say that other
// commands may be gone.
// Rows: RSP-07, ASY-00
TEST(Verdict, UnitAttentionsNameWhatToReadAgain) {
    const auto reprobe = [](int code) {
        const Verdict judged = on_sense(SenseKey::UnitAttention, code);
        EXPECT_EQ(judged.step, Step::ReprobeThenRetry) << std::hex << code;
        return judged.reprobe;
    };
    EXPECT_EQ(reprobe(0x2a09), Reprobe::Capacity);
    EXPECT_EQ(reprobe(0x2a01), Reprobe::Modes);
    EXPECT_EQ(reprobe(0x3f0e), Reprobe::LunList);
    EXPECT_EQ(reprobe(0x3f03), Reprobe::Identity);
    EXPECT_EQ(reprobe(0x3f05), Reprobe::Identity);
    EXPECT_EQ(reprobe(0x2800), Reprobe::Identity);
    for (const int code : {0x2900, 0x2901, 0x2907, 0x2f00, 0x477f}) {
        const Verdict judged = on_sense(SenseKey::UnitAttention, code);
        EXPECT_EQ(judged.step, Step::RetryNow);
        EXPECT_TRUE(judged.others_cleared) << std::hex << code;
    }
    EXPECT_FALSE(on_sense(SenseKey::UnitAttention, 0x2a06).others_cleared);
    EXPECT_EQ(on_sense(SenseKey::UnitAttention, 0x2a07).backoff, Backoff::Transition);
}

// Goal: a unit that is not ready, for whatever reason, is waited for without end: the profile's
// deadline is the only end.
// Method: all 65536 codes.
// Rows: RSP-06
TEST(Verdict, NotReadyIsWaitedFor) {
    for (int code = 0; code <= 0xffff; ++code) {
        const Verdict judged =
            verdict_of_sense(sense(SenseKey::NotReady, code),
                             {.counts = {.retries = 60'000, .transient_failures = 255}});
        ASSERT_EQ(judged.step, Step::RetryAfter);
    }
    EXPECT_EQ(on_sense(SenseKey::NotReady, 0x0401).backoff, Backoff::BecomingReady);
    EXPECT_EQ(on_sense(SenseKey::NotReady, 0x040a).backoff, Backoff::Transition);
    EXPECT_EQ(on_sense(SenseKey::NotReady, 0x040b).backoff, Backoff::Standby);
    EXPECT_EQ(on_sense(SenseKey::NotReady, 0x040c).backoff, Backoff::Standby);
}

// Goal: what is final fails with the outcome that the block side needs.
TEST(Verdict, FinalAnswersCarryTheirOutcome) {
    struct Case {
        SenseKey key;
        int code;
        RequestKind kind;
        Outcome outcome;
    };
    const auto cases = std::to_array<Case>({
        {SenseKey::MediumError, 0x1100, RequestKind::Read, Outcome::MediumError},
        {SenseKey::BlankCheck, 0x0000, RequestKind::Read, Outcome::MediumError},
        {SenseKey::DataProtect, 0x2700, RequestKind::Write, Outcome::ReadOnly},
        {SenseKey::DataProtect, 0x2700, RequestKind::Discard, Outcome::ReadOnly},
        {SenseKey::DataProtect, 0x2707, RequestKind::Write, Outcome::NoSpace},
        {SenseKey::DataProtect, 0x7400, RequestKind::Read, Outcome::TargetFailure},
        {SenseKey::IllegalRequest, 0x2100, RequestKind::Read, Outcome::TargetFailure},
        {SenseKey::Miscompare, 0x1d00, RequestKind::Write, Outcome::TargetFailure},
        {SenseKey::VolumeOverflow, 0x0000, RequestKind::Write, Outcome::TargetFailure},
    });
    for (const Case& one : cases) {
        const Verdict judged = on_sense(one.key, one.code, {.kind = one.kind});
        EXPECT_EQ(judged.step, Step::Fail) << std::hex << one.code;
        EXPECT_EQ(judged.outcome, one.outcome) << std::hex << one.code;
        EXPECT_EQ(judged.sense.code(), one.code);
    }
    EXPECT_EQ(on_sense(SenseKey::RecoveredError, 0x1700).step, Step::Done);
    EXPECT_EQ(on_sense(SenseKey::Completed, 0x0000).step, Step::Done);
}

// Goal: errors that may pass are tried kTransientRetriesMax times, then fail with their own
// outcome.
TEST(Verdict, TransientErrorsAreTriedAFewTimes) {
    for (const auto& [key, outcome] : {std::pair{SenseKey::HardwareError, Outcome::TargetFailure},
                                       std::pair{SenseKey::MediumError, Outcome::MediumError},
                                       std::pair{SenseKey::AbortedCommand, Outcome::TargetFailure},
                                       std::pair{SenseKey::NoSense, Outcome::TargetFailure}}) {
        CommandContext context{};
        int tries = 0;
        Verdict judged = on_sense(key, 0x4400, context);
        while (judged.step != Step::Fail) {
            ++tries;
            context.counts.add(judged);
            judged = on_sense(key, 0x4400, context);
        }
        EXPECT_EQ(tries, kTransientRetriesMax);
        EXPECT_EQ(judged.outcome, outcome);
    }
}

// Goal: a request that waited long on a busy unit keeps all its tries for an aborted command.
TEST(Verdict, WaitingDoesNotUseUpTries) {
    CommandContext context{};
    for (int i = 0; i < 100; ++i) {
        context.counts.add(verdict({.status = Status::Busy}, context));
    }
    EXPECT_EQ(context.counts.retries, 100);
    EXPECT_EQ(on_sense(SenseKey::AbortedCommand, 0x0000, context).step, Step::RetryNow);
    context.counts = {.retries = UINT16_MAX, .transient_failures = UINT8_MAX};
    context.counts.add({.step = Step::RetryNow, .is_transient_failure = true});
    EXPECT_EQ(context.counts, (RetryCounts{UINT16_MAX, UINT8_MAX}));
}

// Goal: a unit that refuses an optional command turns that feature off; a plain read or write that
// is refused is a failure.
TEST(Verdict, RefusedFeaturesAreTurnedOff) {
    for (const int code : {0x2000, 0x2400, 0x2600}) {
        for (const RequestKind kind :
             {RequestKind::Flush, RequestKind::Discard, RequestKind::WriteZeroes}) {
            const Verdict judged = on_sense(SenseKey::IllegalRequest, code, {.kind = kind});
            EXPECT_EQ(judged.outcome, Outcome::Unsupported);
            EXPECT_TRUE(judged.feature_refused);
        }
        for (const RequestKind kind : {RequestKind::Read, RequestKind::Write}) {
            const Verdict judged = on_sense(SenseKey::IllegalRequest, code, {.kind = kind});
            EXPECT_EQ(judged.outcome, Outcome::TargetFailure);
            EXPECT_FALSE(judged.feature_refused);
        }
    }
    const CommandContext with_fua{.kind = RequestKind::Write, .force_unit_access = true};
    EXPECT_TRUE(on_sense(SenseKey::IllegalRequest, 0x2400, with_fua).feature_refused);
    EXPECT_FALSE(on_sense(SenseKey::IllegalRequest, 0x2000, with_fua).feature_refused);
}

// Goal: "logical unit not supported" is a unit that is not there now: looked for again, and merely
// waited for while the target asked us to log out.
// Rows: ASY-02
TEST(Verdict, AMissingUnitIsLookedForAgain) {
    const Verdict judged = on_sense(SenseKey::IllegalRequest, 0x2500);
    EXPECT_EQ(judged.step, Step::ReprobeThenRetry);
    EXPECT_EQ(judged.reprobe, Reprobe::LunList);
    EXPECT_EQ(on_sense(SenseKey::IllegalRequest, 0x2500, {.is_logging_out = true}).step,
              Step::RetryAfter);
}

// Goal: block transfers with a residual are not done, even with status GOOD; a flush or a discard
// has nothing to be short of.
// Rows: RES-04
TEST(Verdict, GoodWithAResidualIsNotDone) {
    for (const RequestKind kind : kKinds) {
        for (const Residual residual : {Residual::Underflow, Residual::Overflow}) {
            const CommandEnd end{.residual = residual, .residual_bytes = 512};
            const bool moves_blocks = kind != RequestKind::Flush && kind != RequestKind::Discard;
            EXPECT_EQ(verdict(end, {.kind = kind}).step,
                      moves_blocks ? Step::RetryNow : Step::Done);
            EXPECT_EQ(verdict({.residual = residual}, {.kind = kind}).step, Step::Done);
        }
    }
    auto segment = segment_with(sense(SenseKey::RecoveredError, 0x1700));
    const CommandEnd recovered{.status = Status::CheckCondition,
                               .residual = Residual::Underflow,
                               .residual_bytes = 1,
                               .data_segment = segment};
    EXPECT_EQ(verdict(recovered, {}).step, Step::RetryNow);
}

// Goal: iSCSI responses other than "completed" make status and sense meaningless; reserved ones
// break the protocol.
// Method: all 256 response codes.
// Rows: RSP-01, RSP-02
TEST(Verdict, ResponseCodesComeBeforeStatus) {
    for (int response = 1; response < 256; ++response) {
        const Verdict judged = verdict({.response = static_cast<std::uint8_t>(response),
                                        .status = Status::ReservationConflict},
                                       {});
        const bool is_reserved = response >= 0x02 && response <= 0x7f;
        EXPECT_EQ(judged.step, is_reserved ? Step::Violation : Step::RetryNow) << response;
    }
}

// Goal: CHECK CONDITION needs sense: none at all, or less than its length says, breaks the
// protocol; sense that we cannot read is a failure that may pass. Rows: PDU-20, RSP-03, RSP-08
TEST(Verdict, CheckConditionNeedsItsSense) {
    const auto judge = [](const std::vector<std::byte>& segment) {
        return verdict({.status = Status::CheckCondition, .data_segment = segment}, {});
    };
    EXPECT_EQ(judge({}).step, Step::Violation);
    EXPECT_EQ(judge(hex("00")).step, Step::Violation);
    EXPECT_EQ(judge(hex("ff ff 70 00 06")).step, Step::Violation);
    EXPECT_TRUE(judge(hex("00 00")).is_transient_failure);
    EXPECT_TRUE(judge(hex("00 03 7f 00 06")).is_transient_failure);
    EXPECT_TRUE(judge(hex("00 03 70 00 06")).step == Step::RetryNow);
}

// Goal: sense that comes with another status than CHECK CONDITION is not looked at: that belongs to
// RFC 7144, which is not negotiated.
// Rows: RSP-10
TEST(Verdict, SenseCountsWithCheckConditionOnly) {
    const auto segment = segment_with(sense(SenseKey::MediumError, 0x1100));
    for (int raw = 0; raw < 256; ++raw) {
        const auto status = static_cast<Status>(raw);
        if (status == Status::CheckCondition) continue;
        EXPECT_EQ(verdict({.status = status, .data_segment = segment}, {}),
                  verdict({.status = status}, {}));
    }
}

// Goal: deferred sense is about an earlier write: the command that carries it is sent again, the
// loss is reported, and a flush that carries it fails.
TEST(Verdict, DeferredSenseReportsALostWrite) {
    for (const RequestKind kind : kKinds) {
        SenseSummary lost = sense(SenseKey::MediumError, 0x0c00);
        lost.is_deferred = true;
        const Verdict judged = verdict_of_sense(lost, {.kind = kind});
        EXPECT_TRUE(judged.earlier_write_lost);
        EXPECT_EQ(judged.step, kind == RequestKind::Flush ? Step::Fail : Step::RetryNow);
        if (kind == RequestKind::Flush) {
            EXPECT_EQ(judged.outcome, Outcome::MediumError);
        }

        SenseSummary recovered = sense(SenseKey::RecoveredError, 0x0c01);
        recovered.is_deferred = true;
        const Verdict harmless = verdict_of_sense(recovered, {.kind = kind});
        EXPECT_FALSE(harmless.earlier_write_lost);
        EXPECT_EQ(harmless.step, Step::RetryNow);
    }
}

// Goal: every sense there is has a verdict that makes sense: failures have an outcome, nothing is
// both final and to be retried, and a violation never comes from sense.
// Method: 16 keys x 65536 codes x 5 kinds.
TEST(Verdict, EverySenseHasAVerdict) {
    for (int key = 0; key < 16; ++key) {
        for (int code = 0; code <= 0xffff; ++code) {
            for (const RequestKind kind : kKinds) {
                const Verdict judged =
                    verdict_of_sense(sense(static_cast<SenseKey>(key), code), {.kind = kind});
                ASSERT_NE(judged.step, Step::Violation);
                ASSERT_EQ(judged.step == Step::Fail, judged.outcome != Outcome::Done);
                ASSERT_EQ(judged.outcome == Outcome::Unsupported, judged.feature_refused);
                ASSERT_EQ(judged.sense.code(), code);
            }
        }
    }
}

// Goal: waits grow, never beyond two seconds, and are never zero, however often a request waited.
TEST(Backoff, DelaysGrowToTheirLimit) {
    for (const Backoff backoff : {Backoff::Short, Backoff::QueueFull, Backoff::Busy,
                                  Backoff::BecomingReady, Backoff::Transition, Backoff::Standby}) {
        Duration before{};
        for (int retries = 0; retries <= 0xffff; ++retries) {
            const Duration delay = backoff_delay(backoff, static_cast<std::uint16_t>(retries));
            ASSERT_GT(delay, Duration{});
            ASSERT_GE(delay, before);
            ASSERT_LE(delay, Duration::from_s(2));
            before = delay;
        }
    }
}

}  // namespace
}  // namespace holdfast::initiator::scsi
