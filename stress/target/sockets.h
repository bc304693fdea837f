/// Socket calls of the target program.
#pragma once

#include <string>

#include "base/errno.h"
#include "base/unique_fd.h"

namespace holdfast::target {

/// A listening, non-blocking TCP socket. `address` is numeric: 127.0.0.1:3260 or [::1]:3260; port 0
/// lets the kernel choose. EINVAL: the text is no such address.
[[nodiscard]] OrErrno<UniqueFd> listen_on(const std::string& address);
[[nodiscard]] OrErrno<UniqueFd> listen_on_path(const std::string& path);
/// host:port of this end; IPv6 in brackets.
[[nodiscard]] std::string local_address(int fd);
/// Makes close() send a RST.
void abort_on_close(int fd);

}  // namespace holdfast::target
