/// Which event met which state during a run: tables of counts, their names, and the list of what
/// must be seen.
///
/// What is counted is told by recorder_tap.cc, which stands in for the flight recorder in the
/// simulator's own build of the engine, and by World, for the calls and orders. The product carries
/// nothing of it. One process counts for itself; see add() for the sum of several.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "initiator/engine.h"

namespace holdfast::sim {

/// Rows by columns. The order is that of coverage_names.cc.
enum class Table : std::uint8_t {
    Phase,    ///< SessionPhase x Happening.
    Leading,  ///< ConnState x ConnEvent, of the leading connection. RFC 7143 section 8.1.
    Added,    ///< The same of the others.
    Cleanup,  ///< CleanupState x CleanupEvent. Section 8.2.
    Session,  ///< SessionState x SessionEvent. Section 8.3.
    PduIn,    ///< ConnState x Happening: what a connection received.
};
inline constexpr std::size_t kTableCount = 6;

/// What can happen to a session. Numbers are stable within a run only; names are in
/// coverage_names.cc, in this order.
enum class Happening : std::uint8_t {
    // Received.
    InPing,
    InPingAnswer,
    InResponse,
    InTaskResponse,
    InLogin,
    InText,
    InData,
    InDataStatus,
    InLogout,
    InR2t,
    InAsync,
    InReject,
    InBroken,  ///< A header that cannot be read: digest or form.
    // Sent: where a timer has no notice of its own, this is how it shows.
    OutPing,
    OutPingAnswer,
    OutCommand,
    OutAbort,
    OutUnitReset,
    OutTargetReset,
    OutReassign,
    OutLogin,
    OutData,
    OutLogout,
    OutSnackData,
    OutSnackStatus,
    OutDataAck,
    // Called.
    Start,
    Stop,
    StopAgain,
    Submit,
    TransportUp,
    TransportLost,  ///< By itself.
    TransportGone,  ///< As the answer to Close or Reset.
    LateWake,       ///< The loop was 10 ms late or more.
    Clogged,        ///< The transport would send, and the path takes nothing.
    // Ordered.
    OrderConnect,
    OrderClose,
    OrderReset,
    OrderReady,
    OrderResized,
    OrderGaveUp,
    OrderStopped,
    // Noticed; LossReason and FenceRung apart.
    SessionUp,
    LostTransport,
    LostNopTimeout,
    LostViolation,
    LostHeaderDigest,
    LostDataDigest,
    LostRejected,
    LostAsyncDrop,
    LostAsyncLogout,
    LostTaskManagement,
    LostLogin,
    LostWindow,
    LostRepair,
    LostReinstatement,
    LostPortRegistered,
    LostOther,
    ConnectFailed,
    LoginRefused,
    LoginViolation,
    AuthenticationFailed,
    Redirected,
    PeerViolation,
    HeaderDigest,
    DataDigest,
    NopTimeout,
    AsyncEvent,
    Rejected,
    CommandTimeout,
    TaskManagement,
    RetryByStatus,
    RequestFailed,
    FencedNothing,
    FencedUnitReset,
    FencedWaited,
    FencedTargetReset,
    FencedPreempt,
    DeviceChanged,
    ProbeFailed,
    ConnectionAdded,
    ConnectionRefused,
    ConnectionLost,
    ConnectionReinstated,
    ConnectionRemoved,
    NegotiationNote,
    OtherNotice,  ///< A kind that this list does not know yet.
};
inline constexpr std::size_t kHappeningCount = static_cast<std::size_t>(Happening::OtherNotice) + 1;

/// The counts. Plain words: lives in memory that several processes share.
class Coverage {
public:
    static constexpr std::size_t kStatesMax = 16;
    static constexpr std::size_t kEventsMax = 96;
    static_assert(kHappeningCount <= kEventsMax);

    void saw(Table table, std::size_t state, std::size_t event) {
        ++counts_.at(static_cast<std::size_t>(table)).at(state).at(event);
    }
    [[nodiscard]] std::uint64_t count(Table table, std::size_t state, std::size_t event) const {
        return counts_.at(static_cast<std::size_t>(table)).at(state).at(event);
    }
    /// Another process's counts on top.
    void add(const Coverage& other);
    [[nodiscard]] std::size_t seen_edges() const;

private:
    std::array<std::array<std::array<std::uint64_t, kEventsMax>, kStatesMax>, kTableCount>
        counts_{};
};

/// Names as they stand in edges.txt; empty beyond the end of a table.
[[nodiscard]] std::string_view name_of(Table table);
[[nodiscard]] std::string_view state_name(Table table, std::size_t state);
[[nodiscard]] std::string_view event_name(Table table, std::size_t event);

/// What edges.txt expects, against what was seen. `lives` decides whether the seldom ones must have
/// been. Empty: all is as expected; else one line for each edge that is not.
[[nodiscard]] std::string check_edges(const Coverage& coverage, const std::string& path,
                                      std::uint64_t lives);
/// Every edge that was seen, a line for each state, with counts.
void print_coverage(const Coverage& coverage);

/// Where the engine's steps are told. One engine at a time.
struct Tap {
    Coverage* coverage = nullptr;
    const initiator::Engine* engine = nullptr;
    std::array<std::uint8_t, initiator::EngineLimits::kConnectionsMax> conn_states{};
    /// A line for the trace; none: nothing is traced.
    void (*say)(const char* line) = nullptr;
    const std::int64_t* now_us = nullptr;

    void saw(Happening what) const {
        if (coverage == nullptr || engine == nullptr) return;
        coverage->saw(Table::Phase, static_cast<std::size_t>(engine->phase()),
                      static_cast<std::size_t>(what));
    }
};
[[nodiscard]] Tap& tap();

}  // namespace holdfast::sim
