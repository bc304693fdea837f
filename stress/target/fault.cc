#include "stress/target/fault.h"

#include <algorithm>

namespace holdfast::target {

bool acts_at_once(FaultKind kind) {
    switch (kind) {
    case FaultKind::Reset:
    case FaultKind::Close:
    case FaultKind::UnitAttention:
    case FaultKind::AsyncLogout:
    case FaultKind::AsyncDrop:
    case FaultKind::AsyncDropAll:
    case FaultKind::AsyncNegotiate:
    case FaultKind::AsyncSense:
    case FaultKind::AsyncVendor:
    case FaultKind::Redirect:
    case FaultKind::StopAnswering:
    case FaultKind::PowerCut:
    case FaultKind::Garbage:
    case FaultKind::Resize:
    case FaultKind::Ping: return true;
    case FaultKind::Delay:
    case FaultKind::Drop:
    case FaultKind::DropReply:
    case FaultKind::CloseAtByte:
    case FaultKind::CorruptHeaderDigest:
    case FaultKind::CorruptDataDigest:
    case FaultKind::CorruptData:
    case FaultKind::LosePdu:
    case FaultKind::Busy:
    case FaultKind::TaskSetFull:
    case FaultKind::ReservationConflict:
    case FaultKind::Check:
    case FaultKind::Reject:
    case FaultKind::HoldWrite: return false;
    }
    return false;
}

namespace {

/// Actions that mean something for SCSI commands only.
bool wants_command(FaultKind kind) {
    return kind == FaultKind::Busy || kind == FaultKind::TaskSetFull ||
           kind == FaultKind::ReservationConflict || kind == FaultKind::Check ||
           kind == FaultKind::DropReply;
}

bool is_timed(FaultRule::When when) {
    return when == FaultRule::When::At || when == FaultRule::When::Every ||
           when == FaultRule::When::Now;
}

bool op_fits(FaultOp wanted, const PduFacts& facts) {
    if (wanted == FaultOp::Any) return true;
    if (wanted == FaultOp::Command) return facts.is_command;
    return wanted == facts.op;
}

}  // namespace

bool strikes_without_pdu(const FaultRule& rule) {
    return is_timed(rule.when) && acts_at_once(rule.action.kind) && rule.op == FaultOp::Any &&
           !rule.lun;
}

void FaultPlan::add(FaultRule rule, Instant now) {
    Armed armed{.rule = std::move(rule)};
    armed.random = SplitMix64{armed.rule.seed};
    switch (armed.rule.when) {
    case FaultRule::When::At:
    case FaultRule::When::Every: armed.due = now + armed.rule.time; break;
    case FaultRule::When::Now: armed.waits = true; break;
    case FaultRule::When::AfterPdus:
    case FaultRule::When::EveryPdus:
    case FaultRule::When::Command:
    case FaultRule::When::EveryCommands:
    case FaultRule::When::Chance: break;
    }
    rules_.push_back(std::move(armed));
}

bool FaultPlan::fits(const FaultRule& rule, const PduFacts& facts) {
    if (rule.connection && *rule.connection != facts.connection) return false;
    if (rule.lun && (!facts.is_command || *rule.lun != facts.lun)) return false;
    if (wants_command(rule.action.kind) && !facts.is_command) return false;
    if (rule.action.kind == FaultKind::HoldWrite && facts.op != FaultOp::Write) return false;
    if (rule.action.kind == FaultKind::Reject && !facts.is_full_feature) return false;
    return op_fits(rule.op, facts);
}

bool FaultPlan::exhausted(const Armed& armed) {
    const bool once = armed.rule.when != FaultRule::When::Every &&
                      armed.rule.when != FaultRule::When::EveryPdus &&
                      armed.rule.when != FaultRule::When::EveryCommands &&
                      armed.rule.when != FaultRule::When::Chance;
    if (armed.rule.times != 0) return armed.struck >= armed.rule.times;
    return once && armed.struck != 0;
}

bool FaultPlan::strikes(Armed& armed, const PduFacts& facts) {
    const FaultRule& rule = armed.rule;
    if (exhausted(armed)) return false;
    if (is_timed(rule.when)) return armed.waits && fits(rule, facts);
    const bool counts_commands =
        rule.when == FaultRule::When::Command || rule.when == FaultRule::When::EveryCommands;
    if (counts_commands && !facts.is_command) return false;
    if (!fits(rule, facts)) return false;
    ++armed.seen;
    switch (rule.when) {
    case FaultRule::When::AfterPdus:
    case FaultRule::When::Command: return armed.seen >= rule.count;
    case FaultRule::When::EveryPdus:
    case FaultRule::When::EveryCommands: return armed.seen % rule.count == 0;
    case FaultRule::When::Chance:
        return static_cast<double>(armed.random.next() >> 11) * 0x1.0p-53 < rule.chance;
    case FaultRule::When::At:
    case FaultRule::When::Every:
    case FaultRule::When::Now: break;
    }
    return false;
}

std::vector<FaultAction> FaultPlan::on_pdu(const PduFacts& facts) {
    std::vector<FaultAction> actions;
    for (Armed& armed : rules_) {
        if (!strikes(armed, facts)) continue;
        ++armed.struck;
        armed.waits = false;
        actions.push_back(armed.rule.action);
    }
    std::erase_if(rules_, [](const Armed& armed) {
        return armed.rule.when != FaultRule::When::Every && exhausted(armed);
    });
    return actions;
}

std::vector<FaultAction> FaultPlan::on_time(Instant now) {
    std::vector<FaultAction> actions;
    for (Armed& armed : rules_) {
        if (now < armed.due || exhausted(armed)) continue;
        armed.due = armed.rule.when == FaultRule::When::Every ? armed.due + armed.rule.time
                                                              : Instant::never();
        if (strikes_without_pdu(armed.rule)) {
            ++armed.struck;
            actions.push_back(armed.rule.action);
        } else {
            armed.waits = true;
        }
    }
    return actions;
}

Instant FaultPlan::next_wake() const {
    Instant next = Instant::never();
    for (const Armed& armed : rules_) {
        if (!exhausted(armed)) next = earlier(next, armed.due);
    }
    return next;
}

}  // namespace holdfast::target
