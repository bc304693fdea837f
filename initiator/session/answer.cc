// Session: how commands end, and what that means for requests.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// GOOD with bytes missing: so many tries, then the request fails (conformance RED-11).
constexpr std::uint16_t kShortAnswersMax = 3;
/// When the unit says that it dropped commands of others, what is still out gets this long.
constexpr Duration kSuspectPatience = Duration::from_s(5);
/// Commands that end well before one more may be out at once, after TASK SET FULL.
constexpr std::uint32_t kDonePerRaise = 16;
/// A request that waits for a new probe, or for the logout that the target wants, rests so long.
constexpr Duration kRestForProbe = Duration::from_ms(20);
/// Profiles that do not wait for ever try a request for so many command time-outs.
constexpr int kPatienceCommands = 6;

}  // namespace

scsi::Residual Session::residual_of(Residual residual) noexcept {
    switch (residual.kind) {
    case ResidualKind::None: return scsi::Residual::None;
    case ResidualKind::Underflow: return scsi::Residual::Underflow;
    case ResidualKind::Overflow: return scsi::Residual::Overflow;
    }
    return scsi::Residual::None;
}

void Session::on_answer(Instant now, Task& task, const scsi::CommandEnd& end) noexcept {
    HF_ASSERT(task.state == TaskState::Sent);
    if (tasks_.is_probe(task)) {
        const std::uint32_t got_bytes = task.received.contiguous_bytes();
        tasks_.set_state(task, TaskState::Free);
        if (probe_use_ != ProbeUse::Facts) {
            return on_reservation_step(now, reservation_.on_result(end, task.in.first(got_bytes)));
        }
        return on_probe_step(now, task, probe_.on_result(tasks_.place_of(task), end, got_bytes));
    }
    on_request_answer(now, task, end);
}

void Session::on_request_answer(Instant now, Task& task, const scsi::CommandEnd& end) noexcept {
    const std::uint32_t underflow =
        end.residual == scsi::Residual::Underflow ? end.residual_bytes : 0;
    if (underflow > task.transfer_bytes) {  // RES-03: nonsense, but harmless.
        ++counters_.violations;
        note(NoticeKind::PeerViolation, static_cast<std::uint64_t>(Violation::ResidualImpossible));
        return complete(task, Outcome::TargetFailure);
    }
    const scsi::CommandContext context{
        .kind = task.part == TaskPart::CacheFlush ? RequestKind::Flush : task.request.kind,
        .force_unit_access = task.force_unit_access,
        .is_logging_out = departure_ == Departure::AskedByTarget,
        .counts = task.counts};
    const scsi::Verdict verdict = scsi::verdict(end, context);
    const bool is_short = task.direction == DataDirection::Read &&
                          task.received.contiguous_bytes() < task.transfer_bytes;
    if (verdict.step == scsi::Step::Done && is_short && !is_sabotaged(Sabotage::TrustGood)) {
        ++counters_.violations;
        note(NoticeKind::PeerViolation,
             static_cast<std::uint64_t>(Violation::DataInBeforeStatusMissing));
        if (++task.short_answers > kShortAnswersMax) {
            return complete(task, Outcome::TargetFailure);
        }
        return retry(now, task, Duration{});
    }
    on_verdict(now, task, verdict);
}

void Session::on_verdict(Instant now, Task& task, const scsi::Verdict& verdict) noexcept {
    const bool is_news = verdict.others_cleared && !std::exchange(is_attention_due_, false);
    if (is_news) suspect_others(now);
    if (verdict.earlier_write_lost) is_write_lost_ = true;
    const bool is_again = verdict.step == scsi::Step::RetryNow ||
                          verdict.step == scsi::Step::RetryAfter ||
                          verdict.step == scsi::Step::ReprobeThenRetry;
    if (is_again) {
        note(NoticeKind::RetryByStatus, task.index, verdict.sense.for_notice());
        if (verdict.backoff == scsi::Backoff::QueueFull) lower_send_limit();
    }
    switch (verdict.step) {
    case scsi::Step::Done: return on_done(now, task);
    case scsi::Step::RetryNow: task.counts.add(verdict); return retry(now, task, Duration{});
    case scsi::Step::RetryAfter: {
        const Duration rest = scsi::backoff_delay(verdict.backoff, task.counts.retries);
        task.counts.add(verdict);
        return retry(now, task, rest);
    }
    case scsi::Step::ReprobeThenRetry:
        task.counts.add(verdict);
        retry(now, task, kRestForProbe);
        if (!is_probing_) start_probe(now);
        return;
    case scsi::Step::Fail:
        if (verdict.feature_refused && on_refused_feature(task)) {
            return retry(now, task, Duration{});
        }
        note(NoticeKind::RequestFailed, static_cast<std::uint64_t>(verdict.outcome),
             verdict.sense.for_notice());
        return complete(task, verdict.outcome);
    case scsi::Step::Violation:
        return on_violation(connection_of(task), now, Violation::SenseMalformed);
    }
}

void Session::on_done(Instant now, Task& task) noexcept {
    losses_in_row_ = 0;
    if (send_limit_ < limits_.depth && ++done_since_full_ >= kDonePerRaise) {
        done_since_full_ = 0;
        ++send_limit_;
    }
    const bool needs_flush = task.request.kind == RequestKind::Write &&
                             task.request.force_unit_access && !task.force_unit_access &&
                             task.part == TaskPart::Main && facts_.write_cache;
    if (needs_flush) {
        task.part = TaskPart::CacheFlush;
        task.counts = {};
        return retry(now, task, Duration{});
    }
    const bool is_flush =
        task.request.kind == RequestKind::Flush || task.part == TaskPart::CacheFlush;
    if (is_flush && is_write_lost_) {
        // The unit told of a lost write when something else was asked: this flush promised it.
        is_write_lost_ = false;
        return complete(task, Outcome::MediumError);
    }
    complete(task, Outcome::Done);
}

/// The unit refuses what it advertised. True when the request can be done in another way.
bool Session::on_refused_feature(Task& task) noexcept {
    const bool is_flush =
        task.request.kind == RequestKind::Flush || task.part == TaskPart::CacheFlush;
    if (is_flush) return !std::exchange(is_long_flush_, true);
    switch (task.request.kind) {
    case RequestKind::Write: return std::exchange(facts_.can_force_unit_access, false);
    case RequestKind::Discard: facts_.can_unmap = false; return false;
    case RequestKind::WriteZeroes:
        if (std::exchange(facts_.can_write_same_unmap, false)) return true;
        facts_.can_write_same = false;
        return false;
    case RequestKind::Read:
    case RequestKind::Flush: return false;
    }
    return false;
}

/// Sends the request again, as a new command, after `rest`. The old one is over at the target.
void Session::retry(Instant now, Task& task, Duration rest) noexcept {
    HF_ASSERT(task.state == TaskState::Sent);
    ++counters_.retries;
    Instant end = task.submitted + config_.timers.replacement;  // Saturates: for ever.
    for (int i = 0; i < kPatienceCommands; ++i) end = end + config_.timers.command;
    if (end <= now) return complete(task, Outcome::TimedOut);
    if (rest == Duration{}) return tasks_.set_ready_in_order(task);
    task.retry_at = now + rest;
    tasks_.set_state(task, TaskState::Resting);
}

void Session::lower_send_limit() noexcept {
    done_since_full_ = 0;
    send_limit_ = std::max<std::uint32_t>(1, std::min(send_limit_, tasks_.sent_count()) / 2);
}

/// The unit dropped commands without answering them; ours may be among them. Their time-outs come
/// closer: sent_at is moved back, which keeps the lists in order.
void Session::suspect_others(Instant now) noexcept {
    const auto judge_sooner = [now](TaskList& list, Duration patience) {
        const Instant latest = now + (kSuspectPatience - patience);
        for (Task& task : list) task.sent_at = std::min(task.sent_at, latest);
    };
    judge_sooner(tasks_.sent_short, config_.timers.command);
    judge_sooner(tasks_.sent_patient, config_.timers.flush);
}

}  // namespace holdfast::initiator
