/// `holdfast discover`: carries the bytes of an initiator::Discovery over an ordinary socket.
/// Nothing here serves I/O, so it may sleep in poll(2).
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "daemon/control/failure.h"
#include "daemon/control/url.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

/// A target and where it can be reached.
struct FoundTarget {
    std::string name;
    std::vector<std::string> portals;  ///< "host:port", as the target gave them.
};

/// `session` needs names, portals and credentials; the target's name stays empty. Targets come in
/// the order in which the portal lists them. Portals are tried in turn until one answers.
[[nodiscard]] OrFailure<std::vector<FoundTarget>> discover(const initiator::SessionConfig& session);

}  // namespace holdfast::daemon
