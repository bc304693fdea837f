/// Drives one engine over the kernel's TCP or over the reserved path: ring, sockets, clock and
/// random bytes around a pure session. The I/O process puts an export on top; the client tool uses
/// it as it is.
///
/// Use: open(), start(), then run_once() until state() is Ready; submit() requests whose data lies
/// in buffer(tag) or anywhere else that stays put; run_once() and poll_completion() until done;
/// stop() and run_once() until Stopped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/time.h"
#include "daemon/io/gathering.h"
#include "daemon/io/host_lookup.h"
#include "daemon/io/reserved_path.h"
#include "initiator/engine.h"
#include "initiator/recorder.h"
#include "netpath/io/ring.h"
#include "netpath/io/tcp_socket.h"
#include "reserve/arena.h"
#include "reserve/plan.h"

namespace holdfast::daemon {

struct DriverConfig {
    initiator::SessionConfig session;
    initiator::EngineLimits limits;
    netpath::TcpOptions tcp;
    std::optional<ReservedPath> reserved{};  ///< Empty: the kernel's TCP.
    /// Make an own arena locked and pinned; without it a refusal is not an error.
    bool must_lock = false;
    /// Room for whoever stands on top: operations on the ring, files in its table.
    std::uint32_t extra_operations = 0;
    std::uint16_t extra_files = 0;
    initiator::RecorderMemory flight{};  ///< Outside the plan: the caller's.
    bool with_commands = false;          ///< See RingOptions.
    bool with_accept = false;
};

/// Where the session stands, for a caller that only wants to read and write.
enum class DriverState : std::uint8_t {
    Opening,  ///< Connecting, logging in or probing for the first time.
    Ready,    ///< facts() are valid; requests are taken, even while the session is away.
    GaveUp,   ///< The first login or probe failed for good; the notices say why.
    Stopped,
};

/// Takes completions of operations that the driver did not ask for.
class ForeignCompletions {
public:
    /// `completed.token.owner` is not Driver::kOwner.
    virtual void on_completed(const netpath::Completed& completed, Instant now) noexcept = 0;

protected:
    ~ForeignCompletions() = default;
};

/// What the loop measured about itself.
struct DriverCounters {
    std::uint64_t turns = 0;
    std::uint64_t late_max_ns = 0;   ///< Longest wake-up after the asked time.
    std::uint64_t late_last_ns = 0;  ///< The last one.
};

/// See the file comment. Thread: the one that calls open().
class Driver {
public:
    /// Token owner of the driver's own operations; others take other numbers.
    static constexpr std::uint8_t kOwner = 1;

    Driver() noexcept;
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;
    ~Driver();

    /// What open() will carve: engine, sockets and one buffer of limits.request_bytes_max for each
    /// tag.
    static void add_to_plan(reserve::MemoryPlan& plan, const DriverConfig& config) noexcept;

    /// Makes everything, with an arena of its own.
    [[nodiscard]] OrErrno<void> open(const DriverConfig& config) noexcept;
    /// The same inside memory that the caller planned with add_to_plan(); `pinned` is registered
    /// with the ring.
    [[nodiscard]] OrErrno<void> open_in(const DriverConfig& config, reserve::Region& region,
                                        std::span<const std::byte> pinned) noexcept;

    /// open_in() in two steps, for a process that stands by: everything but the engine, and the
    /// engine, which takes nothing from the system and finds the recording of its predecessor.
    [[nodiscard]] OrErrno<void> prepare_in(const DriverConfig& config, reserve::Region& region,
                                           std::span<const std::byte> pinned) noexcept;
    void make_engine_in(const DriverConfig& config, reserve::Region& region) noexcept;

    /// The reserved path: takes the interface's queues, which prepare_in() leaves to whoever has
    /// them. `sockets_fd`: see ReservedPath. Before start(); EBUSY can be tried again.
    [[nodiscard]] OrErrno<void> bind_path(int sockets_fd) noexcept;

    /// Starts to log in. Once.
    void start() noexcept;
    /// Settles, logs out, then Stopped. A second call hurries.
    void stop() noexcept;

    /// One turn: sends and asks for what is due, sleeps until there is input, a timer of the engine
    /// or `wait_max`, then handles everything that came. `foreign` may be null when nobody else
    /// uses the ring.
    void run_once(Duration wait_max, ForeignCompletions* foreign = nullptr) noexcept;

    [[nodiscard]] DriverState state() const noexcept { return state_; }
    /// True once after the unit's capacity changed.
    [[nodiscard]] bool take_resized() noexcept;

    /// The tag's own buffer: request_bytes_max bytes, page-aligned.
    [[nodiscard]] std::span<std::byte> buffer(std::uint16_t tag) noexcept;
    /// All of them, tag after tag.
    [[nodiscard]] std::span<std::byte> buffers() noexcept { return buffers_; }
    [[nodiscard]] initiator::Submitted submit(const initiator::Request& request) noexcept;
    [[nodiscard]] std::optional<initiator::Completion> poll_completion() noexcept;
    [[nodiscard]] std::optional<initiator::Notice> poll_notice() noexcept;

    /// A host name that a target redirected us to; the caller looks it up elsewhere and answers.
    /// Unanswered, it costs that connect HostLookup::kAnswerMax.
    [[nodiscard]] std::optional<HostName> poll_host() noexcept { return hosts_.poll_wanted(); }
    /// `address` empty: there is no such host.
    void answer_host(std::string_view host, const std::optional<HostAddress>& address) noexcept;

    [[nodiscard]] const initiator::DeviceFacts& facts() const noexcept;
    [[nodiscard]] const initiator::EngineCounters& engine_counters() const noexcept;
    [[nodiscard]] const DriverCounters& counters() const noexcept { return counters_; }
    [[nodiscard]] initiator::SessionPhase phase() const noexcept;
    /// The portal of the last connect; port 0: none yet.
    [[nodiscard]] const initiator::Portal& last_portal() const noexcept { return last_portal_; }
    [[nodiscard]] netpath::Ring& ring() noexcept { return ring_; }
    /// Null on the kernel's TCP.
    [[nodiscard]] const netpath::xdp::XdpPath* reserved_path() const noexcept { return path_; }
    /// First of the extra_files places.
    [[nodiscard]] netpath::FileSlot first_extra_file() const noexcept { return first_extra_file_; }

    /// CLOCK_MONOTONIC.
    [[nodiscard]] static Instant clock() noexcept;

private:
    static constexpr std::size_t kConnectionsMax = 8;
    /// Token kind: a queue of the reserved path has frames. Above the kinds of TcpSocket.
    static constexpr std::uint8_t kPollKind = 100;

    void bring_sockets_home() noexcept;
    // The reserved path: driver_reserved.cc.
    [[nodiscard]] OrErrno<void> open_reserved(const DriverConfig& config,
                                              reserve::Region& region) noexcept;
    void send_reserved(Instant now) noexcept;
    void lend(initiator::ConnIndex conn, Instant now) noexcept;
    void take_reserved(Instant now) noexcept;
    void receive_reserved(initiator::ConnIndex conn, Instant now) noexcept;
    void bring_path_home() noexcept;
    /// getrandom(2) never blocks once the machine has booted, and never allocates.
    [[nodiscard]] static initiator::FreshRandom draw_random() noexcept;

    [[nodiscard]] OrErrno<void> open_sockets(const DriverConfig& config,
                                             reserve::Region& region) noexcept;
    [[nodiscard]] netpath::SocketReport connect_to(initiator::ConnIndex conn,
                                                   const netpath::SocketAddress& address,
                                                   Instant now) noexcept;
    [[nodiscard]] netpath::SocketReport close(initiator::ConnIndex conn, Instant now) noexcept;
    [[nodiscard]] netpath::SocketReport reset(initiator::ConnIndex conn, Instant now) noexcept;
    void issue_io(Instant now) noexcept;
    void issue_io_of(initiator::ConnIndex conn, Instant now) noexcept;
    void handle_completions(Instant now, ForeignCompletions* foreign) noexcept;
    void report(initiator::ConnIndex conn, const netpath::SocketReport& report,
                Instant now) noexcept;
    void follow_orders(Instant now) noexcept;
    void follow(const initiator::Order& order, Instant now) noexcept;
    void connect(const initiator::Order& order, Instant now) noexcept;
    void settle_hosts(Instant now) noexcept;
    void sleep(Instant now, Duration wait_max) noexcept;
    [[nodiscard]] Duration sleep_limit(Instant now, Duration wait_max) const noexcept;

    netpath::Ring ring_;
    std::optional<reserve::Arena> arena_;
    std::unique_ptr<std::byte[]> unlocked_;
    std::optional<reserve::Region> plain_region_;
    initiator::Engine* engine_ = nullptr;
    std::uint8_t connections_ = 0;
    std::span<netpath::TcpSocket> sockets_;  // Empty on the reserved path.
    netpath::xdp::XdpPath* path_ = nullptr;  // Carved from the region.
    std::array<bool, netpath::xdp::PathShape::kQueuesMax> is_polled_{};
    std::span<std::byte> buffers_;
    std::uint32_t request_bytes_max_ = 0;
    DriverState state_ = DriverState::Opening;
    bool resized_ = false;
    initiator::Portal last_portal_{.host = {}, .port = 0};
    netpath::FileSlot first_extra_file_{};
    HostLookup hosts_;
    Gathering gathering_;
    std::array<bool, kConnectionsMax> owes_lost_{};  // Since Connect: one transport_lost, no more.
    std::uint32_t quick_sends_ = 0;   // Of this turn: small, so they end while being submitted.
    std::uint64_t ended_before_ = 0;  // Requests, at the end of the last turn.
    DriverCounters counters_;
};

}  // namespace holdfast::daemon
