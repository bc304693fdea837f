#include "initiator/scsi/verdict.h"

#include <algorithm>
#include <array>

namespace holdfast::initiator::scsi {

namespace {

/// What a row of the table does.
enum class Action : std::uint8_t {
    Accept,     ///< The command was done.
    Again,      ///< The command was not done for a reason that is over by now.
    Wait,       ///< It will pass; `backoff`.
    Read,       ///< Something changed; `reprobe`, then again.
    Transient,  ///< It should pass: a few tries, then `outcome`.
    Final,      ///< `outcome`.
    Refused,    ///< Not a command of this unit; depends on what was asked.
    Protected,  ///< Writing is not allowed; depends on what was asked.
    NoUnit,     ///< No unit behind the LUN, now.
};

/// Matches every code or qualifier.
constexpr std::int16_t kAny = -1;

struct Rule {
    SenseKey key;
    std::int16_t asc = kAny;
    std::int16_t ascq = kAny;
    Action action = Action::Final;
    Backoff backoff = Backoff::Short;
    Reprobe reprobe = Reprobe::Capacity;
    Outcome outcome = Outcome::TargetFailure;
    bool others_cleared = false;
};

using enum Action;
using enum SenseKey;

/// First match wins. Codes: SPC-4 table 50 and annex F; the iSCSI ones: RFC 7143 section 11.4.7.2.
constexpr auto kRules = std::to_array<Rule>({
    {.key = NoSense, .action = Transient},
    {.key = RecoveredError, .action = Accept},
    // Logical unit not ready, because: asymmetric access transition, standby, unavailable.
    {.key = NotReady, .asc = 0x04, .ascq = 0x0a, .action = Wait, .backoff = Backoff::Transition},
    {.key = NotReady, .asc = 0x04, .ascq = 0x0b, .action = Wait, .backoff = Backoff::Standby},
    {.key = NotReady, .asc = 0x04, .ascq = 0x0c, .action = Wait, .backoff = Backoff::Standby},
    // Medium not present: the target lost its backing store and may get it back.
    {.key = NotReady, .asc = 0x3a, .action = Wait, .backoff = Backoff::Standby},
    {.key = NotReady, .action = Wait, .backoff = Backoff::BecomingReady},
    // Unrecovered read error, address mark not found: the unit has tried already.
    {.key = MediumError, .asc = 0x11, .outcome = Outcome::MediumError},
    {.key = MediumError, .asc = 0x13, .outcome = Outcome::MediumError},
    {.key = MediumError, .asc = 0x14, .outcome = Outcome::MediumError},
    {.key = MediumError, .action = Transient, .outcome = Outcome::MediumError},
    {.key = HardwareError, .action = Transient},
    // Invalid operation code, field in CDB, field in parameter list.
    {.key = IllegalRequest, .asc = 0x20, .action = Refused},
    {.key = IllegalRequest, .asc = 0x24, .action = Refused},
    {.key = IllegalRequest, .asc = 0x26, .action = Refused},
    {.key = IllegalRequest, .asc = 0x25, .action = NoUnit},
    {.key = IllegalRequest},
    // Not ready to ready: there may be another medium.
    {.key = UnitAttention, .asc = 0x28, .action = Read, .reprobe = Reprobe::Identity},
    // Reset or power on; commands cleared by another initiator; cleared by an iSCSI event.
    {.key = UnitAttention, .asc = 0x29, .action = Again, .others_cleared = true},
    {.key = UnitAttention, .asc = 0x2f, .action = Again, .others_cleared = true},
    {.key = UnitAttention, .asc = 0x47, .ascq = 0x7f, .action = Again, .others_cleared = true},
    // Mode parameters changed; implicit transition failed; capacity changed.
    {.key = UnitAttention, .asc = 0x2a, .ascq = 0x01, .action = Read, .reprobe = Reprobe::Modes},
    {.key = UnitAttention,
     .asc = 0x2a,
     .ascq = 0x07,
     .action = Wait,
     .backoff = Backoff::Transition},
    {.key = UnitAttention, .asc = 0x2a, .ascq = 0x09, .action = Read},
    // Microcode, operating definition, inquiry data, identifier changed; LUNs changed.
    {.key = UnitAttention, .asc = 0x3f, .ascq = 0x01, .action = Read, .reprobe = Reprobe::Identity},
    {.key = UnitAttention, .asc = 0x3f, .ascq = 0x02, .action = Read, .reprobe = Reprobe::Identity},
    {.key = UnitAttention, .asc = 0x3f, .ascq = 0x03, .action = Read, .reprobe = Reprobe::Identity},
    {.key = UnitAttention, .asc = 0x3f, .ascq = 0x05, .action = Read, .reprobe = Reprobe::Identity},
    {.key = UnitAttention, .asc = 0x3f, .ascq = 0x0e, .action = Read, .reprobe = Reprobe::LunList},
    {.key = UnitAttention, .action = Again},
    // Space allocation failed write protect: a thin unit is full.
    {.key = DataProtect, .asc = 0x27, .ascq = 0x07, .outcome = Outcome::NoSpace},
    {.key = DataProtect, .action = Protected},
    {.key = BlankCheck, .outcome = Outcome::MediumError},
    {.key = VendorSpecific, .action = Transient},
    {.key = CopyAborted},
    // Among them the iSCSI conditions 0Ch/0Ch, 0Ch/0Dh, 47h/05h, 11h/13h: reissue as a new command.
    {.key = AbortedCommand, .action = Transient},
    {.key = Reserved, .action = Transient},
    {.key = VolumeOverflow},
    {.key = Miscompare},
    {.key = Completed, .action = Accept},
});

[[nodiscard]] constexpr bool matches(const Rule& rule, const SenseSummary& sense) noexcept {
    return rule.key == sense.key && (rule.asc == kAny || rule.asc == sense.asc) &&
           (rule.ascq == kAny || rule.ascq == sense.ascq);
}

[[nodiscard]] constexpr bool every_key_has_a_last_rule() noexcept {
    for (std::uint8_t key = 0; key < 16; ++key) {
        const bool found = std::ranges::any_of(kRules, [key](const Rule& rule) {
            return rule.key == static_cast<SenseKey>(key) && rule.asc == kAny && rule.ascq == kAny;
        });
        if (!found) return false;
    }
    return true;
}
static_assert(every_key_has_a_last_rule());

[[nodiscard]] Verdict again(const CommandContext& context) noexcept {
    const bool may_spin = context.counts.retries >= kImmediateRetriesMax;
    return {.step = may_spin ? Step::RetryAfter : Step::RetryNow};
}

[[nodiscard]] Verdict after(Backoff backoff) noexcept {
    return {.step = Step::RetryAfter, .backoff = backoff};
}

[[nodiscard]] Verdict failed(Outcome outcome) noexcept {
    return {.step = Step::Fail, .outcome = outcome};
}

/// A few tries, the first at once, then `outcome`.
[[nodiscard]] Verdict transient(const CommandContext& context, Outcome outcome) noexcept {
    const std::uint8_t failures = context.counts.transient_failures;
    if (failures >= kTransientRetriesMax) return failed(outcome);
    return {.step = failures == 0 ? Step::RetryNow : Step::RetryAfter,
            .is_transient_failure = true};
}

/// ILLEGAL REQUEST about the command itself. A plain read or write has nothing to fall back to.
[[nodiscard]] Verdict refused(const SenseSummary& sense, const CommandContext& context) noexcept {
    constexpr std::uint8_t kInvalidField = 0x24;
    const bool is_plain = context.kind == RequestKind::Read ||
                          (context.kind == RequestKind::Write &&
                           !(context.force_unit_access && sense.asc == kInvalidField));
    if (is_plain) return failed(Outcome::TargetFailure);
    return {.step = Step::Fail, .outcome = Outcome::Unsupported, .feature_refused = true};
}

/// No unit behind the LUN. A target that restarts takes logins before it has its units back, and
/// one that moves a volume answers so while it waits for our logout (conformance ASY-02).
[[nodiscard]] Verdict no_unit(const CommandContext& context) noexcept {
    if (context.is_logging_out) return after(Backoff::Busy);
    return {.step = Step::ReprobeThenRetry, .reprobe = Reprobe::LunList};
}

/// GOOD, or as good as that. Block transfers are all or nothing (conformance RES-04).
[[nodiscard]] Verdict accepted(const CommandEnd& end, const CommandContext& context) noexcept {
    const bool moves_blocks =
        context.kind != RequestKind::Flush && context.kind != RequestKind::Discard;
    const bool is_short = end.residual != Residual::None && end.residual_bytes != 0;
    if (moves_blocks && is_short) return transient(context, Outcome::TargetFailure);
    return {};
}

[[nodiscard]] Verdict apply(const Rule& rule, const SenseSummary& sense,
                            const CommandContext& context) noexcept {
    switch (rule.action) {
    case Accept: return {};
    case Again: return again(context);
    case Wait: return after(rule.backoff);
    case Read: return {.step = Step::ReprobeThenRetry, .reprobe = rule.reprobe};
    case Transient: return transient(context, rule.outcome);
    case Final: return failed(rule.outcome);
    case Refused: return refused(sense, context);
    case Protected:
        return failed(context.kind == RequestKind::Read ? Outcome::TargetFailure
                                                        : Outcome::ReadOnly);
    case NoUnit: return no_unit(context);
    }
    return failed(Outcome::TargetFailure);
}

[[nodiscard]] const Rule& rule_for(const SenseSummary& sense) noexcept {
    // The static_assert above promises a match.
    return *std::ranges::find_if(kRules,
                                 [&sense](const Rule& rule) { return matches(rule, sense); });
}

/// Deferred sense: the command that carries it was not executed, and is sent again; only a flush
/// has to tell what it is about, because it promised the earlier writes.
[[nodiscard]] Verdict deferred(const SenseSummary& sense, const CommandContext& context) noexcept {
    const Rule& rule = rule_for(sense);
    const bool is_loss = rule.action == Transient || rule.action == Final ||
                         rule.action == Protected || rule.action == Refused;
    Verdict judged = again(context);
    if (is_loss && sense.key != NoSense) {
        judged.earlier_write_lost = true;
        if (context.kind == RequestKind::Flush) {
            judged.step = Step::Fail;
            judged.outcome = rule.action == Protected ? Outcome::ReadOnly : rule.outcome;
        }
    }
    return judged;
}

[[nodiscard]] Verdict check_condition(const CommandEnd& end,
                                      const CommandContext& context) noexcept {
    // RFC 7143 section 7.7: CHECK CONDITION without sense is a format error.
    if (end.data_segment.empty()) return {.step = Step::Violation};
    const auto bytes = sense_in_response(end.data_segment);
    if (!bytes) return {.step = Step::Violation};
    const auto sense = parse_sense(*bytes);
    if (!sense) return transient(context, Outcome::TargetFailure);
    Verdict judged = verdict_of_sense(*sense, context);
    if (judged.step == Step::Done) judged = accepted(end, context);
    judged.sense = *sense;
    return judged;
}

}  // namespace

Verdict verdict_of_sense(const SenseSummary& sense, const CommandContext& context) noexcept {
    Verdict judged{};
    if (sense.is_deferred) {
        judged = deferred(sense, context);
    } else {
        const Rule& rule = rule_for(sense);
        judged = apply(rule, sense, context);
        judged.others_cleared = rule.others_cleared;
    }
    judged.sense = sense;
    return judged;
}

Verdict verdict(const CommandEnd& end, const CommandContext& context) noexcept {
    constexpr std::uint8_t kCompletedAtTarget = 0x00;
    constexpr std::uint8_t kTargetFailure = 0x01;
    constexpr std::uint8_t kVendorFirst = 0x80;
    if (end.response == kTargetFailure || end.response >= kVendorFirst) {
        return transient(context, Outcome::TargetFailure);
    }
    if (end.response != kCompletedAtTarget) return {.step = Step::Violation};
    switch (end.status) {
    case Status::Good:
    case Status::ConditionMet: return accepted(end, context);
    case Status::CheckCondition: return check_condition(end, context);
    case Status::Busy:
    case Status::AcaActive: return after(Backoff::Busy);
    case Status::TaskSetFull: return after(Backoff::QueueFull);
    case Status::ReservationConflict: return failed(Outcome::ReservationConflict);
    case Status::TaskAborted: return again(context);
    case Status::Intermediate:  // Of linked commands, which we never send.
    case Status::IntermediateConditionMet:
    case Status::CommandTerminated: break;
    }
    return transient(context, Outcome::TargetFailure);
}

Duration backoff_delay(Backoff backoff, std::uint16_t retries) noexcept {
    const auto doubling = [retries](std::int64_t first_ms, std::int64_t most_ms) {
        const std::uint16_t doublings = std::min<std::uint16_t>(retries, 16);
        return Duration::from_ms(std::min(first_ms << doublings, most_ms));
    };
    switch (backoff) {
    case Backoff::Short: return doubling(20, 1000);
    case Backoff::QueueFull: return doubling(10, 500);
    case Backoff::Busy: return doubling(50, 2000);
    case Backoff::BecomingReady: return Duration::from_s(1);
    case Backoff::Transition: return doubling(200, 1000);
    case Backoff::Standby: return Duration::from_s(2);
    }
    return Duration::from_s(1);
}

}  // namespace holdfast::initiator::scsi
