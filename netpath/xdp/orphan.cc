#include "netpath/xdp/orphan.h"

#include "base/assert.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/tcp.h"

namespace holdfast::netpath::xdp {

std::size_t put_question(std::span<std::byte> room, const tcp::Link& link,
                         const wire::Flow& flow) noexcept {
    HF_ASSERT(link.remote != wire::MacAddress{} && flow.local_port != 0);
    // Whatever the peer's numbers are: 0 is outside of its window, or acknowledges nothing.
    const wire::TcpHeader header{
        .from_port = flow.local_port, .to_port = flow.remote_port, .flags = wire::kAck};
    const std::size_t tcp_bytes = wire::tcp_header_bytes(header);
    const wire::EthernetHeader ethernet{
        .to = link.remote,
        .from = link.local,
        .vlan = link.vlan,
        .ether_type = flow.local.is_v6() ? wire::kEtherIpv6 : wire::kEtherIpv4};
    const wire::IpHeader ip{.from = flow.local,
                            .to = flow.remote,
                            .protocol = wire::kProtocolTcp,
                            .payload_bytes = static_cast<std::uint32_t>(tcp_bytes)};
    const auto frame = room.first(ethernet.bytes() + ip.bytes() + tcp_bytes);
    ByteWriter writer{frame};
    wire::put_ethernet(writer, ethernet);
    wire::put_ip(writer, ip);
    const auto segment = frame.subspan(writer.used_bytes());
    HF_ASSERT(!writer.overflowed() && segment.size() == tcp_bytes);
    wire::put_tcp(segment, header, flow.local, flow.remote);
    return frame.size();
}

}  // namespace holdfast::netpath::xdp
