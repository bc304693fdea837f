/// What the supervisor tells the service manager that started it: sd_notify(3), whose protocol is
/// one datagram. Without its library, which would be locked memory.
#pragma once

#include <string_view>

#include "base/time.h"
#include "base/unique_fd.h"

namespace holdfast::daemon {

/// See the file comment. Effectful; never waits: what cannot be sent at once is lost.
class InitSocket {
public:
    InitSocket() noexcept = default;

    /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are taken out of the environment:
    /// they are for this process alone. One that tells nobody where they are not, or not sound.
    [[nodiscard]] static InitSocket from_environment() noexcept;

    /// Takes them out of the environment of a process that it does not know.
    static void forget() noexcept;

    [[nodiscard]] bool is_there() const noexcept { return static_cast<bool>(socket_); }
    /// Within this time it wants WATCHDOG=1; zero: it does not.
    [[nodiscard]] Duration patience() const noexcept { return patience_; }
    /// Lines such as "READY=1".
    void tell(std::string_view lines) const noexcept;

private:
    UniqueFd socket_;  // Connected.
    Duration patience_{};
};

}  // namespace holdfast::daemon
