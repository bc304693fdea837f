/// The protocol engine: one iSCSI session to one logical unit, as a pure state machine.
/// RFC 7143; this is the only header of initiator/ that the daemon's I/O process needs.
///
/// The engine makes no system call and reads no clock. The caller owns the transport: it asks for
/// rx spaces and tx spans, moves bytes, and reports facts. Nothing is called back; after every call
/// the caller polls for orders, completions and notices until they come back empty.
///
/// One turn of the caller's loop:
///   1. report facts: tx_sent, tx_released, rx_filled, transport_up, transport_lost, submit;
///   2. wake(now, late), always after the input of this turn was reported (invariant 8: input that
///      waited in our own queue counts as life, before any time-out is judged);
///   3. poll_order, poll_completion, poll_notice until empty;
///   4. tx_spans of each connection that has no send in flight; rx_spaces where no receive is;
///   5. sleep until next_wake() or input.
///
/// Borrowing: spans from rx_spaces and tx_spans stay valid, and the request buffers behind them
/// stay owned by the engine, until rx_filled / tx_released, or until transport_lost. tx_sent only
/// says that the transport has taken bytes; it may read them again, to send them again or because
/// the hardware has not read them yet, until it reports tx_released. A transport that copies
/// reports both at once. The caller reports transport_lost only after the kernel holds no reference
/// to any of them, and exactly once for each Connect: on its own when the connection fails, or as
/// the answer to Close or Reset, not both. Between Close or Reset and transport_lost nothing is to
/// be sent or received; what a pending receive still brings is ignored.
///
/// Thread: one; an engine belongs to the thread that made it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/strong.h"
#include "base/time.h"
#include "initiator/device_facts.h"
#include "initiator/notice.h"
#include "initiator/recorder.h"
#include "initiator/request.h"
#include "initiator/session_config.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::initiator {

/// Which of the session's connections, 0 up to EngineLimits::connections - 1.
using ConnIndex = Strong<struct ConnIndexTag, std::uint8_t>;

/// The counts that size an engine's memory. Fixed for its life.
struct EngineLimits {
    static constexpr std::uint8_t kConnectionsMax = 8;
    static constexpr std::uint32_t kTransmitPiecesMin = 64;
    static constexpr std::uint32_t kTransmitPiecesMax = 4096;

    std::uint16_t depth = 32;  ///< Requests at once; 1..256.
    std::uint32_t request_bytes_max =
        128 * 1024;                ///< Largest data of one request; multiple of 4096.
    std::uint8_t connections = 1;  ///< 1..kConnectionsMax.
    std::uint32_t stage_bytes =
        64 * 1024;  ///< Receive stage per connection, for headers and short data.
    /// Pieces of PDUs, three for each at most, that wait for the transport of one connection or are
    /// held by it. A transport that holds them until they are acknowledged needs a bandwidth-delay
    /// product of them.
    std::uint32_t transmit_pieces = kTransmitPiecesMin;
};

/// What the engine wants done outside.
enum class OrderKind : std::uint8_t {
    Connect,  ///< Open TCP to `portal`, then transport_up or transport_lost.
    Close,    ///< Close the connection in the ordinary way (after a logout), then transport_lost.
    Reset,    ///< Reset the connection (RST: fence, first rung), then transport_lost.
    DeviceReady,    ///< facts() are valid for the first time: make the export.
    DeviceResized,  ///< facts().blocks changed.
    GaveUp,   ///< The first login or probe failed for good; reason in the last notices. No more
              ///< orders.
    Stopped,  ///< stop() has finished, all completions are out. No more orders.
};

struct Order {
    OrderKind kind = OrderKind::Connect;
    ConnIndex conn{};
    Portal portal{};  ///< Connect only.
};

/// Fresh random bytes for one connection: CHAP challenge and identifier. From getrandom(2).
using FreshRandom = std::array<std::byte, 64>;

/// What a session that loses a write can rely on to end it at the target, as found at attach.
/// docs/recovery.md, "the fence".
enum class FenceReliance : std::uint8_t {
    Unknown,             ///< No session was ready yet.
    PreemptAndAbort,     ///< The unit is reserved for us.
    UnitReset,           ///< The unit says that it knows it, or has done it.
    UnitResetUntried,    ///< The unit does not tell.
    TargetResetUntried,  ///< The unit does not know unit resets.
    Wait,                ///< The unit is shared.
};

/// Counters for status and metrics; only ever grow, except the gauges at the end.
struct EngineCounters {
    std::uint64_t requests_done = 0;
    std::uint64_t requests_failed = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t written_bytes = 0;
    std::uint64_t retries = 0;  ///< Requests sent again after BUSY, unit attention, recovery.
    std::uint64_t sessions_established = 0;
    std::uint64_t sessions_lost = 0;
    std::uint64_t digest_errors = 0;
    std::uint64_t violations = 0;  ///< Protocol errors of the peer.
    std::uint64_t nop_sent = 0;
    std::uint64_t nop_timeouts = 0;
    std::uint64_t nop_rtt_last_ns = 0;
    std::uint64_t nop_rtt_max_ns = 0;
    std::uint64_t tmf_sent = 0;
    std::uint64_t snacks_sent = 0;
    std::uint64_t connections_lost = 0;  ///< Without their session.
    std::uint64_t tasks_reassigned = 0;  ///< Commands that went on over another connection.
    std::uint64_t tasks_resent = 0;      ///< The same, of which the target knew nothing.
    std::uint64_t notices_dropped = 0;
    std::uint32_t requests_in_flight = 0;          ///< Gauge.
    std::uint32_t connections = 0;                 ///< Gauge: those that commands may go out on.
    std::uint32_t command_window = 0;              ///< Gauge: commands the target would still take.
    std::uint32_t connections_agreed = 0;          ///< Gauge: MaxConnections; 0: no session.
    std::uint32_t error_recovery_level = 0;        ///< Gauge: of the session.
    FenceReliance fence = FenceReliance::Unknown;  ///< Of the last session that was ready.
};

/// Where the session stands, for status. RFC 7143 section 8.3 plus our own phases.
enum class SessionPhase : std::uint8_t {
    Idle,
    Connecting,
    LoggingIn,
    Probing,
    Fencing,
    Ready,
    Waiting,
    LoggingOut,
    Ended
};

class Session;

/// See the file comment.
class Engine {
public:
    /// Upper bounds of scatter lists, for the caller's arrays.
    static constexpr std::size_t kRxSpansMax = 3;
    static constexpr std::size_t kTxSpansMax = 64;

    /// Adds one line per kind of object; the sum is what the constructor carves at most.
    static void add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept;

    /// Carves everything it will ever need from `region`. `config` is copied. `memory` is for the
    /// flight recorder; without it nothing is recorded.
    Engine(const SessionConfig& config, const EngineLimits& limits, reserve::Region& region,
           RecorderMemory memory = {}) noexcept;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    ~Engine();

    /// Starts to log in. Once.
    void start(Instant now) noexcept;
    /// Settles what is outstanding, logs out, ends with the order Stopped. A second call hurries:
    /// no more waiting for the target.
    void stop(Instant now) noexcept;

    void transport_up(ConnIndex conn, Instant now, const FreshRandom& random) noexcept;
    /// Also the answer to Connect when it failed, and to Close and Reset when done.
    void transport_lost(ConnIndex conn, Instant now) noexcept;

    /// Where the next bytes go, in order. Payload of a large Data-In lands in the request's own
    /// buffer. Returns the used part of `out`; empty when the connection wants nothing.
    [[nodiscard]] std::span<std::span<std::byte>> rx_spaces(
        ConnIndex conn, std::span<std::span<std::byte>> out) noexcept;
    void rx_filled(ConnIndex conn, Instant now, std::size_t bytes) noexcept;

    /// What to send next, in order; whole PDUs gathered. Empty when there is nothing.
    [[nodiscard]] std::span<std::span<const std::byte>> tx_spans(
        ConnIndex conn, Instant now, std::span<std::span<const std::byte>> out) noexcept;
    /// The first `bytes` of what tx_spans gave were taken by the transport. Less than all is legal.
    void tx_sent(ConnIndex conn, Instant now, std::size_t bytes) noexcept;
    /// The transport will not read the oldest `bytes` of what it has taken any more: their loans
    /// are over. Report it in front of input that came with it, for an answer ends a request, and
    /// a request with a loan ends only then.
    void tx_released(ConnIndex conn, std::size_t bytes) noexcept;

    /// Never blocks and never needs memory. Requests are accepted in every phase after DeviceReady;
    /// without a session they wait by the profile.
    [[nodiscard]] Submitted submit(Instant now, const Request& request) noexcept;

    [[nodiscard]] std::optional<Completion> poll_completion() noexcept;
    [[nodiscard]] std::optional<Order> poll_order() noexcept;
    [[nodiscard]] std::optional<Notice> poll_notice() noexcept;

    /// When wake() must be called at the latest; Instant::never() means on input only.
    [[nodiscard]] Instant next_wake() const noexcept;
    /// Judges timers. `late`: how much later than next_wake() the caller's loop came round; a slow
    /// host is not a dead target.
    void wake(Instant now, Duration late) noexcept;

    [[nodiscard]] SessionPhase phase() const noexcept;
    [[nodiscard]] const DeviceFacts& facts() const noexcept;
    [[nodiscard]] const EngineCounters& counters() const noexcept;

private:
    /// For the length of a call: the recorder knows the time before, and the phase after it.
    class Recording;

    Recorder recorder_;
    Session& session_;  // Carved from the region.
};

}  // namespace holdfast::initiator
