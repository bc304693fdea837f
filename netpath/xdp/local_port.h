/// A local port that nobody else on this host gets: the kernel's own TCP is told that it is taken,
/// and answers with a reset what comes to it. Effectful; before the process is armed.
#pragma once

#include <cstdint>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "netpath/wire/address.h"

namespace holdfast::netpath::xdp {

struct LocalPort {
    UniqueFd owner;  ///< A socket that is bound and never used; the port is ours while it is open.
    std::uint16_t number = 0;
};

/// Any free one of `local`. EADDRINUSE: there is none.
[[nodiscard]] OrErrno<LocalPort> reserve_port(const wire::IpAddress& local) noexcept;

}  // namespace holdfast::netpath::xdp
