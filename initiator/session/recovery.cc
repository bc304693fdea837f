// Session: loss and what follows, the ladder, logout, the end.
#include <algorithm>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

void Session::conn_event(Connection& conn, ConnEvent event) noexcept {
    const auto step_taken = step(conn.state, event);
    HF_ASSERT(step_taken.has_value());  // What peers can cause is checked before.
    recorder_.on_step(conn.index.raw(), conn.state, *step_taken, event);
    conn.state = step_taken->to;
    if (conn.state == ConnState::CleanupWait) {
        // The next connection is another instance; this one goes through the cleanup diagram.
        conn.cleanup = CleanupState::CleanupWait;
        conn.state = ConnState::Free;
    }
}

void Session::cleanup_event(Connection& conn, CleanupEvent event) noexcept {
    const auto step_taken = step(conn.cleanup, event);
    HF_ASSERT(step_taken.has_value());
    recorder_.on_step(conn.index.raw(), conn.cleanup, *step_taken, event);
    conn.cleanup = step_taken->to;
}

void Session::session_event(SessionEvent event) noexcept {
    const auto step_taken = step(session_, event);
    HF_ASSERT(step_taken.has_value());
    recorder_.on_step(session_, *step_taken, event);
    session_ = step_taken->to;
}

/// The session cannot go on. Nothing is sent or taken in any more; tasks stay as they are until the
/// transport has let go of their buffers.
void Session::lose(Instant now, LossReason reason) noexcept {
    if (!has_transport()) return;
    const AfterLeaving after = after_loss();
    on_loss(now, reason);
    leave(OrderKind::Reset, after);
    leave_if_alone(now);
}

/// The session may be lost while none of its connections is there.
void Session::leave_if_alone(Instant now) noexcept {
    const bool is_alone = std::ranges::none_of(conns_, &Connection::has_link);
    if (stage_ == Stage::Leaving && is_alone) on_transports_gone(now);
}

/// A logout that was already under way is not tried again on a new session.
Session::AfterLeaving Session::after_loss() const noexcept {
    const bool is_logging_out = std::ranges::any_of(
        conns_, [](const Connection* conn) { return conn->state == ConnState::InLogout; });
    const bool is_last_step = departure_ == Departure::Stopping && is_logging_out;
    return is_last_step ? AfterLeaving::Stop : AfterLeaving::Reconnect;
}

void Session::on_loss(Instant now, LossReason reason) noexcept {
    const bool was_up = is_full_feature();
    note(NoticeKind::SessionLost, static_cast<std::uint64_t>(reason), counters_.requests_in_flight);
    if (was_up) {
        ++counters_.sessions_lost;
        if (session_ == SessionState::LoggedIn) session_event(SessionEvent::Failure);
        time2wait_ = std::max(time2wait_, Duration::from_s(agreed_.time2wait_s));
        if (stage_ == Stage::Ready) lost_at_ = now;
    } else {
        for (Connection* const conn : conns_) {
            if (conn->cleanup != CleanupState::InCleanup) continue;
            cleanup_event(*conn, CleanupEvent::LogoutFailed);
        }
        portal_.on_failed(config_);
    }
    if (was_ready_ && deadlines_.replacement.is_never() && !is_failing_fast_) {
        deadlines_.replacement = now + config_.timers.replacement;
    }
}

/// Ends every connection; what follows begins when the last transport is gone.
void Session::leave(OrderKind how, AfterLeaving after) noexcept {
    HF_ASSERT(has_transport());
    stop_everything();
    stage_ = Stage::Leaving;
    after_leaving_ = after;
    for (Connection* const conn : conns_) {
        if (!conn->has_link || conn->is_leaving) continue;
        conn->is_leaving = true;
        const auto event =
            how == OrderKind::Close ? ConnEvent::SessionLoggedOut : ConnEvent::TransportLost;
        if (conn->state != ConnState::Free) conn_event(*conn, event);
        order(*conn, how);
    }
}

/// Disarms whatever belongs to the session's connections.
void Session::stop_everything() noexcept {
    if (is_probing_) stop_probe();
    for (Connection* const conn : conns_) {
        conn->disarm();
        stop_reinstatement(*conn);
    }
    counters_.connections = 0;
    counters_.connections_agreed = 0;
    counters_.error_recovery_level = 0;
    if (is_fence_rung_) ++fence_failures_;
    is_fence_rung_ = false;
    rung_ = Rung::None;
    rung_unsent_ = false;
    for (Instant* at : {&deadlines_.fence, &deadlines_.task_management,
                        &deadlines_.task_management_again, &deadlines_.window}) {
        *at = Instant::never();
    }
    if (departure_ == Departure::AskedByTarget) {
        departure_ = Departure::None;
        deadlines_.settle = Instant::never();
    }
}

void Session::transport_lost(Connection& conn, Instant now) noexcept {
    if (!conn.has_link) return;
    if (is_being_added(conn) && !conn.is_leaving) {
        conn_event(conn, ConnEvent::TransportLost);
        on_add_failed(conn, now);
    } else if (!conn.is_leaving) {
        if (conn.state == ConnState::InLogin && conn.login->on_transport_lost()) {
            is_md5_only_ = true;
        }
        // Some targets agree to a level and hang up at the first SNACK (ER1-16).
        if (conn.repair.is_unanswered) distrust_level();
        if (may_reinstate(conn)) {
            on_connection_lost(conn, now, LossReason::TransportLost, std::nullopt);
        } else {
            const AfterLeaving after = after_loss();
            on_loss(now, LossReason::TransportLost);
            conn.is_leaving = true;
            conn_event(conn, ConnEvent::TransportLost);
            leave(OrderKind::Reset, after);
        }
    }
    return_loans(conn);
    conn.on_transport_gone();
    if (conn.reinstatement.step == Comeback::Leaving) return on_lost_transport_gone(conn, now);
    leave_if_alone(now);
}

/// Whatever the transport had borrowed is free.
void Session::return_loans(Connection& conn) noexcept {
    conn.receiving.reset();
    conn.ring.sent(conn.ring.waiting_bytes());
    conn.ring.released(conn.ring.held_bytes());
    std::uint16_t owner = TransmitRing::kNobody;
    while (conn.ring.release(owner) == TransmitRing::Release::Owner) return_loan(owner);
}

/// No transport holds anything of ours any more: now buffers may change hands.
void Session::on_transports_gone(Instant now) noexcept {
    HF_ASSERT(stage_ == Stage::Leaving);
    tasks_.use_leading_only();
    requeue_all(now);
    const bool is_over = departure_ == Departure::Stopping && is_settled();
    if (is_over || after_leaving_ == AfterLeaving::Stop) return end_session();
    switch (after_leaving_) {
    case AfterLeaving::ConnectAtOnce: return connect(leading(), now);
    case AfterLeaving::GiveUp: return give_up();
    case AfterLeaving::Reconnect:
    case AfterLeaving::Stop: break;
    }
    schedule_reconnect(now);
}

void Session::requeue_all(Instant now) noexcept {
    for (Task& task : tasks_.requests()) {
        HF_ASSERT(task.loans == 0 && task.state != TaskState::Ending);
        task.allegiance = Allegiance::Settled;
        // The flush that was to make a write durable would flush nothing on a restarted target.
        task.part = TaskPart::Main;
        if (task.state != TaskState::Sent) continue;
        if (changes_the_unit(task.request.kind)) {
            is_fence_needed_ = true;
            fence_from_ = now;
        }
        ++counters_.retries;
        tasks_.set_ready_in_order(task);
        if (is_sabotaged(Sabotage::CompleteOnLoss)) {
            complete(task, Outcome::Done);
            continue;
        }
        if (is_failing_fast_) complete(task, is_other_device_ ? Outcome::Gone : Outcome::TimedOut);
    }
    HF_ASSERT(tasks_.sent_count() == 0);
}

void Session::schedule_reconnect(Instant now) noexcept {
    // The first try is immediate: most losses are a cable or a restart that is over soon.
    Duration wait{};
    if (losses_in_row_ > 0) {
        wait = config_.timers.reconnect_min;
        for (int i = 1; i < losses_in_row_ && wait < config_.timers.reconnect_max; ++i) {
            wait = std::min(wait + wait, config_.timers.reconnect_max);
        }
    }
    wait = std::max(wait, time2wait_);
    time2wait_ = Duration{};
    if (losses_in_row_ != UINT16_MAX) ++losses_in_row_;
    if (!was_ready_ && deadlines_.attach <= now + wait) return give_up();
    note(NoticeKind::ConnectFailed, losses_in_row_, static_cast<std::uint64_t>(wait.ms()));
    stage_ = Stage::Waiting;
    deadlines_.reconnect = now + wait;
}

void Session::give_up() noexcept {
    HF_ASSERT(!was_ready_);
    deadlines_ = Deadlines{};
    stage_ = Stage::Ended;
    order(OrderKind::GaveUp);
}

void Session::end_session() noexcept {
    deadlines_ = Deadlines{};
    fail_waiting(Outcome::Gone);
    stage_ = Stage::Ended;
    order(OrderKind::Stopped);
}

void Session::stop(Instant now) noexcept {
    if (stage_ == Stage::Ended) return;
    if (stage_ == Stage::Idle) return end_session();
    const bool is_second = departure_ == Departure::Stopping;
    departure_ = Departure::Stopping;
    if (is_second || !was_ready_ || (stage_ != Stage::Ready && is_settled())) return hurry(now);
    deadlines_.settle = now + config_.timers.logout;
    on_departure_progress(now);
}

/// The end without the target's consent.
void Session::hurry(Instant now) noexcept {
    if (stage_ == Stage::Leaving) {
        after_leaving_ = AfterLeaving::Stop;
    } else if (has_transport()) {
        if (session_ == SessionState::LoggedIn) session_event(SessionEvent::Failure);
        leave(OrderKind::Reset, AfterLeaving::Stop);
        leave_if_alone(now);
    } else {
        end_session();
    }
}

/// Asked for by the target, within so much time. Another request buys no extra time (T12, T14).
void Session::on_logout_asked(Connection& conn, Instant now, Duration within) noexcept {
    conn_event(conn, ConnEvent::LogoutAskedByTarget);
    if (departure_ != Departure::None) return;
    departure_ = Departure::AskedByTarget;
    // Half for outstanding answers, half for the logout itself.
    const Duration bound = std::min(within, config_.timers.logout);
    deadlines_.settle = now + Duration::from_ns(bound.ns() / 2);
    on_departure_progress(now);
}

void Session::on_departure_progress(Instant now) noexcept {
    if (departure_ == Departure::None) return;
    const bool is_late = deadlines_.settle <= now;
    const bool may_log_out =
        departure_ == Departure::Stopping ? stage_ == Stage::Ready : is_full_feature();
    Connection& conn = working();
    if (!may_log_out || !conn.is_full_feature()) {
        if (is_late) hurry(now);
        return;
    }
    if (conn.state == ConnState::InLogout) return;
    const bool is_quiet =
        departure_ == Departure::Stopping ? is_settled() : tasks_.sent_count() == 0;
    if (!is_quiet && !is_late) return;
    if (departure_ == Departure::Stopping && is_key_active_ && !is_late) {
        if (!is_probing_) leave_reservation(now);
        return;
    }
    conn_event(conn, ConnEvent::LogoutWanted);
    conn.is_logout_unsent = true;
    deadlines_.settle = Instant::never();
    conn.logout_by = now + config_.timers.logout;
}

void Session::on_logged_out(Connection& conn) noexcept {
    conn_event(conn, ConnEvent::LogoutAccepted);
    session_event(SessionEvent::Closed);
    const bool is_end = departure_ == Departure::Stopping;
    leave(OrderKind::Close, is_end ? AfterLeaving::Stop : AfterLeaving::ConnectAtOnce);
}

void Session::on_command_timeout(Instant now, Task& task) noexcept {
    task.timed_out = true;
    note(NoticeKind::CommandTimeout, task.index,
         static_cast<std::uint64_t>((now - task.sent_at).ms()));
    if (tasks_.is_probe(task)) return lose(now, LossReason::TaskManagementFailed);
    if (is_sabotaged(Sabotage::RetryWhileOut)) return retry(now, task, Duration{});
    aborted_itt_ = TaskTable::itt_of(task);
    aborted_cmd_sn_ = task.cmd_sn;
    aborted_conn_ = task.conn;
    climb(now, RungEvent::CommandTimedOut);
}

void Session::start_rung(Instant now, Rung rung) noexcept {
    HF_ASSERT(rung != Rung::None);
    rung_ = rung;
    rung_unsent_ = true;
    // Section 4.2.5.1.
    rung_conn_ = rung == Rung::AbortTask ? aborted_conn_ : working().index.raw();
    rung_itt_ = next_auxiliary_itt(kManagementSlot);
    Duration patience = config_.timers.abort_task;
    if (rung == Rung::UnitReset) patience = config_.timers.lun_reset;
    if (rung == Rung::TargetReset) patience = config_.timers.target_reset;
    deadlines_.task_management = now + patience;
}

void Session::climb(Instant now, RungEvent event) noexcept {
    if (rung_ == Rung::UnitReset) {
        if (event == RungEvent::Complete) has_reset_unit_ = Told::Yes;
        if (event == RungEvent::Refused) has_reset_unit_ = Told::No;
        if (stage_ == Stage::Ready) counters_.fence = reliance();
    }
    if (is_fence_rung_) return on_fence_answer(now, event);
    const RungStep taken = step(rung_, event, config_.owns_unit_alone);
    if (taken.to == Rung::None) {
        rung_ = Rung::None;
        rung_unsent_ = false;
        deadlines_.task_management = Instant::never();
        deadlines_.task_management_again = Instant::never();
    }
    if (taken.action == RungAction::RetryTask || taken.action == RungAction::RetryAll) {
        // Over another connection the answer may overtake data that is being received.
        const auto is_busy = [](const Connection* conn) { return conn->receiving.has_value(); };
        const bool is_split = std::ranges::count_if(conns_, &Connection::has_link) > 1;
        if (is_split && std::ranges::any_of(conns_, is_busy)) {
            return lose(now, LossReason::TaskManagementFailed);
        }
    }
    switch (taken.action) {
    case RungAction::None: return;
    case RungAction::SendRequest:
        // A reset ends commands whose connection is lost, too, and says nothing about them.
        if (taken.to != Rung::AbortTask && has_unsettled()) {
            return lose(now, LossReason::TaskManagementFailed);
        }
        return start_rung(now, taken.to);
    case RungAction::RetryTask:
        // Its own answer may have come first; then there is nothing left to do.
        if (Task* task = tasks_.find_sent(aborted_itt_)) retry(now, *task, Duration{});
        return;
    case RungAction::RetryAll:
        is_attention_due_ = true;
        for (Task& task : tasks_.requests()) {
            if (task.state == TaskState::Sent) retry(now, task, Duration{});
        }
        return;
    case RungAction::DropSession:
        if (event == RungEvent::TaskUnknown && tasks_.find_sent(aborted_itt_) == nullptr) return;
        return lose(now, LossReason::TaskManagementFailed);
    }
}

void Session::on_fence_answer(Instant now, RungEvent event) noexcept {
    HF_ASSERT(is_fence_rung_ && stage_ == Stage::Fencing);
    if (event == RungEvent::NoAnswer) return lose(now, LossReason::TaskManagementFailed);
    // Refused. The next rung hits the other units of the target too; they are nobody else's, by the
    // same promise that allows the reset of the unit.
    deadlines_.task_management_again = Instant::never();
    const bool is_complete = event == RungEvent::Complete;
    const Rung answered = rung_;
    if (!is_complete && answered == Rung::UnitReset) return start_rung(now, Rung::TargetReset);
    is_fence_rung_ = false;
    rung_ = Rung::None;
    rung_unsent_ = false;
    deadlines_.task_management = Instant::never();
    if (is_complete) {
        return on_fenced(now, answered == Rung::UnitReset ? FenceRung::LogicalUnitReset
                                                          : FenceRung::TargetWarmReset);
    }
    deadlines_.fence = fence_from_ + config_.timers.fence_wait;
}

}  // namespace holdfast::initiator
