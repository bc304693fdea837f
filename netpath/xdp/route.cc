#include "netpath/xdp/route.h"

#include <linux/ethtool.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "base/unique_fd.h"

namespace holdfast::netpath::xdp {

namespace {

constexpr std::size_t kMessageBytes = 8192;  // What the kernel sends at most in one answer.
constexpr std::size_t kAlignment = 4;
constexpr int kNeighbourTries = 100;

constexpr std::size_t aligned(std::size_t bytes) noexcept {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// The bytes as a T, if there are enough.
template <class T>
std::optional<T> read_as(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < sizeof(T)) return {};
    T value{};
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

/// Walks through the attributes of a message.
class Attributes {
public:
    explicit Attributes(std::span<const std::byte> bytes) noexcept : left_(bytes) {}

    struct Attribute {
        unsigned type = 0;
        std::span<const std::byte> value{};
    };
    [[nodiscard]] std::optional<Attribute> next() noexcept {
        const auto head = read_as<rtattr>(left_);
        if (!head || head->rta_len < sizeof(rtattr) || head->rta_len > left_.size()) return {};
        const Attribute found{
            .type = head->rta_type & static_cast<unsigned>(NLA_TYPE_MASK),
            .value = left_.subspan(sizeof(rtattr), head->rta_len - sizeof(rtattr))};
        left_ = left_.subspan(std::min(aligned(head->rta_len), left_.size()));
        return found;
    }

private:
    std::span<const std::byte> left_;
};

wire::IpAddress address_from(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() == 4) return wire::IpAddress::v4(bytes.first<4>());
    if (bytes.size() == 16) return wire::IpAddress::v6(bytes.first<16>());
    return {};
}

wire::MacAddress station_from(std::span<const std::byte> bytes) noexcept {
    return bytes.size() == 6 ? wire::MacAddress::from(bytes.first<6>()) : wire::MacAddress{};
}

/// One question, built in place: a header, a body, attributes.
template <class Body>
class Question {
public:
    Question(std::uint16_t type, std::uint16_t flags, const Body& body) noexcept {
        header_.nlmsg_type = type;
        header_.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        put(std::as_bytes(std::span{&header_, 1}));
        put(std::as_bytes(std::span{&body, 1}));
    }
    void add(std::uint16_t type, std::span<const std::byte> value) noexcept {
        const rtattr head{.rta_len = static_cast<std::uint16_t>(sizeof(rtattr) + value.size()),
                          .rta_type = type};
        put(std::as_bytes(std::span{&head, 1}));
        put(value);
    }
    [[nodiscard]] std::span<const std::byte> bytes() noexcept {
        header_.nlmsg_len = static_cast<std::uint32_t>(used_);
        std::memcpy(room_.data(), &header_, sizeof(header_));
        return std::span{room_}.first(used_);
    }

private:
    void put(std::span<const std::byte> bytes) noexcept {
        const auto place = std::span{room_}.subspan(used_, aligned(bytes.size()));
        std::ranges::copy(bytes, place.begin());
        used_ += place.size();
    }
    nlmsghdr header_{};
    std::array<std::byte, 256> room_{};
    std::size_t used_ = 0;
};

/// A socket to rtnetlink. The kernel answers while it is asked, so that nothing waits.
class Kernel {
public:
    Kernel() noexcept : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {}

    /// The first answer: what follows its body of `Body`, with the body itself in `body`.
    template <class Body>
    [[nodiscard]] OrErrno<std::span<const std::byte>> ask(std::span<const std::byte> question,
                                                          Body& body) noexcept {
        if (!fd_) return std::unexpected(Errno::last());
        if (::send(fd_.get(), question.data(), question.size(), 0) < 0)
            return std::unexpected(Errno::last());
        const ssize_t got = ::recv(fd_.get(), room_.data(), room_.size(), 0);
        if (got < 0) return std::unexpected(Errno::last());
        const auto bytes = std::span<const std::byte>{room_}.first(static_cast<std::size_t>(got));
        const auto head = read_as<nlmsghdr>(bytes);
        if (!head || head->nlmsg_len > bytes.size() || head->nlmsg_len < sizeof(nlmsghdr))
            return std::unexpected(Errno{EPROTO});
        const auto content = bytes.subspan(sizeof(nlmsghdr), head->nlmsg_len - sizeof(nlmsghdr));
        if (head->nlmsg_type == NLMSG_ERROR) {
            const auto error = read_as<nlmsgerr>(content);
            if (!error) return std::unexpected(Errno{EPROTO});
            if (error->error != 0) return std::unexpected(Errno{-error->error});
            return std::span<const std::byte>{};
        }
        const auto found = read_as<Body>(content);
        if (!found) return std::unexpected(Errno{EPROTO});
        body = *found;
        return content.subspan(aligned(sizeof(Body)));
    }

private:
    UniqueFd fd_;
    std::array<std::byte, kMessageBytes> room_{};
};

std::uint8_t family_of(const wire::IpAddress& address) noexcept {
    return address.is_v6() ? AF_INET6 : AF_INET;
}

OrErrno<void> ask_route(Kernel& kernel, const SocketAddress& to, Route& route) noexcept {
    route.remote = ip_of(to);
    rtmsg body{};
    body.rtm_family = family_of(route.remote);
    body.rtm_dst_len = static_cast<std::uint8_t>(route.remote.bytes().size() * 8);
    Question<rtmsg> question{RTM_GETROUTE, 0, body};
    question.add(RTA_DST, route.remote.bytes());
    if (to.is_ipv6()) {
        sockaddr_in6 raw{};
        std::memcpy(&raw, to.raw(), sizeof(raw));
        if (raw.sin6_scope_id != 0)
            question.add(RTA_OIF, std::as_bytes(std::span{&raw.sin6_scope_id, 1}));
    }
    const auto answer = kernel.ask(question.bytes(), body);
    if (!answer) return std::unexpected(answer.error());
    if (body.rtm_type == RTN_LOCAL) return std::unexpected(Errno{EOPNOTSUPP});
    if (body.rtm_type != RTN_UNICAST) return std::unexpected(Errno{ENETUNREACH});
    route.next_hop = route.remote;
    Attributes attributes{*answer};
    while (const auto attribute = attributes.next()) {
        const auto value = attribute->value;
        if (attribute->type == RTA_OIF)
            route.interface_index = read_as<unsigned>(value).value_or(0);
        if (attribute->type == RTA_GATEWAY) route.next_hop = address_from(value);
        if (attribute->type == RTA_PREFSRC) route.local = address_from(value);
        if (attribute->type != RTA_METRICS) continue;
        Attributes metrics{value};
        while (const auto metric = metrics.next())
            if (metric->type == RTAX_MTU)
                route.mtu_bytes = read_as<std::uint32_t>(metric->value).value_or(0);
    }
    const bool is_whole = route.interface_index != 0 && route.local != wire::IpAddress{};
    if (!is_whole) return std::unexpected(Errno{ENETUNREACH});
    return {};
}

OrErrno<void> ask_interface(Kernel& kernel, Route& route) noexcept {
    ifinfomsg body{};
    body.ifi_family = AF_UNSPEC;
    body.ifi_index = static_cast<int>(route.interface_index);
    Question<ifinfomsg> question{RTM_GETLINK, 0, body};
    const auto answer = kernel.ask(question.bytes(), body);
    if (!answer) return std::unexpected(answer.error());
    if (body.ifi_type != ARPHRD_ETHER) return std::unexpected(Errno{ENETUNREACH});
    std::uint32_t mtu = 0;
    Attributes attributes{*answer};
    while (const auto attribute = attributes.next()) {
        const auto value = attribute->value;
        if (attribute->type == IFLA_ADDRESS) route.station = station_from(value);
        if (attribute->type == IFLA_MTU) mtu = read_as<std::uint32_t>(value).value_or(0);
    }
    route.mtu_bytes = route.mtu_bytes == 0 ? mtu : std::min(route.mtu_bytes, mtu);
    return {};
}

/// Queues in use, which may be fewer than the interface was made with. An interface that cannot say
/// has one.
std::uint32_t ask_queues(unsigned interface_index) noexcept {
    const UniqueFd any{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    ifreq request{};
    if (!any || ::if_indextoname(interface_index, std::data(request.ifr_name)) == nullptr) return 1;
    request.ifr_data = reinterpret_cast<char*>(&channels);
    if (::ioctl(any.get(), SIOCETHTOOL, &request) != 0) return 1;
    return std::max<std::uint32_t>(channels.combined_count + channels.rx_count, 1);
}

/// Places in a transmit ring of the driver; 0: it does not tell.
std::uint32_t ask_transmit_ring(unsigned interface_index) noexcept {
    const UniqueFd any{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ethtool_ringparam ring{};
    ring.cmd = ETHTOOL_GRINGPARAM;
    ifreq request{};
    if (!any || ::if_indextoname(interface_index, std::data(request.ifr_name)) == nullptr) return 0;
    request.ifr_data = reinterpret_cast<char*>(&ring);
    if (::ioctl(any.get(), SIOCETHTOOL, &request) != 0) return 0;
    return ring.tx_pending;
}

ndmsg neighbour_body(const Route& route) noexcept {
    ndmsg body{};
    body.ndm_family = family_of(route.next_hop);
    body.ndm_ifindex = static_cast<int>(route.interface_index);
    return body;
}

/// What the kernel knows now; zero: nothing.
wire::MacAddress ask_station(Kernel& kernel, const Route& route) noexcept {
    constexpr unsigned kUsable =
        NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
    ndmsg body = neighbour_body(route);
    Question<ndmsg> question{RTM_GETNEIGH, 0, body};
    question.add(NDA_DST, route.next_hop.bytes());
    const auto answer = kernel.ask(question.bytes(), body);
    if (!answer || (body.ndm_state & kUsable) == 0) return {};
    Attributes attributes{*answer};
    while (const auto attribute = attributes.next())
        if (attribute->type == NDA_LLADDR) return station_from(attribute->value);
    return {};
}

/// Has the kernel ask the link for the station.
void start_looking(Kernel& kernel, const Route& route) noexcept {
    ndmsg body = neighbour_body(route);
    body.ndm_flags = NTF_USE;
    Question<ndmsg> question{RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, body};
    question.add(NDA_DST, route.next_hop.bytes());
    static_cast<void>(kernel.ask(question.bytes(), body));
}

}  // namespace

wire::IpAddress ip_of(const SocketAddress& address) noexcept {
    if (address.is_ipv6()) {
        sockaddr_in6 raw{};
        std::memcpy(&raw, address.raw(), sizeof(raw));
        return wire::IpAddress::v6(std::as_bytes(std::span{raw.sin6_addr.s6_addr}));
    }
    sockaddr_in raw{};
    std::memcpy(&raw, address.raw(), sizeof(raw));
    const std::span<const in_addr_t, 1> word{&raw.sin_addr.s_addr, 1};
    return wire::IpAddress::v4(std::as_bytes(word));
}

std::uint16_t port_of(const SocketAddress& address) noexcept {
    // Both families have the port at the same place.
    sockaddr_in raw{};
    std::memcpy(&raw, address.raw(), sizeof(raw));
    return ntohs(raw.sin_port);
}

OrErrno<Route> find_route(const SocketAddress& to) noexcept {
    Kernel kernel;
    Route route;
    if (auto asked = ask_route(kernel, to, route); !asked) return std::unexpected(asked.error());
    if (auto asked = ask_interface(kernel, route); !asked) return std::unexpected(asked.error());
    route.receive_queues = ask_queues(route.interface_index);
    route.transmit_ring = ask_transmit_ring(route.interface_index);
    route.next_station = ask_station(kernel, route);
    if (route.next_station != wire::MacAddress{}) return route;
    start_looking(kernel, route);
    for (int i = 0; i < kNeighbourTries && route.next_station == wire::MacAddress{}; ++i) {
        static_cast<void>(
            ::poll(nullptr, 0, static_cast<int>(kNeighbourWait.ms()) / kNeighbourTries));
        route.next_station = ask_station(kernel, route);
    }
    return route;
}

}  // namespace holdfast::netpath::xdp
