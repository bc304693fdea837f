// Session: the loss of one connection that is not the session's, at error recovery level 2. RFC
// 7143 sections 6.3.4, 7.1.4.3, 7.5 and 11.14.
//
// lost -> Reset -> transport gone -> Time2Wait -> login with the same CID (an implicit logout "for
// recovery") -> its commands are taken over, see reassign.cc. A connection that is not taken back
// is logged out over another one, which takes the commands over. Whatever goes wrong, and all that
// takes longer than Time2Retain, ends in session recovery with its fence: the commands count as
// sent until then.
#include <algorithm>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// Connections lost without a request done in between, until the session is given up.
constexpr std::uint16_t kLossesInRowMax = 6;
/// Logins that fail, until another connection, if there is one, takes over.
constexpr std::uint8_t kLoginsMax = 2;

}  // namespace

/// The first that works; the one that began the session, when none does.
Connection& Session::working() noexcept {
    const auto found = std::ranges::find_if(conns_, &Connection::is_full_feature);
    return found == conns_.end() ? leading() : **found;
}

bool Session::is_any_working() const noexcept {
    return std::ranges::any_of(conns_, &Connection::is_full_feature);
}

bool Session::has_unsettled() const noexcept {
    return std::ranges::any_of(
        conns_, [](const Connection* conn) { return conn->reinstatement.unsettled > 0; });
}

/// A reset would end the commands that are to be taken over, and an abort that is out may.
bool Session::may_reinstate(const Connection& conn) const noexcept {
    const bool is_rung_apart =
        rung_ == Rung::None || (rung_ == Rung::AbortTask && rung_conn_ != conn.index.raw());
    return agreed_.error_recovery_level >= kLevelOfConnections && agreed_.time2retain_s > 0 &&
           stage_ == Stage::Ready && departure_ == Departure::None &&
           conn.state == ConnState::LoggedIn && is_rung_apart && losses_in_row_ < kLossesInRowMax;
}

/// One connection cannot go on. Below level 2 that is the session's end.
void Session::lose_connection(Connection& conn, Instant now, LossReason reason,
                              std::optional<RecoveryTimes> announced) noexcept {
    if (!may_reinstate(conn)) return lose(now, reason);
    on_connection_lost(conn, now, reason, announced);
    conn.is_leaving = true;
    order(conn, OrderKind::Reset);
}

/// Announced by the target, with its own times. RFC 7143 sections 7.5.2 and 11.9.
void Session::on_drop_announced(Cid cid, Instant now, RecoveryTimes times) noexcept {
    const auto its = [cid](const Connection* conn) { return cid_of(*conn) == cid; };
    const auto found = std::ranges::find_if(conns_, its);
    HF_ASSERT(found != conns_.end());
    Connection& conn = **found;
    if (!may_reinstate(conn) || times.retain == Duration{}) {
        time2wait_ = times.wait;
        return lose(now, LossReason::AsyncDrop);
    }
    lose_connection(conn, now, LossReason::AsyncDrop, times);
}

void Session::on_connection_lost(Connection& conn, Instant now, LossReason reason,
                                 std::optional<RecoveryTimes> announced) noexcept {
    HF_ASSERT(may_reinstate(conn) && conn.reinstatement.step == Comeback::None);
    const RecoveryTimes times =
        announced.value_or(RecoveryTimes{.wait = Duration::from_s(agreed_.time2wait_s),
                                         .retain = Duration::from_s(agreed_.time2retain_s)});
    note(NoticeKind::ConnectionLost, cid_of(conn).raw(), static_cast<std::uint64_t>(reason));
    ++counters_.connections_lost;
    --counters_.connections;
    if (losses_in_row_ != UINT16_MAX) ++losses_in_row_;
    // What it had not yet taken over from an earlier loss is forgotten no later than before.
    const Instant end = now + times.wait + times.retain;
    conn.reinstatement = {.step = Comeback::Leaving,
                          .expected_stat_sn = conn.status.expected(),
                          .wait = times.wait,
                          .retain_until = earlier(end, conn.reinstatement.retain_until)};
    conn_event(conn, ConnEvent::TransportLost);
    conn.disarm();
    orphan_commands(conn);
    tasks_.stop_using(conn.index.raw());
    for (Connection* const other : conns_) on_helper_lost(*other, conn, now);
    if (!is_any_working()) session_event(SessionEvent::Failure);
    const bool waits = !is_any_working() || has_unsettled();
    if (waits && deadlines_.replacement.is_never()) {
        lost_at_ = now;
        deadlines_.replacement = now + config_.timers.replacement;
    }
}

void Session::orphan_commands(Connection& conn) noexcept {
    tasks_.for_each_out(conn.index.raw(), [&](Task& task) {
        if (is_sabotaged(Sabotage::RetryBeforeLogout)) return tasks_.set_ready_in_order(task);
        task.allegiance = Allegiance::Lost;
        task.gap = Gap::None;   // A SNACK asks for what is the connection's.
        task.timed_out = true;  // The target owes nothing until it was asked again.
        ++conn.reinstatement.unsettled;
    });
}

/// `lost` carried the logout of `conn`: all begins anew.
void Session::on_helper_lost(Connection& conn, const Connection& lost, Instant now) noexcept {
    Reinstatement& its = conn.reinstatement;
    const bool is_out = its.step == Comeback::LoggingOut;
    if ((!is_out && its.step != Comeback::LogoutDue) || its.helper != lost.index.raw()) return;
    if (is_out) cleanup_event(conn, CleanupEvent::LogoutFailed);
    its.answer_by = Instant::never();
    its.step = Comeback::Waiting;
    its.at = now + config_.timers.reconnect_min;
}

/// No transport holds anything of the lost connection any more.
void Session::on_lost_transport_gone(Connection& conn, Instant now) noexcept {
    HF_ASSERT(conn.reinstatement.step == Comeback::Leaving && !conn.has_link);
    find_way_back(conn, now, conn.reinstatement.wait);
}

/// The same connection again, after `wait`; or, when it is not taken back, without it.
void Session::find_way_back(Connection& conn, Instant now, Duration wait) noexcept {
    Reinstatement& its = conn.reinstatement;
    const bool is_tried = its.is_refused || its.tries >= kLoginsMax;
    if (is_tried && is_any_working()) {
        its.step = Comeback::LogoutDue;
        its.helper = working().index.raw();
        its.answer_by = now + config_.timers.logout;
    } else if (its.is_refused) {
        distrust_level(kLevelOfConnections - 1);
        lose(now, LossReason::ReinstatementFailed);
    } else {
        its.step = Comeback::Waiting;
        its.at = now + wait;
    }
}

/// Connect or login of the reinstating transport went wrong; it is being reset, or gone.
void Session::on_reinstatement_failed(Connection& conn) noexcept {
    Reinstatement& its = conn.reinstatement;
    HF_ASSERT(its.step == Comeback::LoggingIn);
    its.step = Comeback::Leaving;
    its.wait = config_.timers.reconnect_min;
    for (std::uint8_t i = 0; i < its.tries; ++i) {
        its.wait = std::min(its.wait + its.wait, config_.timers.reconnect_max);
    }
    if (its.tries != UINT8_MAX) ++its.tries;
}

/// Logged in under its old CID: the target has logged the old transport out for recovery.
void Session::on_reinstated(Connection& conn, Instant now) noexcept {
    Reinstatement& its = conn.reinstatement;
    HF_ASSERT(its.step == Comeback::LoggingIn && conn.is_full_feature());
    its.step = Comeback::None;
    its.is_refused = false;
    its.tries = 0;
    note(NoticeKind::ConnectionReinstated, cid_of(conn).raw(), its.unsettled);
    tasks_.use_connection(conn.index.raw());
    on_settled(conn);
    on_departure_progress(now);
}

bool Session::put_recovery_logout(Connection& conn) noexcept {
    const auto is_due = [&](const Connection* other) {
        return other->reinstatement.step == Comeback::LogoutDue &&
               other->reinstatement.helper == conn.index.raw();
    };
    const auto found = std::ranges::find_if(conns_, is_due);
    if (found == conns_.end()) return false;
    Connection& lost = **found;
    lost.reinstatement.step = Comeback::LoggingOut;
    lost.reinstatement.logout_itt = next_auxiliary_itt(kLogoutSlot);
    cleanup_event(lost, CleanupEvent::LogoutStarted);
    write(conn.ring.next_header(),
          LogoutRequestHeader{.reason = LogoutReason::Recovery,
                              .itt = lost.reinstatement.logout_itt,
                              .cid = cid_of(lost),
                              .cmd_sn = window_.current(),
                              .expected_stat_sn = lost.reinstatement.expected_stat_sn});
    return true;
}

/// The answer to a logout for recovery that went over `conn`. False: it is none.
bool Session::on_recovery_logout(const Connection& conn, Instant now, Itt itt,
                                 LogoutResult result) noexcept {
    const auto its = [&](const Connection* other) {
        return other->reinstatement.step == Comeback::LoggingOut &&
               other->reinstatement.helper == conn.index.raw() &&
               other->reinstatement.logout_itt == itt;
    };
    const auto found = std::ranges::find_if(conns_, its);
    if (found == conns_.end()) return false;
    Connection& lost = **found;
    if (result == LogoutResult::Closed) {
        take_over(connection(ConnIndex{lost.reinstatement.helper}), lost, now);
        return true;
    }
    // Without the connection's end its commands cannot be taken over, nor be sent again.
    if (result == LogoutResult::RecoveryNotSupported) distrust_level(kLevelOfConnections - 1);
    lose(now, LossReason::ReinstatementFailed);
    return true;
}

/// The commands of `lost`, which is logged out, go on over `conn`.
void Session::take_over(Connection& conn, Connection& lost, Instant now) noexcept {
    HF_ASSERT(conn.is_full_feature() && !lost.has_link);
    cleanup_event(lost, CleanupEvent::LogoutDone);
    note(NoticeKind::ConnectionRemoved, cid_of(lost).raw(), lost.reinstatement.unsettled);
    tasks_.for_each_out(lost.index.raw(),
                        [&](Task& task) { tasks_.move_sent(task, conn.index.raw()); });
    Reinstatement& its = conn.reinstatement;
    its.unsettled = static_cast<std::uint16_t>(its.unsettled + lost.reinstatement.unsettled);
    its.retain_until = earlier(its.retain_until, lost.reinstatement.retain_until);
    lost.reinstatement = {};
    lost.add_at = now + kAddAgain;
    on_settled(conn);
}

/// False: the session is lost.
bool Session::judge_reinstatement(Connection& conn, Instant now) noexcept {
    Reinstatement& its = conn.reinstatement;
    if (its.retain_until <= now) {
        lose(now, LossReason::ReinstatementFailed);
        return false;
    }
    if (its.at > now) return true;
    its.at = Instant::never();
    if (its.step == Comeback::Waiting) {
        its.step = Comeback::LoggingIn;
        connect(conn, now);
    }
    return true;
}

/// The session is over: nothing comes back, whatever was on its way.
void Session::stop_reinstatement(Connection& conn) noexcept {
    const Comeback step = conn.reinstatement.step;
    const bool is_cleaning = step == Comeback::LoggingIn || step == Comeback::LoggingOut;
    if (is_cleaning && conn.cleanup == CleanupState::InCleanup) {
        cleanup_event(conn, CleanupEvent::LogoutFailed);
    }
    conn.reinstatement = {};
}

}  // namespace holdfast::initiator
