/// What the kernel says of a process of ours, layer by layer: for `holdfast status --security`.
/// Everything is read from /proc at the time of asking; nothing is what the process says of itself.
#pragma once

#include <cstdint>
#include <string_view>

#include "daemon/control/wire.h"

namespace holdfast::daemon {

/// Whose layers are looked at.
struct SecuredProcess {
    std::string_view role;  ///< "supervisor", "maker", "control", "active" or "standby".
    std::string_view attachment{};
    std::int32_t pid = 0;
};

/// A layer that the kernel does not tell us, is left out. Only `role`, `pid` and `gone` when there
/// is no such process.
[[nodiscard]] Json security_json(const SecuredProcess& process);

/// The same from given texts: /proc/PID/status and /proc/PID/stat.
[[nodiscard]] Json layers_json(std::string_view status, std::string_view stat);

}  // namespace holdfast::daemon
