/// The sandbox of the control process. It parses text from clients and answers of name servers, so
/// it keeps no capability, can start nothing, and writes only where its own files are. It stays
/// user 0, because files of root are its business: secrets, the state, links in /dev, the queue's
/// settings in /sys; without capabilities that is the right of their owner and no other.
#pragma once

#include <string>

#include "daemon/control/config.h"
#include "reserve/protection.h"

namespace holdfast::daemon {

/// After the socket was made. Makes the folders that are written to. Uses the heap.
[[nodiscard]] reserve::Protections confine_control(const Config& config,
                                                   const std::string& link_directory);

}  // namespace holdfast::daemon
