/// The supervisor: starts the control process and one I/O process for each attachment, hands over
/// sockets and shared memory, reaps, restarts, and ends everything in order. It contains no
/// protocol code, parses no text, and waits in one place only.
///
/// When an I/O process dies that served a ublk device, a successor takes the device over and gets
/// every request again that was not answered. When control dies, it is started anew and told about
/// every attachment.
///
/// Timers: kControlPause, before control is started again; kHurryAfter and kKillAfter, during
/// shutdown. Limits: kAttachmentsMax attachments; kRestartsMax successors within kRestartWindow.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/control_message.h"
#include "reserve/kernel_reserve.h"
#include "reserve/process_plan.h"

namespace holdfast::daemon {

struct SupervisorOptions {
    const char* control_program = nullptr;
    /// What control gets behind its own options: the command line of holdfastd.
    std::span<char* const> control_arguments;
    bool lock_down = true;
    reserve::ImageFacts image;  ///< From the start of main().
};

/// See the file comment. Thread: the process's only one.
class Supervisor {
public:
    static constexpr std::size_t kAttachmentsMax = 16;
    static constexpr Duration kControlPause = Duration::from_s(1);
    static constexpr Duration kHurryAfter = Duration::from_s(20);
    static constexpr Duration kKillAfter = Duration::from_s(40);
    static constexpr Duration kRestartWindow = Duration::from_s(60);
    static constexpr std::uint32_t kRestartsMax = 5;

    explicit Supervisor(const SupervisorOptions& options) noexcept : options_(options) {}
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    /// Until everything has ended. The exit code of the process.
    [[nodiscard]] int run() noexcept;

private:
    struct Slot {
        bool is_used = false;
        AttachmentId id{};
        pid_t pid = 0;
        std::uint32_t generation = 0;  ///< How many processes served this attachment.
        std::uint32_t restarts = 0;    ///< Within the window.
        Instant window_end;
        bool is_stopping = false;
        UniqueFd area;
        UniqueFd control_end;
        UniqueFd io_end;
        AttachSpec spec;
    };

    [[nodiscard]] OrErrno<void> open() noexcept;
    void lock_again() noexcept;
    void turn() noexcept;
    void on_signals() noexcept;
    void reap() noexcept;
    void on_control_exit(int status) noexcept;
    void on_io_exit(Slot& slot, int status) noexcept;

    [[nodiscard]] OrErrno<void> start_control() noexcept;
    [[noreturn]] void become_control(int socket) noexcept;
    void read_control() noexcept;
    void on_message(std::span<const std::byte> bytes) noexcept;
    void attach(const AttachBytes& message) noexcept;
    [[nodiscard]] OrErrno<void> make_slot(Slot& slot, const AttachSpec& spec) noexcept;
    [[nodiscard]] OrErrno<void> start_io(Slot& slot, std::int32_t recover_ublk_id) noexcept;
    [[noreturn]] void become_io(Slot& slot, std::int32_t recover_ublk_id) noexcept;
    void announce(Slot& slot, std::uint32_t request_id) noexcept;
    void refuse(std::uint32_t request_id, FailReason reason, std::uint64_t code) noexcept;
    void tell(const ControlMessage& message, std::span<const int> fds = {}) noexcept;
    void bury_ublk(std::int32_t id) noexcept;
    void forget(Slot& slot) noexcept;
    void settle_reserve() noexcept;

    void begin_shutdown() noexcept;
    void advance_shutdown() noexcept;
    void order_detach(Slot& slot, bool hurry) noexcept;

    [[nodiscard]] Slot* find_slot(AttachmentId id) noexcept;
    [[nodiscard]] Slot* find_slot_of(pid_t pid) noexcept;
    [[nodiscard]] bool has_live() const noexcept;
    [[nodiscard]] Instant next_wake() const noexcept;

    SupervisorOptions options_;
    UniqueFd signals_;
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
    reserve::KernelReserve kernel_reserve_;
    std::uint64_t kernel_reserve_kib_ = 0;
    std::uint64_t kernel_reserve_wanted_kib_ = 0;
    std::array<Slot, kAttachmentsMax> slots_{};
    std::array<std::byte, kMessageBytesMax> room_{};
};

}  // namespace holdfast::daemon
