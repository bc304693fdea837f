#include "netpath/xdp/local_port.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace holdfast::netpath::xdp {

OrErrno<LocalPort> reserve_port(const wire::IpAddress& local) noexcept {
    const int family = local.is_v6() ? AF_INET6 : AF_INET;
    LocalPort made{.owner = UniqueFd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP)}};
    if (!made.owner) return std::unexpected(Errno::last());
    sockaddr_storage storage{};
    socklen_t bytes = sizeof(sockaddr_in);
    if (local.is_v6()) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        std::memcpy(&address.sin6_addr, local.bytes().data(), sizeof(address.sin6_addr));
        bytes = sizeof(address);
        std::memcpy(&storage, &address, sizeof(address));
    } else {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        std::memcpy(&address.sin_addr, local.bytes().data(), sizeof(address.sin_addr));
        std::memcpy(&storage, &address, sizeof(address));
    }
    auto* const raw = reinterpret_cast<sockaddr*>(&storage);
    if (::bind(made.owner.get(), raw, bytes) != 0 ||
        ::getsockname(made.owner.get(), raw, &bytes) != 0)
        return std::unexpected(Errno::last());
    sockaddr_in either{};  // Both families have the port at the same place.
    std::memcpy(&either, &storage, sizeof(either));
    made.number = ntohs(either.sin_port);
    return made;
}

}  // namespace holdfast::netpath::xdp
