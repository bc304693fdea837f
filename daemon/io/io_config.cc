#include "daemon/io/io_config.h"

#include <algorithm>
#include <string_view>

#include "daemon/io/loop.h"
#include "daemon/io/nbd_export.h"
#include "daemon/io/ublk_export.h"
#include "reserve/kernel_need.h"
#include "reserve/number_text.h"

namespace holdfast::daemon {

bool wants_kernel_reserve(const AttachSpec& spec) noexcept {
    return (spec.flags & (kAttachKeepKernelReserve | kAttachWithoutLockdown)) == 0;
}

bool needs_kernel_reserve(const AttachSpec& spec, bool is_zero_copy) noexcept {
    return wants_kernel_reserve(spec) && !(spec.path == NetworkPath::Xdp && is_zero_copy);
}

reserve::Protection kernel_reserve_row(const AttachSpec& spec, const reserve::SettingState& setting,
                                       bool is_zero_copy) noexcept {
    constexpr std::string_view kName = "kernel reserve";
    if (spec.path == NetworkPath::Xdp && is_zero_copy)
        return reserve::protection(kName, "nothing", "nothing: zero copy", true, {});
    if (!wants_kernel_reserve(spec))
        return reserve::protection(kName, "covers the sockets", "not touched, as asked", false,
                                   "attach without keep_kernel_reserve");
    const bool holds = setting.value >= setting.wanted && setting.wanted > 0;
    return reserve::protection(kName, reserve::NumberText{setting.wanted}.view(),
                               reserve::NumberText{setting.value}.view(), holds,
                               "vm.min_free_kbytes cannot be raised; run holdfastd as root");
}

SocketSpec socket_buffers_of(const AttachSpec& spec) noexcept {
    SocketSpec buffers = spec.socket;
    if (!wants_kernel_reserve(spec)) return buffers;
    const auto guaranteed =
        reserve::socket_buffers_for(spec.limits.depth, spec.limits.request_bytes_max);
    if (buffers.send_bytes == 0) buffers.send_bytes = guaranteed.send_bytes;
    if (buffers.receive_bytes == 0) buffers.receive_bytes = guaranteed.receive_bytes;
    return buffers;
}

DriverConfig driver_config(const AttachSpec& spec, bool takes_over) noexcept {
    DriverConfig config{.session = spec.session, .limits = spec.limits, .tcp = {}};
    config.session.takes_over_device = takes_over;
    config.session.read_only = spec.session.read_only || spec.exported.read_only;
    const bool is_reserved = spec.path == NetworkPath::Xdp;
    // What the kernel reserve can pay for binds the kernel's sockets only.
    const SocketSpec buffers = is_reserved ? spec.socket : socket_buffers_of(spec);
    if (is_reserved) config.limits.transmit_pieces = kReservedTransmitPieces;
    config.tcp.send_bytes = buffers.send_bytes;
    config.tcp.receive_bytes = buffers.receive_bytes;
    // A dead path shows by then; NOP time-outs judge the target, this judges the wire.
    const Duration limit = spec.session.timers.nop_interval + spec.session.timers.nop_timeout;
    config.tcp.user_timeout_ms =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(2 * limit.ms(), 5'000, 120'000));
    config.must_lock = (spec.flags & kAttachWithoutLockdown) == 0;
    const bool is_ublk = spec.exported.kind == ExportKind::Ublk;
    config.extra_operations =
        IoLoop::kOperations +
        (is_ublk ? UblkExport::operations_for(spec.limits.depth) : NbdExport::kOperations);
    config.extra_files = static_cast<std::uint16_t>(
        IoLoop::kFiles + (is_ublk ? UblkExport::kFiles : NbdExport::kFiles));
    config.with_commands = is_ublk;
    config.with_accept = !is_ublk;
    return config;
}

}  // namespace holdfast::daemon
