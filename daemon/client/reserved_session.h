/// The reserved path for a session of this process: routes, and a classifier of its own on the
/// interface, which goes when the process does. Needs root.
#pragma once

#include <optional>

#include "daemon/control/failure.h"
#include "daemon/io/driver.h"
#include "daemon/shared/profile.h"
#include "netpath/classifier/loader.h"

namespace holdfast::daemon {

/// Completes `config` for the path that is wished; with Auto and no way to have the reserved one,
/// nothing changes. With `demands_zero_copy` the driver's sockets refuse to be opened for copying.
/// The classifier must live as long as the driver; empty: the kernel's TCP.
[[nodiscard]] OrFailure<std::optional<netpath::classifier::Classifier>> choose_path(
    NetworkPath wish, bool demands_zero_copy, DriverConfig& config);

}  // namespace holdfast::daemon
