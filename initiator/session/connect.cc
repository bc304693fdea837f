// Session: from Connect to Ready. Login, probe, fence.
#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// A fence whose unit reset failed this often is waited out instead.
constexpr std::uint16_t kFenceResetsMax = 2;

}  // namespace

void Session::connect(Connection& conn, Instant now) noexcept {
    HF_ASSERT(conn.state == ConnState::Free && !conn.is_leaving && conn.ring.empty());
    if (conn.cleanup == CleanupState::CleanupWait) cleanup_event(conn, CleanupEvent::LogoutStarted);
    conn_event(conn, ConnEvent::ConnectWanted);
    conn.has_link = true;
    if (!is_sabotaged(Sabotage::ForgetLoginTimer)) conn.login_by = now + config_.timers.login;
    if (begins_session(conn)) {
        stage_ = Stage::Connecting;
        choose_port();
        session_portal_ = portal_.current(config_);
    }
    order(conn, OrderKind::Connect);
}

void Session::transport_up(Connection& conn, Instant now, const FreshRandom& random) noexcept {
    if (conn.state != ConnState::TransportWait) return;  // Ordered away again in the meantime.
    conn_event(conn, ConnEvent::TransportUp);
    conn.restart();
    LoginOptions options{.offer_md5_only = is_md5_only_};
    if (begins_session(conn)) {
        stage_ = Stage::LoggingIn;
        window_.start(CmdSn{config_.first_cmd_sn});
        tsih_ = {};
        take_key(random);
    } else {
        options.session = &agreed_;
    }
    const LoginIdentity identity{.isid = isid(),
                                 .tsih = tsih_,
                                 .cid = cid_of(conn),
                                 .itt = next_auxiliary_itt(kLoginSlot),
                                 .cmd_sn = window_.current(),
                                 .expected_stat_sn = conn.reinstatement.expected_stat_sn};
    conn.login.emplace(config_, identity, random, options);
    conn.is_login_unsent = true;
    conn.keep_alive.on_received(now);
}

void Session::on_login_pdu(Connection& conn, Instant now) noexcept {
    HF_ASSERT(conn.login.has_value());
    if (conn.is_login_unsent) {  // An answer to nothing.
        note(NoticeKind::LoginViolation, static_cast<std::uint64_t>(LoginError::NotALoginResponse));
        if (is_being_added(conn)) return drop_added(conn, now);
        return lose(now, LossReason::LoginFailed);
    }
    const LoginStep step = conn.login->on_response(conn.framer.header(), conn.framer.placed());
    if (!begins_session(conn)) return on_added_login(conn, now, step);
    if (std::holds_alternative<LoginSendNext>(step)) {
        conn.is_login_unsent = true;
    } else if (const auto* done = std::get_if<LoginDone>(&step)) {
        on_logged_in(conn, now, *done);
    } else if (const auto* redirect = std::get_if<LoginRedirect>(&step)) {
        on_redirect(now, *redirect);
    } else if (const auto* failure = std::get_if<LoginFailure>(&step)) {
        on_login_failed(now, *failure);
    }
}

void Session::on_login_failed(Instant now, const LoginFailure& failure) noexcept {
    if (failure.error == LoginError::RefusedByTarget) {
        note(NoticeKind::LoginRefused, failure.status);
    } else if (failure.error == LoginError::Chap) {
        note(NoticeKind::AuthenticationFailed, static_cast<std::uint64_t>(failure.chap));
    } else {
        note(NoticeKind::LoginViolation, static_cast<std::uint64_t>(failure.error),
             static_cast<std::uint64_t>(failure.key));
    }
    if (failure.retry_with_md5_only && !is_md5_only_) {
        is_md5_only_ = true;
        return leave(OrderKind::Reset, AfterLeaving::ConnectAtOnce);
    }
    const bool was_last_portal = losses_in_row_ + 1U >= config_.portals.size();
    if (may_give_up() && is_final(failure) && was_last_portal) {
        return leave(OrderKind::Reset, AfterLeaving::GiveUp);
    }
    lose(now, LossReason::LoginFailed);
}

void Session::on_redirect(Instant now, const LoginRedirect& redirect) noexcept {
    HF_ASSERT(!redirect.portals.empty());
    if (!portal_.on_redirect(redirect.portals[0], redirect.is_permanent)) {
        note(NoticeKind::LoginRefused, redirect.is_permanent ? 0x0102 : 0x0101);
        return lose(now, LossReason::LoginFailed);
    }
    note(NoticeKind::Redirected, redirect.is_permanent ? 2 : 1, portal_.hops());
    leave(OrderKind::Reset, AfterLeaving::ConnectAtOnce);
}

void Session::on_logged_in(Connection& conn, Instant now, const LoginDone& done) noexcept {
    conn_event(conn, ConnEvent::LoginAccepted);
    if (conn.cleanup == CleanupState::InCleanup) cleanup_event(conn, CleanupEvent::LogoutDone);
    if (session_ == SessionState::Failed) session_event(SessionEvent::Reinstated);
    for (Connection* const other : conns_) {  // The old session's went with it.
        if (other->cleanup != CleanupState::CleanupWait) continue;
        cleanup_event(*other, CleanupEvent::SessionLoggedOut);
    }
    session_event(SessionEvent::ConnectionLoggedIn);
    agreed_ = done.parameters;
    counters_.connections_agreed = agreed_.max_connections;
    counters_.error_recovery_level = agreed_.error_recovery_level;
    tsih_ = done.tsih;
    begin_full_feature(conn, now, done);
    portal_.on_logged_in();
    send_limit_ = limits_.depth;
    ++counters_.sessions_established;
    const auto away = was_ready_ ? (now - lost_at_).ms() : 0;
    note(NoticeKind::SessionUp, static_cast<std::uint64_t>(away), done.tsih.raw());
    for (std::size_t i = 0; i < kKeyCount; ++i) {
        const KeyAnswer answer = conn.login->negotiation().answer_of(static_cast<KeyId>(i));
        const bool is_odd = answer == KeyAnswer::Rejected || answer == KeyAnswer::Irrelevant;
        if (is_odd) note(NoticeKind::NegotiationNote, i, static_cast<std::uint64_t>(answer));
    }
    stage_ = Stage::Probing;
    start_probe(now);
}

void Session::begin_full_feature(Connection& conn, Instant now, const LoginDone& done) noexcept {
    conn.digests = done.parameters.digests();
    conn.max_recv_theirs_bytes = done.parameters.max_recv_theirs_bytes;
    conn.framer.agree(conn.digests, done.parameters.max_recv_ours_bytes);
    conn.status.start(done.expected_stat_sn);
    window_.on_target_numbers(done.expected_cmd_sn, done.max_cmd_sn);
    conn.login_by = Instant::never();
    ++counters_.connections;
    conn.keep_alive.start(now, config_.timers.nop_interval, config_.timers.nop_timeout);
}

void Session::start_probe(Instant now) noexcept {
    HF_ASSERT(!is_probing_ && is_full_feature());
    is_probing_ = true;
    probe_use_ = ProbeUse::Facts;
    // After a loss everybody waits for it. Beside requests there is no hurry.
    probe_.begin(stage_ == Stage::Probing);
    // Many commands, most of them answered at once: two command time-outs for all.
    deadlines_.probe = now + config_.timers.command + config_.timers.command;
    send_probe_commands();
}

void Session::send_probe_commands() noexcept {
    HF_ASSERT(is_probing_);
    if (probe_use_ != ProbeUse::Facts) return send_probe_command(tasks_.probe());
    while (const auto place = probe_.next_place()) send_probe_command(tasks_.probe(*place));
}

void Session::send_probe_command(Task& task) noexcept {
    HF_ASSERT(task.state == TaskState::Free);
    task.order = 0;
    tasks_.set_ready_in_order(task);
}

void Session::on_probe_step(Instant now, const Task& task, scsi::ProbeStep step) noexcept {
    const scsi::ProbeMachine& machine = probe_.machine();
    switch (step) {
    case scsi::ProbeStep::Continue: return send_probe_commands();
    case scsi::ProbeStep::Wait: deadlines_.probe_again = now + machine.wait(); return;
    case scsi::ProbeStep::Ready: return on_probed(now);
    case scsi::ProbeStep::Failed: return on_probe_failed(now, machine.error());
    case scsi::ProbeStep::Violation:
        return on_violation(connection_of(task), now, Violation::SenseMalformed);
    }
}

void Session::on_probe_failed(Instant now, ProbeError error) noexcept {
    note(NoticeKind::ProbeFailed, static_cast<std::uint64_t>(error));
    stop_probe();
    if (may_give_up()) return leave(OrderKind::Reset, AfterLeaving::GiveUp);
    // The unit may come back, as when a target restarts: requests wait.
    lose(now, LossReason::LoginFailed);
}

void Session::stop_probe() noexcept {
    is_probing_ = false;
    deadlines_.probe = Instant::never();
    deadlines_.probe_again = Instant::never();
    for (Task& task : tasks_.probes()) {
        if (task.state == TaskState::Free) continue;
        forget_unsettled(task);
        tasks_.set_state(task, TaskState::Free);
    }
}

void Session::on_probed(Instant now) noexcept {
    const DeviceFacts& found = probe_.machine().facts();
    stop_probe();
    if (was_ready_) {
        const scsi::SameUnit same = scsi::compare_units(facts_, found);
        if (same == scsi::SameUnit::Other) {
            is_other_device_ = true;
            note(NoticeKind::DeviceChanged, 2, found.blocks);
            note(NoticeKind::ProbeFailed, static_cast<std::uint64_t>(ProbeError::OtherDevice));
            return lose(now, LossReason::LoginFailed);
        }
        if (facts_.blocks != found.blocks) {
            note(NoticeKind::DeviceChanged, 1, found.blocks);
            order(OrderKind::DeviceResized);
        }
    }
    is_other_device_ = false;
    is_attention_due_ = false;
    facts_ = found;
    if (stage_ == Stage::Probing) start_fence(now);
}

/// Old writes first: nothing is sent again before they can no longer be executed. Design,
/// invariant 6.
void Session::start_fence(Instant now) noexcept {
    stage_ = Stage::Fencing;
    fence_started_ = now;
    const bool is_skipped = is_sabotaged(Sabotage::SkipFence) ||
                            (is_sabotaged(Sabotage::SkipFirstFence) && !was_ready_);
    if (is_reservation_due()) return start_reservation(now);
    if (!is_fence_needed_ || is_skipped) {
        return on_fenced(now, FenceRung::NothingToFence);
    }
    start_fence_rung(now);
}

/// Below PREEMPT AND ABORT.
void Session::start_fence_rung(Instant now) noexcept {
    if (!config_.owns_unit_alone || fence_failures_ >= kFenceResetsMax) {
        deadlines_.fence = fence_from_ + config_.timers.fence_wait;
        return;
    }
    is_fence_rung_ = true;
    start_rung(now, facts_.unit_reset == Told::No ? Rung::TargetReset : Rung::UnitReset);
}

void Session::on_fenced(Instant now, FenceRung rung) noexcept {
    HF_ASSERT(stage_ == Stage::Fencing);
    if (was_ready_ || is_fence_needed_) {
        const auto took = rung == FenceRung::NothingToFence ? Duration{} : now - fence_started_;
        note(NoticeKind::Fenced, static_cast<std::uint64_t>(rung),
             static_cast<std::uint64_t>(took.ms()));
    }
    is_fence_needed_ = false;
    is_attention_due_ = rung == FenceRung::LogicalUnitReset || rung == FenceRung::TargetWarmReset;
    fence_failures_ = 0;
    if (is_reservation_due()) return start_reservation(now);
    go_ready(now);
}

void Session::go_ready(Instant now) noexcept {
    HF_ASSERT(stage_ == Stage::Fencing && facts_.blocks > 0);
    stage_ = Stage::Ready;
    is_key_active_ = is_key_registered_;
    last_key_ = is_key_active_ ? key_ : scsi::ReservationKey{};
    counters_.fence = reliance();
    deadlines_.attach = Instant::never();
    deadlines_.replacement = Instant::never();
    is_failing_fast_ = false;
    if (!was_ready_) {
        was_ready_ = true;
        order(OrderKind::DeviceReady);
    }
    add_connections(now);
    on_departure_progress(now);
}

}  // namespace holdfast::initiator
