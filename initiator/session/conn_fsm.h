/// The states of a connection, of its cleanup, and of a session, as tables. RFC 7143 sections 8.1,
/// 8.2 and 8.3, the initiator's side. Pure; no timers: time-outs arrive as events.
#pragma once

#include <cstdint>
#include <optional>

namespace holdfast::initiator {

/// Section 8.1.3. S3 does not exist for an initiator.
enum class ConnState : std::uint8_t {
    Free,             ///< S1
    TransportWait,    ///< S2
    InLogin,          ///< S4
    LoggedIn,         ///< S5
    InLogout,         ///< S6
    LogoutRequested,  ///< S7
    CleanupWait,      ///< S8
};

/// What can happen to a connection.
enum class ConnEvent : std::uint8_t {
    ConnectWanted,  ///< We ask for a transport connection.
    TransportUp,    ///< It is established.
    TransportLost,  ///< It failed, was reset or closed, or timed out; or "drop" was announced.
    LoginAccepted,  ///< Final Login Response, status class 0.
    LoginFailed,    ///< Final Login Response with another class, or login timed out.
    LogoutWanted,   ///< We are ready to log out and send the request.
    LogoutAskedByTarget,  ///< Async Message "request logout".
    LogoutAccepted,       ///< Logout Response, success.
    LogoutRefused,        ///< Logout Response, failure, or logout timed out.
    SessionLoggedOut,     ///< Another connection's logout closed the session.
};

/// The names of the edges in section 8.1.2.
enum class ConnEdge : std::uint8_t {
    T1 = 1,
    T2 = 2,
    T4 = 4,
    T5 = 5,
    T7 = 7,
    T8 = 8,
    T9 = 9,
    T10 = 10,
    T11 = 11,
    T12 = 12,
    T13 = 13,
    T14 = 14,
    T15 = 15,
    T16 = 16,
    T17 = 17,
    T18 = 18,
};

struct ConnStep {
    ConnState to{};
    ConnEdge edge{};
    constexpr bool operator==(const ConnStep&) const noexcept = default;
};

/// One edge of the diagram in section 8.1.3. No value means that the event has no meaning in this
/// state: the caller counts it and drops the connection, because a confused peer must not stop us.
[[nodiscard]] std::optional<ConnStep> step(ConnState state, ConnEvent event) noexcept;

/// Section 8.2: a connection that failed in full feature phase, until nothing of it is left.
enum class CleanupState : std::uint8_t {
    CleanupWait,  ///< R1, the same as S8.
    InCleanup,    ///< R2
    Free,         ///< R3, the same as S1.
};
enum class CleanupEvent : std::uint8_t {
    StateTimedOut,     ///< Time2Wait and Time2Retain have passed.
    SessionLoggedOut,  ///< Another connection's logout closed the session.
    LogoutStarted,     ///< Explicit logout, or a reinstatement login, was sent.
    LogoutFailed,      ///< It failed or timed out.
    LogoutDone,        ///< It succeeded: the reinstating connection is logged in.
};
enum class CleanupEdge : std::uint8_t { M1 = 1, M2, M3, M4 };
struct CleanupStep {
    CleanupState to{};
    CleanupEdge edge{};
    constexpr bool operator==(const CleanupStep&) const noexcept = default;
};
[[nodiscard]] std::optional<CleanupStep> step(CleanupState state, CleanupEvent event) noexcept;

/// Section 8.3.1. Q2 does not exist for an initiator.
enum class SessionState : std::uint8_t {
    Free,      ///< Q1
    LoggedIn,  ///< Q3
    Failed,    ///< Q4
};
enum class SessionEvent : std::uint8_t {
    ConnectionLoggedIn,  ///< The leading connection reached LOGGED_IN.
    Closed,              ///< Logged out gracefully.
    Failure,             ///< The last connection failed. Section 6.3.6.
    Continued,           ///< A connection was added again to the failed session.
    Reinstated,          ///< A login with the same ISID and TSIH 0 replaced this instance.
    TimedOut,            ///< The target has forgotten it, or we gave up.
};
enum class SessionEdge : std::uint8_t { N1 = 1, N3 = 3, N4 = 4, N5 = 5, N6 = 6 };
struct SessionStep {
    SessionState to{};
    SessionEdge edge{};
    constexpr bool operator==(const SessionStep&) const noexcept = default;
};
[[nodiscard]] std::optional<SessionStep> step(SessionState state, SessionEvent event) noexcept;

}  // namespace holdfast::initiator
