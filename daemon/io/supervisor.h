/// The supervisor: has the maker start the control process and one I/O process for each attachment,
/// hands over sockets and shared memory, reaps, restarts, and ends everything in order. It contains
/// no protocol code, parses no text, and waits in two places only: for events, and a short time for
/// the maker's answer. Before it serves anybody it gives up every system call that it does not need
/// (reserve/sandbox.h), and the heap.
///
/// What happens when an I/O process dies or hangs is decided in watchdog/supervise and carried out
/// in ProcessPair. When control dies, it is started anew and told about every attachment.
///
/// Timers: OwnTime::kTick, between two looks at the heartbeats, as long as there are attachments;
/// kControlPause, before control is started again; kHurryAfter and kKillAfter, during shutdown;
/// LifeSigns, towards the service manager and the machine's watchdog.
/// Limits: kAttachmentsMax attachments.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "daemon/io/init_socket.h"
#include "daemon/io/maker.h"
#include "daemon/io/process_pair.h"
#include "daemon/io/watchdog_device.h"
#include "daemon/shared/control_message.h"
#include "reserve/raised_setting.h"
#include "watchdog/supervise/life_signs.h"
#include "watchdog/supervise/own_time.h"

namespace holdfast::daemon {

struct SupervisorOptions {
    bool has_loader = false;  ///< Without holdfast-loader no classifier can be had.
    bool lock_down = true;
    const char* watchdog_device = "/dev/watchdog";
};

/// See the file comment. Thread: the process's only one.
class Supervisor {
public:
    static constexpr std::size_t kAttachmentsMax = 16;
    static constexpr Duration kControlPause = Duration::from_s(1);
    static constexpr Duration kHurryAfter = Duration::from_s(20);
    static constexpr Duration kKillAfter = Duration::from_s(40);

    /// `maker` has been started, and outlives this.
    Supervisor(const SupervisorOptions& options, Maker& maker) noexcept;
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    /// Until everything has ended. The exit code of the process.
    [[nodiscard]] int run() noexcept;

private:
    [[nodiscard]] OrErrno<void> open() noexcept;
    void protect() noexcept;
    void turn() noexcept;
    void look_after_pairs() noexcept;
    void on_signals() noexcept;
    void reap() noexcept;
    void on_control_exit(int status) noexcept;
    void on_maker_exit() noexcept;
    void on_io_exit(ProcessPair& pair, pid_t pid, int status) noexcept;

    [[nodiscard]] OrErrno<void> start_control() noexcept;
    [[nodiscard]] UniqueFd start_loader() noexcept;
    void read_control() noexcept;
    void on_control_ready(std::uint64_t watchdog_seconds) noexcept;
    void on_message(std::span<const std::byte> bytes, std::span<UniqueFd> fds) noexcept;
    void attach(const AttachBytes& message, GateFiles gate) noexcept;
    void announce(const ProcessPair& pair, std::uint32_t request_id) noexcept;
    void refuse(std::uint32_t request_id, FailReason reason, std::uint64_t code) noexcept;
    void tell(const ControlMessage& message, std::span<const int> fds = {}) noexcept;
    void bury_ublk(std::int32_t id) noexcept;
    void settle_device(ProcessPair& pair) noexcept;
    void end(ProcessPair& pair, pid_t pid, std::int32_t exit_status) noexcept;
    void settle_reserve() noexcept;
    [[nodiscard]] std::uint32_t reserve_users() const noexcept;

    void show_life(Instant now) noexcept;
    void tell_status(watchdog::Care care) noexcept;
    void watch_pressure() noexcept;
    void on_pressure() const noexcept;
    void begin_shutdown() noexcept;
    void leave_in_use(ProcessPair& pair) noexcept;
    void advance_shutdown() noexcept;

    [[nodiscard]] ProcessPair* find_pair(AttachmentId id) noexcept;
    [[nodiscard]] ProcessPair* find_pair_of(pid_t pid) noexcept;
    [[nodiscard]] bool has_live() const noexcept;
    [[nodiscard]] Instant next_wake() const noexcept;

    SupervisorOptions options_;
    UniqueFd signals_;
    UniqueFd psi_;         // Open while a classifier hears of no reclaim events.
    Duration psi_hold_{};  // How long one of its reports lasts.
    Maker& maker_;
    InitSocket manager_;
    WatchdogDevice machine_;
    watchdog::LifeSigns signs_;
    bool is_ready_ = false;            // The manager knows that clients are served.
    std::uint32_t told_counts_ = ~0U;  // What it was told last.
    UniqueFd control_;
    pid_t control_pid_ = 0;
    Instant control_started_;
    Instant control_due_ = Instant::never();
    bool control_lived_ = false;
    bool is_shutting_down_ = false;
    bool has_told_control_ = false;
    Instant hurry_at_ = Instant::never();
    Instant kill_at_ = Instant::never();
    std::optional<int> exit_code_;
    std::uint32_t last_id_ = 0;
    reserve::RaisedSetting kernel_reserve_{reserve::kMinFreePath};
    std::uint32_t reserve_users_ = 0;  // Whom it covers.
    PairContext context_;
    watchdog::OwnTime own_time_;
    Instant look_at_ = Instant::never();
    std::array<ProcessPair, kAttachmentsMax> pairs_{};
    std::array<std::byte, kMessageBytesMax> room_{};
};

}  // namespace holdfast::daemon
