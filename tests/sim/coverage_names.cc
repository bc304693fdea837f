// The names of states and events, in the order of their enumerations.
#include <array>
#include <span>

#include "tests/sim/coverage.h"

namespace holdfast::sim {

namespace {

using std::string_view;

constexpr std::array<string_view, kTableCount> kTables{"phase",   "leading", "added",
                                                       "cleanup", "session", "pdu-in"};
constexpr std::array<string_view, 9> kPhases{"Idle",    "Connecting", "LoggingIn",
                                             "Probing", "Fencing",    "Ready",
                                             "Waiting", "LoggingOut", "Ended"};
constexpr std::array<string_view, 7> kConnStates{
    "Free", "TransportWait", "InLogin", "LoggedIn", "InLogout", "LogoutRequested", "CleanupWait"};
constexpr std::array<string_view, 10> kConnEvents{
    "ConnectWanted", "TransportUp",         "TransportLost",  "LoginAccepted", "LoginFailed",
    "LogoutWanted",  "LogoutAskedByTarget", "LogoutAccepted", "LogoutRefused", "SessionLoggedOut"};
constexpr std::array<string_view, 3> kCleanupStates{"CleanupWait", "InCleanup", "Free"};
constexpr std::array<string_view, 5> kCleanupEvents{"StateTimedOut", "SessionLoggedOut",
                                                    "LogoutStarted", "LogoutFailed", "LogoutDone"};
constexpr std::array<string_view, 3> kSessionStates{"Free", "LoggedIn", "Failed"};
constexpr std::array<string_view, 6> kSessionEvents{"ConnectionLoggedIn", "Closed",     "Failure",
                                                    "Continued",          "Reinstated", "TimedOut"};
constexpr std::array<string_view, kHappeningCount> kHappenings{"in.ping",
                                                               "in.ping-answer",
                                                               "in.response",
                                                               "in.task-response",
                                                               "in.login",
                                                               "in.text",
                                                               "in.data",
                                                               "in.data-status",
                                                               "in.logout",
                                                               "in.r2t",
                                                               "in.async",
                                                               "in.reject",
                                                               "in.broken",
                                                               "out.ping",
                                                               "out.ping-answer",
                                                               "out.command",
                                                               "out.abort",
                                                               "out.unit-reset",
                                                               "out.target-reset",
                                                               "out.reassign",
                                                               "out.login",
                                                               "out.data",
                                                               "out.logout",
                                                               "out.snack-data",
                                                               "out.snack-status",
                                                               "out.data-ack",
                                                               "call.start",
                                                               "call.stop",
                                                               "call.stop-again",
                                                               "call.submit",
                                                               "call.up",
                                                               "call.lost",
                                                               "call.gone",
                                                               "call.late",
                                                               "call.clogged",
                                                               "order.connect",
                                                               "order.close",
                                                               "order.reset",
                                                               "order.ready",
                                                               "order.resized",
                                                               "order.gave-up",
                                                               "order.stopped",
                                                               "session-up",
                                                               "lost.transport",
                                                               "lost.nop-timeout",
                                                               "lost.violation",
                                                               "lost.header-digest",
                                                               "lost.data-digest",
                                                               "lost.rejected",
                                                               "lost.async-drop",
                                                               "lost.async-logout",
                                                               "lost.task-management",
                                                               "lost.login",
                                                               "lost.window",
                                                               "lost.repair",
                                                               "lost.reinstatement",
                                                               "lost.port-registered",
                                                               "lost.other",
                                                               "connect-failed",
                                                               "login-refused",
                                                               "login-violation",
                                                               "authentication-failed",
                                                               "redirected",
                                                               "peer-violation",
                                                               "header-digest",
                                                               "data-digest",
                                                               "nop-timeout",
                                                               "async-event",
                                                               "rejected",
                                                               "command-timeout",
                                                               "task-management",
                                                               "retry-by-status",
                                                               "request-failed",
                                                               "fenced.nothing",
                                                               "fenced.unit-reset",
                                                               "fenced.waited",
                                                               "fenced.target-reset",
                                                               "fenced.preempt",
                                                               "device-changed",
                                                               "probe-failed",
                                                               "connection-added",
                                                               "connection-refused",
                                                               "connection-lost",
                                                               "connection-reinstated",
                                                               "connection-removed",
                                                               "negotiation-note",
                                                               "other-notice"};
constexpr std::size_t kReceivedCount = static_cast<std::size_t>(Happening::InBroken) + 1;

std::span<const string_view> states_of(Table table) {
    switch (table) {
    case Table::Phase: return kPhases;
    case Table::Leading:
    case Table::Added:
    case Table::PduIn: return kConnStates;
    case Table::Cleanup: return kCleanupStates;
    case Table::Session: return kSessionStates;
    }
    return {};
}

std::span<const string_view> events_of(Table table) {
    switch (table) {
    case Table::Phase: return kHappenings;
    case Table::Leading:
    case Table::Added: return kConnEvents;
    case Table::Cleanup: return kCleanupEvents;
    case Table::Session: return kSessionEvents;
    case Table::PduIn: return std::span{kHappenings}.first(kReceivedCount);
    }
    return {};
}

string_view entry(std::span<const string_view> names, std::size_t at) {
    return at < names.size() ? names[at] : string_view{};
}

}  // namespace

std::string_view name_of(Table table) {
    return kTables.at(static_cast<std::size_t>(table));
}
std::string_view state_name(Table table, std::size_t state) {
    return entry(states_of(table), state);
}
std::string_view event_name(Table table, std::size_t event) {
    return entry(events_of(table), event);
}

}  // namespace holdfast::sim
