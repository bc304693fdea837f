/// Asks the control process. Blocking; one request per connection.
#pragma once

#include <string>

#include "daemon/control/failure.h"
#include "daemon/control/wire.h"

namespace holdfast::daemon {

/// The socket to use: the option, else HOLDFAST_SOCKET, else the installed one.
[[nodiscard]] std::string control_socket_path(const std::string& option);

/// Fails with ExitCode::NoDaemon when nobody listens there. Waits for the answer as long as the
/// daemon lives: it keeps the deadlines.
[[nodiscard]] OrFailure<Json> ask_daemon(const std::string& socket_path, const Request& request);

}  // namespace holdfast::daemon
