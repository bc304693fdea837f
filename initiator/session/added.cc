// Session: connections beyond the first. RFC 7143 sections 6.3.3, 6.3.4 and 4.2.5.1.
#include <algorithm>

#include "base/assert.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

/// Its login is the session's; any other one joins a session that works.
bool Session::begins_session(const Connection& conn) const noexcept {
    return conn.index == ConnIndex{0} && !is_full_feature();
}

Cid Session::cid_of(const Connection& conn) noexcept {
    return Cid{conn.index.raw()};
}

/// Its end is not the session's: nothing was sent on it yet.
bool Session::is_being_added(const Connection& conn) const noexcept {
    return !begins_session(conn) &&
           (conn.state == ConnState::TransportWait || conn.state == ConnState::InLogin);
}

bool Session::is_in_use(Cid cid) const noexcept {
    return std::ranges::any_of(conns_, [cid](const Connection* conn) {
        return cid_of(*conn) == cid && conn->is_full_feature();
    });
}

/// As many as were agreed, once the session works. Section 6.3.3.
bool Session::may_add(const Connection& conn) const noexcept {
    return stage_ == Stage::Ready && departure_ == Departure::None && !is_single_ &&
           !conn.has_link && conn.reinstatement.step == Comeback::None &&
           conn.index.raw() < agreed_.max_connections;
}

void Session::add_connections(Instant now) noexcept {
    for (Connection* const conn : conns_) {
        if (!may_add(*conn) || conn->add_at > now) continue;
        conn->add_at = Instant::never();
        connect(*conn, now);
    }
}

void Session::on_added_login(Connection& conn, Instant now, const LoginStep& step) noexcept {
    HF_ASSERT(is_being_added(conn));
    if (std::holds_alternative<LoginSendNext>(step)) {
        conn.is_login_unsent = true;
        return;
    }
    if (const auto* done = std::get_if<LoginDone>(&step)) {
        HF_ASSERT(done->tsih == tsih_);  // The login machine has judged it.
        conn_event(conn, ConnEvent::LoginAccepted);
        if (conn.cleanup == CleanupState::InCleanup) {
            cleanup_event(conn, CleanupEvent::LogoutDone);
        }
        begin_full_feature(conn, now, *done);
        if (session_ == SessionState::Failed) session_event(SessionEvent::Continued);
        if (conn.reinstatement.step == Comeback::LoggingIn) return on_reinstated(conn, now);
        tasks_.use_connection(conn.index.raw());
        return note(NoticeKind::ConnectionAdded, cid_of(conn).raw());
    }
    // A target may have agreed to more than it has (MCS-08), or open another session instead. The
    // session that works stays as it is.
    const auto* failure = std::get_if<LoginFailure>(&step);
    const bool is_refused = failure == nullptr || is_final(*failure);
    const bool comes_back = conn.reinstatement.step == Comeback::LoggingIn;
    if (is_refused) (comes_back ? conn.reinstatement.is_refused : is_single_) = true;
    note(NoticeKind::ConnectionRefused, cid_of(conn).raw(), failure ? failure->status : 0);
    drop_added(conn, now);
}

/// Its login went wrong.
void Session::drop_added(Connection& conn, Instant now) noexcept {
    HF_ASSERT(is_being_added(conn) && !conn.is_leaving);
    conn_event(conn, ConnEvent::TransportLost);
    on_add_failed(conn, now);
    conn.is_leaving = true;
    order(conn, OrderKind::Reset);
}

void Session::on_add_failed(Connection& conn, Instant now) noexcept {
    conn.disarm();
    if (conn.cleanup == CleanupState::InCleanup) cleanup_event(conn, CleanupEvent::LogoutFailed);
    if (conn.reinstatement.step == Comeback::LoggingIn) return on_reinstatement_failed(conn);
    conn.add_at = now + kAddAgain;
}

}  // namespace holdfast::initiator
