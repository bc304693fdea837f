/// How the kernel would send to an address: through which interface, from which address, to which
/// station. Read by rtnetlink (linux/rtnetlink.h) before the process is armed; afterwards nobody
/// asks. Effectful; find_route() blocks for up to kNeighbourWait while the kernel looks for the
/// station.
#pragma once

#include <cstdint>

#include "base/errno.h"
#include "base/time.h"
#include "netpath/io/socket_address.h"
#include "netpath/wire/address.h"

namespace holdfast::netpath::xdp {

struct Route {
    unsigned interface_index = 0;
    wire::IpAddress local{};  ///< The address that the kernel would send from.
    wire::IpAddress remote{};
    wire::IpAddress next_hop{};        ///< The peer itself, or the router.
    wire::MacAddress station{};        ///< Of the interface.
    wire::MacAddress next_station{};   ///< Of the next hop; zero: it does not answer.
    std::uint32_t mtu_bytes = 0;       ///< Of the interface, or less, if the route says so.
    std::uint32_t receive_queues = 0;  ///< In use.
    std::uint32_t transmit_ring = 0;   ///< Places in the driver's ring of a queue; 0: unknown.
};

inline constexpr Duration kNeighbourWait = Duration::from_ms(1000);

/// ENETUNREACH: no route, or one that is no Ethernet. EOPNOTSUPP: the address is of this host.
[[nodiscard]] OrErrno<Route> find_route(const SocketAddress& to) noexcept;

/// The address and the port of it, as packets have them.
[[nodiscard]] wire::IpAddress ip_of(const SocketAddress& address) noexcept;
[[nodiscard]] std::uint16_t port_of(const SocketAddress& address) noexcept;

}  // namespace holdfast::netpath::xdp
