#include "initiator/session/conn_fsm.h"

namespace holdfast::initiator {

namespace {

using enum ConnEvent;

std::optional<ConnStep> from_logged_in(ConnEvent event) noexcept {
    if (event == SessionLoggedOut) return ConnStep{ConnState::Free, ConnEdge::T8};
    if (event == LogoutWanted) return ConnStep{ConnState::InLogout, ConnEdge::T9};
    if (event == LogoutAskedByTarget) return ConnStep{ConnState::LogoutRequested, ConnEdge::T11};
    if (event == TransportLost) return ConnStep{ConnState::CleanupWait, ConnEdge::T15};
    return {};
}

std::optional<ConnStep> from_in_logout(ConnEvent event) noexcept {
    if (event == LogoutAccepted || event == SessionLoggedOut) {
        return ConnStep{ConnState::Free, ConnEdge::T13};
    }
    // The target may ask again; that buys nobody extra time.
    if (event == LogoutAskedByTarget) return ConnStep{ConnState::InLogout, ConnEdge::T14};
    if (event == LogoutRefused || event == TransportLost) {
        return ConnStep{ConnState::CleanupWait, ConnEdge::T17};
    }
    return {};
}

std::optional<ConnStep> from_logout_requested(ConnEvent event) noexcept {
    if (event == LogoutWanted) return ConnStep{ConnState::InLogout, ConnEdge::T10};
    if (event == LogoutAskedByTarget) return ConnStep{ConnState::LogoutRequested, ConnEdge::T12};
    if (event == TransportLost) return ConnStep{ConnState::CleanupWait, ConnEdge::T16};
    if (event == SessionLoggedOut) return ConnStep{ConnState::Free, ConnEdge::T18};
    return {};
}

}  // namespace

std::optional<ConnStep> step(ConnState state, ConnEvent event) noexcept {
    switch (state) {
    case ConnState::Free:
        if (event == ConnectWanted) return ConnStep{ConnState::TransportWait, ConnEdge::T1};
        return {};
    case ConnState::TransportWait:
        if (event == TransportUp) return ConnStep{ConnState::InLogin, ConnEdge::T4};
        if (event == TransportLost || event == SessionLoggedOut) {
            return ConnStep{ConnState::Free, ConnEdge::T2};
        }
        return {};
    case ConnState::InLogin:
        if (event == LoginAccepted) return ConnStep{ConnState::LoggedIn, ConnEdge::T5};
        if (event == LoginFailed || event == TransportLost || event == SessionLoggedOut) {
            return ConnStep{ConnState::Free, ConnEdge::T7};
        }
        return {};
    case ConnState::LoggedIn: return from_logged_in(event);
    case ConnState::InLogout: return from_in_logout(event);
    case ConnState::LogoutRequested: return from_logout_requested(event);
    case ConnState::CleanupWait: return {};  // Left by the cleanup diagram only.
    }
    return {};
}

std::optional<CleanupStep> step(CleanupState state, CleanupEvent event) noexcept {
    using enum CleanupEvent;
    switch (state) {
    case CleanupState::CleanupWait:
        if (event == StateTimedOut || event == CleanupEvent::SessionLoggedOut) {
            return CleanupStep{CleanupState::Free, CleanupEdge::M1};
        }
        if (event == LogoutStarted) return CleanupStep{CleanupState::InCleanup, CleanupEdge::M2};
        return {};
    case CleanupState::InCleanup:
        if (event == LogoutFailed) return CleanupStep{CleanupState::CleanupWait, CleanupEdge::M3};
        if (event == LogoutDone || event == CleanupEvent::SessionLoggedOut) {
            return CleanupStep{CleanupState::Free, CleanupEdge::M4};
        }
        return {};
    case CleanupState::Free: return {};
    }
    return {};
}

std::optional<SessionStep> step(SessionState state, SessionEvent event) noexcept {
    using enum SessionEvent;
    switch (state) {
    case SessionState::Free:
        if (event == ConnectionLoggedIn) {
            return SessionStep{SessionState::LoggedIn, SessionEdge::N1};
        }
        return {};
    case SessionState::LoggedIn:
        if (event == Closed) return SessionStep{SessionState::Free, SessionEdge::N3};
        if (event == Failure) return SessionStep{SessionState::Failed, SessionEdge::N5};
        return {};
    case SessionState::Failed:
        if (event == Continued) return SessionStep{SessionState::LoggedIn, SessionEdge::N4};
        if (event == Reinstated || event == TimedOut) {
            return SessionStep{SessionState::Free, SessionEdge::N6};
        }
        return {};
    }
    return {};
}

}  // namespace holdfast::initiator
