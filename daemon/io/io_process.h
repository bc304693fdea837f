/// The life of one I/O process: plan, arena, sockets, login, export, lockdown, arming, service,
/// logout. One attachment, one thread, one device.
///
/// One that stands by does everything that needs memory or files first, sleeps until the order, and
/// goes on with the login; see docs/watchdog.md.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/gate.h"
#include "reserve/process_plan.h"
#include "reserve/raised_setting.h"

namespace holdfast::daemon {

/// What the supervisor hands over.
struct IoInheritance {
    UniqueFd area;     ///< The shared area.
    UniqueFd command;  ///< Seqpacket, towards control.
    std::uint32_t attachment = 0;
    UniqueFd listener{};  ///< Nbd: the supervisor's, listening. None: make one.
    UniqueFd lock{};      ///< See unit_lock.h; only held.
    /// Given: stand by. An eventfd that counts when WatchBlock::order_pid names this process.
    UniqueFd order{};
    bool succeeds = false;  ///< Take over from a predecessor that died, at once.
    /// Take over this ublk device of a predecessor that died; -1: none.
    std::int32_t recover_ublk_id = -1;
    reserve::SettingState kernel_reserve{};  ///< vm.min_free_kbytes, KiB.
    reserve::ImageFacts image{};             ///< Of this program, from the start of main().
    GateFiles gate{};                        ///< The classifier's; none when there is none.
};

/// What heap::limit() gives a process of ours: building the system call filter is the largest use.
inline constexpr ByteCount kHeapMore{512 * 1024};

/// Exit codes of an I/O process.
inline constexpr int kIoExitDetached = 0;
inline constexpr int kIoExitFailed = 1;  ///< It did not come to serve; control was told why.

/// Runs to the end and returns the exit code. The caller leaves with _exit(): nothing is destroyed,
/// because an armed process may not unmap. Once per process.
[[nodiscard]] int run_io_process(const AttachSpec& spec, IoInheritance inheritance) noexcept;

}  // namespace holdfast::daemon
