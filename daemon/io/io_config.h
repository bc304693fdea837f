/// What follows from an AttachSpec for the parts of an I/O process. Pure.
#pragma once

#include "daemon/io/driver.h"
#include "daemon/shared/attach_spec.h"

namespace holdfast::daemon {

/// True when the kernel's reserve shall cover the attachment.
[[nodiscard]] bool wants_kernel_reserve(const AttachSpec& spec) noexcept;

/// The kernel buffers of each connection: what was asked for, or what can be guaranteed. The
/// kernel's own choice (0) is left only where nothing is guaranteed.
[[nodiscard]] SocketSpec socket_buffers_of(const AttachSpec& spec) noexcept;

/// `takes_over`: a predecessor may have left commands at the target.
[[nodiscard]] DriverConfig driver_config(const AttachSpec& spec, bool takes_over) noexcept;

}  // namespace holdfast::daemon
