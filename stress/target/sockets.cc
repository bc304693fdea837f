#include "stress/target/sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>

namespace holdfast::target {
namespace {

struct HostPort {
    std::string host;
    std::string port;
};

HostPort split(const std::string& address) {
    const auto colon = address.rfind(':');
    if (colon == std::string::npos) return {address, "3260"};
    std::string host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return {host, address.substr(colon + 1)};
}

}  // namespace

OrErrno<UniqueFd> listen_on(const std::string& address) {
    const HostPort place = split(address);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    addrinfo* found = nullptr;
    if (::getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &found) != 0)
        return std::unexpected{Errno{EINVAL}};
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, ::freeaddrinfo};
    UniqueFd fd{::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return std::unexpected{Errno::last()};
    const int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (found->ai_family == AF_INET6)
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.get(), 128) != 0)
        return std::unexpected{Errno::last()};
    return fd;
}

OrErrno<UniqueFd> listen_on_path(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::span room{address.sun_path};
    if (path.size() >= room.size()) return std::unexpected{Errno{ENAMETOOLONG}};
    std::ranges::copy(path, room.begin());
    ::unlink(path.c_str());
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return std::unexpected{Errno::last()};
    const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (::bind(fd.get(), generic, sizeof address) != 0 || ::listen(fd.get(), 8) != 0)
        return std::unexpected{Errno::last()};
    return fd;
}

std::string local_address(int fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* generic = static_cast<sockaddr*>(static_cast<void*>(&storage));
    if (::getsockname(fd, generic, &length) != 0) return {};
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (::getnameinfo(generic, length, host.data(), host.size(), port.data(), port.size(),
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return {};
    std::string name{host.data()};
    // A zone means nothing to the other end.
    name = name.substr(0, name.find('%'));
    if (storage.ss_family == AF_INET6) name = "[" + name + "]";
    return name + ":" + port.data();
}

void abort_on_close(int fd) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace holdfast::target
