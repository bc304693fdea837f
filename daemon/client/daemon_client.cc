#include "daemon/client/daemon_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <string_view>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/control/config.h"

namespace holdfast::daemon {

namespace {

std::unexpected<Failure> no_daemon(const std::string& path, Errno why) {
    const ExitCode code = why == Errno{EACCES} ? ExitCode::NotPermitted : ExitCode::NoDaemon;
    return fail(code, fmt::format("holdfastd does not answer at {}: {}; start it (systemctl start "
                                  "holdfastd), or name its socket with --socket",
                                  path, why.text()));
}

OrFailure<UniqueFd> connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::span<char> room{address.sun_path};
    if (path.size() >= room.size())
        return fail(ExitCode::Usage,
                    fmt::format("the socket path '{}' is too long; give a shorter one", path));
    std::ranges::copy(path, room.begin());
    UniqueFd made{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const auto* raw = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (!made || ::connect(made.get(), raw, sizeof(address)) != 0)
        return no_daemon(path, Errno::last());
    return made;
}

}  // namespace

std::string control_socket_path(const std::string& option) {
    if (!option.empty()) return option;
    const char* from_environment = std::getenv("HOLDFAST_SOCKET");
    if (from_environment != nullptr && *from_environment != '\0') return from_environment;
    return std::string{kControlSocketPath};
}

OrFailure<Json> ask_daemon(const std::string& socket_path, const Request& request) {
    const auto socket = connect_to(socket_path);
    if (!socket) return std::unexpected{socket.error()};
    const std::string frame = frame_of(body_of(request));
    std::string_view rest{frame};
    while (!rest.empty()) {
        const ssize_t done = ::send(socket->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return no_daemon(socket_path, Errno::last());
        rest.remove_prefix(static_cast<std::size_t>(done));
    }
    FrameReader frames{kAnswerBytesMax};
    std::array<char, 16 * 1024> room{};
    while (true) {
        if (const auto body = frames.try_take()) return parse_answer(*body);
        const ssize_t got = ::recv(socket->get(), room.data(), room.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || frames.is_broken())
            return fail(ExitCode::NoDaemon,
                        "holdfastd went away before it answered; look into its log");
        frames.append({room.data(), static_cast<std::size_t>(got)});
    }
}

}  // namespace holdfast::daemon
