/// What follows from an AttachSpec for the parts of an I/O process. Pure.
#pragma once

#include "daemon/io/driver.h"
#include "daemon/shared/attach_spec.h"
#include "reserve/protection.h"
#include "reserve/raised_setting.h"

namespace holdfast::daemon {

/// True when the kernel's reserve shall cover the attachment.
[[nodiscard]] bool wants_kernel_reserve(const AttachSpec& spec) noexcept;

/// True when it has to. `is_zero_copy`: as read back; what goes over AF_XDP without copies takes
/// nothing from it.
[[nodiscard]] bool needs_kernel_reserve(const AttachSpec& spec, bool is_zero_copy) noexcept;

/// What the reserve came to. It counts only where it is needed.
[[nodiscard]] reserve::Protection kernel_reserve_row(const AttachSpec& spec,
                                                     const reserve::SettingState& setting,
                                                     bool is_zero_copy) noexcept;

/// The kernel buffers of each connection: what was asked for, or what can be guaranteed. The
/// kernel's own choice (0) is left only where nothing is guaranteed.
[[nodiscard]] SocketSpec socket_buffers_of(const AttachSpec& spec) noexcept;

/// `takes_over`: a predecessor may have left commands at the target.
[[nodiscard]] DriverConfig driver_config(const AttachSpec& spec, bool takes_over) noexcept;

}  // namespace holdfast::daemon
