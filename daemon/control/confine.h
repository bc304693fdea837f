/// The sandbox of the control process. It parses text from clients and answers of name servers, so
/// it is an ordinary user without capabilities, can start nothing, and writes only where its own
/// files are: its state and recordings, and links to devices. What needs root is done before, or by
/// the supervisor on a message of fixed size.
#pragma once

#include <string>

#include "daemon/control/config.h"
#include "daemon/control/control_user.h"
#include "reserve/protection.h"

namespace holdfast::daemon {

/// After the socket was made. Reads secrets into `config`, gives folders to the user, and then
/// gives everything up. Uses the heap.
[[nodiscard]] reserve::Protections confine_control(Config& config, const std::string& links,
                                                   const ControlUser& user);

}  // namespace holdfast::daemon
