#include "daemon/control/interfaces.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "netpath/io/socket_address.h"

namespace holdfast::daemon {

namespace {

using netpath::wire::IpAddress;

struct FreeInterfaces {
    void operator()(ifaddrs* list) const noexcept { ::freeifaddrs(list); }
};
using Interfaces = std::unique_ptr<ifaddrs, FreeInterfaces>;

Interfaces all_interfaces() {
    ifaddrs* raw = nullptr;
    return Interfaces{::getifaddrs(&raw) == 0 ? raw : nullptr};
}

/// Copies, because what the kernel gives need not be aligned for a cast.
std::optional<IpAddress> address_in(const void* raw, sa_family_t family) {
    if (family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, raw, sizeof address);
        return IpAddress::v4(std::as_bytes(std::span<const in_addr, 1>{&address.sin_addr, 1}));
    }
    if (family != AF_INET6) return {};
    sockaddr_in6 address{};
    std::memcpy(&address, raw, sizeof address);
    return IpAddress::v6(std::as_bytes(std::span<const in6_addr, 1>{&address.sin6_addr, 1}));
}

std::unexpected<Failure> no_route(std::string_view host, Errno error) {
    return fail(ExitCode::Unreachable,
                fmt::format("no interface leads to {}: {}; name one with classifier_interface",
                            host, error.text()));
}

/// Nothing throws: an interface may go while it is looked at.
template <class Visit>
void for_each_in(const std::filesystem::path& folder, Visit visit) {
    std::error_code error;
    std::filesystem::directory_iterator at{folder, error};
    for (; !error && at != std::filesystem::directory_iterator{}; at.increment(error))
        visit(at->path());
}

}  // namespace

OrFailure<Interface> interface_towards(std::string_view host) {
    constexpr std::uint16_t kAnyPort = 3260;  // A datagram socket sends nothing to connect.
    const auto address = netpath::SocketAddress::from_text(host, kAnyPort);
    if (!address) return no_route(host, Errno{EINVAL});
    const int family = address->is_ipv6() ? AF_INET6 : AF_INET;
    const UniqueFd probe{::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!probe || ::connect(probe.get(), address->raw(), address->raw_bytes()) != 0)
        return no_route(host, Errno::last());
    sockaddr_storage local{};
    socklen_t bytes = sizeof local;
    auto* const local_raw = static_cast<sockaddr*>(static_cast<void*>(&local));
    if (::getsockname(probe.get(), local_raw, &bytes) != 0) return no_route(host, Errno::last());
    const auto ours = address_in(&local, local.ss_family);
    const Interfaces list = all_interfaces();
    for (const ifaddrs* one = list.get(); one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || !ours) continue;
        if (address_in(one->ifa_addr, one->ifa_addr->sa_family) == ours)
            return interface_named(one->ifa_name);
    }
    return no_route(host, Errno{ENODEV});
}

OrFailure<Interface> interface_named(const std::string& name) {
    const unsigned index = ::if_nametoindex(name.c_str());
    if (index == 0)
        return fail(ExitCode::Usage,
                    fmt::format("there is no interface '{}'; see 'ip link'", name));
    return Interface{.name = name, .index = index};
}

std::vector<IpAddress> addresses_of(const std::string& interface) {
    std::vector<IpAddress> found;
    const Interfaces list = all_interfaces();
    for (const ifaddrs* one = list.get(); one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || interface != one->ifa_name) continue;
        if (const auto address = address_in(one->ifa_addr, one->ifa_addr->sa_family))
            found.push_back(*address);
    }
    return found;
}

std::uint32_t receive_queues_of_host(std::string_view folder) {
    std::uint32_t found = 0;
    for_each_in(folder, [&](const std::filesystem::path& interface) {
        std::error_code ignored;
        if (!std::filesystem::exists(interface / "device", ignored)) return;
        for_each_in(interface / "queues", [&](const std::filesystem::path& queue) {
            found += queue.filename().string().starts_with("rx-") ? 1U : 0U;
        });
    });
    return found;
}

}  // namespace holdfast::daemon
