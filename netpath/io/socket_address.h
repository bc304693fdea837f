/// A numeric IPv4 or IPv6 address with a port, as the kernel wants it. Nothing here resolves names.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "netpath/wire/address.h"

namespace holdfast::netpath {

/// Copyable; valid for the kernel as long as the object stays where it is.
class SocketAddress {
public:
    SocketAddress() noexcept = default;
    /// "192.0.2.1", "2001:db8::1" or "fe80::1%2" (numeric scope only); empty when `host` is not
    /// one of these.
    [[nodiscard]] static std::optional<SocketAddress> from_text(std::string_view host,
                                                                std::uint16_t port) noexcept;
    /// The address that makes connect(2) disconnect.
    [[nodiscard]] static SocketAddress nowhere() noexcept;

    [[nodiscard]] const sockaddr* raw() const noexcept;
    [[nodiscard]] socklen_t raw_bytes() const noexcept;
    /// Without port and scope; unset for nowhere().
    [[nodiscard]] wire::IpAddress ip() const noexcept;
    [[nodiscard]] bool is_ipv6() const noexcept { return storage_.ss_family == AF_INET6; }

private:
    sockaddr_storage storage_{};
};

}  // namespace holdfast::netpath
