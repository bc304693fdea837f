/// The life of one I/O process: plan, arena, sockets, login, export, lockdown, arming, service,
/// logout. One attachment, one thread, one device.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "daemon/shared/attach_spec.h"
#include "reserve/plan.h"
#include "reserve/process_plan.h"

namespace holdfast::daemon {

/// What the supervisor hands over.
struct IoInheritance {
    UniqueFd area;     ///< The shared area.
    UniqueFd command;  ///< Seqpacket, towards control.
    std::uint32_t attachment = 0;
    /// Take over this ublk device of a predecessor that died; -1: none.
    std::int32_t recover_ublk_id = -1;
    std::uint64_t kernel_reserve_kib = 0;  ///< vm.min_free_kbytes as settled; 0: not touched.
    std::uint64_t kernel_reserve_wanted_kib = 0;  ///< What all attachments need together.
    reserve::ImageFacts image{};                  ///< Of this program, from the start of main().
};

/// True when the kernel's reserve shall cover the attachment.
[[nodiscard]] bool wants_kernel_reserve(const AttachSpec& spec) noexcept;
/// The kernel buffers of each connection: what was asked for, or what can be guaranteed. The
/// kernel's own choice (0) is left only where nothing is guaranteed.
[[nodiscard]] SocketSpec socket_buffers_of(const AttachSpec& spec) noexcept;

/// Status, log and flight recorder: what the process shares with holdfast-control.
void add_shared_area_to_plan(reserve::MemoryPlan& plan, const AttachSpec& spec) noexcept;

/// What heap::limit() gives a process of ours: building the system call filter is the largest use.
inline constexpr ByteCount kHeapMore{512 * 1024};

/// Exit codes of an I/O process.
inline constexpr int kIoExitDetached = 0;
inline constexpr int kIoExitFailed = 1;  ///< It never served; control was told why.

/// Runs to the end and returns the exit code. The caller leaves with _exit(): nothing is destroyed,
/// because an armed process may not unmap. Once per process.
[[nodiscard]] int run_io_process(const AttachSpec& spec, IoInheritance inheritance) noexcept;

}  // namespace holdfast::daemon
