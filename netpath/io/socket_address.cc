#include "netpath/io/socket_address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>
#include <span>

#include "base/fixed_vector.h"

namespace holdfast::netpath {

namespace {

/// inet_pton wants a terminating zero; 64 bytes hold every numeric address.
using AddressText = FixedVector<char, 64>;

std::optional<AddressText> terminated(std::string_view text) noexcept {
    AddressText copy;
    for (const char c : text)
        if (c == '\0' || !copy.try_push(c)) return {};
    if (!copy.try_push('\0')) return {};
    return copy;
}

std::optional<sockaddr_in> ipv4_from(std::string_view host) noexcept {
    const auto text = terminated(host);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (!text || inet_pton(AF_INET, text->span().data(), &address.sin_addr) != 1) return {};
    return address;
}

std::optional<sockaddr_in6> ipv6_from(std::string_view host) noexcept {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    if (const auto percent = host.find('%'); percent != std::string_view::npos) {
        const std::string_view scope = host.substr(percent + 1);
        const auto parsed = std::from_chars(scope.begin(), scope.end(), address.sin6_scope_id);
        if (parsed.ec != std::errc{} || parsed.ptr != scope.end()) return {};
        host = host.substr(0, percent);
    }
    const auto text = terminated(host);
    if (!text || inet_pton(AF_INET6, text->span().data(), &address.sin6_addr) != 1) return {};
    return address;
}

}  // namespace

std::optional<SocketAddress> SocketAddress::from_text(std::string_view host,
                                                      std::uint16_t port) noexcept {
    SocketAddress result;
    if (auto ipv4 = ipv4_from(host)) {
        ipv4->sin_port = htons(port);
        std::memcpy(&result.storage_, &*ipv4, sizeof(*ipv4));
        return result;
    }
    if (auto ipv6 = ipv6_from(host)) {
        ipv6->sin6_port = htons(port);
        std::memcpy(&result.storage_, &*ipv6, sizeof(*ipv6));
        return result;
    }
    return {};
}

SocketAddress SocketAddress::nowhere() noexcept {
    SocketAddress result;
    result.storage_.ss_family = AF_UNSPEC;
    return result;
}

const sockaddr* SocketAddress::raw() const noexcept {
    // The sockets API is written for exactly this view of a sockaddr_storage.
    return static_cast<const sockaddr*>(static_cast<const void*>(&storage_));
}

socklen_t SocketAddress::raw_bytes() const noexcept {
    return is_ipv6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

wire::IpAddress SocketAddress::ip() const noexcept {
    if (storage_.ss_family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, &storage_, sizeof address);
        return wire::IpAddress::v4(
            std::as_bytes(std::span<const in_addr, 1>{&address.sin_addr, 1}));
    }
    if (storage_.ss_family != AF_INET6) return {};
    sockaddr_in6 address{};
    std::memcpy(&address, &storage_, sizeof address);
    return wire::IpAddress::v6(std::as_bytes(std::span<const in6_addr, 1>{&address.sin6_addr, 1}));
}

}  // namespace holdfast::netpath
