#include "netpath/tcp/stream.h"

#include "base/assert.h"
#include "netpath/wire/ip.h"

namespace holdfast::netpath::tcp {

void Stream::connect(Instant now, const wire::Flow& flow, const Link& link,
                     const Secret& secret) noexcept {
    connect_with(now, flow, link,
                 {.isn = initial_seq(secret, flow, now),
                  .timestamp_offset = timestamp_offset(secret, flow),
                  .is_v6 = flow.local.is_v6()});
}

void Stream::connect_with(Instant now, const wire::Flow& flow, const Link& link,
                          const Opening& opening) noexcept {
    HF_ASSERT(flow.local.is_v6() == flow.remote.is_v6());
    HF_ASSERT(opening.is_v6 == flow.local.is_v6());
    flow_ = flow;
    link_ = link;
    connection_.connect(now, opening);
}

FrameFate Stream::input(Instant now, const ReceivedFrame& frame) noexcept {
    HF_ASSERT(frame.bytes <= frame.memory.size());
    const auto ethernet = wire::parse_ethernet(frame.memory.first(frame.bytes));
    if (!ethernet || ethernet->header.vlan != link_.vlan) return FrameFate::NotOurs;
    const bool is_v4 = ethernet->header.ether_type == wire::kEtherIpv4;
    if (!is_v4 && ethernet->header.ether_type != wire::kEtherIpv6) return FrameFate::NotOurs;
    const auto packet =
        is_v4 ? wire::parse_ipv4(ethernet->payload) : wire::parse_ipv6(ethernet->payload);
    if (!packet || packet->to != flow_.local) return FrameFate::NotOurs;
    switch (packet->protocol) {
    case wire::kProtocolTcp: return input_tcp(now, frame, *packet);
    case wire::kProtocolIcmp:
    case wire::kProtocolIcmpV6: return input_icmp(now, *packet);
    default: return FrameFate::NotOurs;
    }
}

FrameFate Stream::input_tcp(Instant now, const ReceivedFrame& frame,
                            const wire::IpPacket& packet) noexcept {
    if (packet.from != flow_.remote) return FrameFate::NotOurs;
    const auto segment = wire::parse_tcp(packet);
    if (!segment) {
        // Its ports may be what is wrong: nobody else wants it, either.
        ++malformed_;
        return FrameFate::Done;
    }
    if (segment->header.from_port != flow_.remote_port ||
        segment->header.to_port != flow_.local_port)
        return FrameFate::NotOurs;
    const auto memory = frame.memory;
    const auto offset = static_cast<std::size_t>(segment->payload.data() - memory.data());
    const std::size_t bytes = segment->payload.size();
    const Arrival arrival{.seq = segment->header.seq,
                          .payload = memory.subspan(offset, bytes),
                          .room = memory.subspan(offset + bytes),
                          .frame = frame.id};
    return connection_.arrive(now, segment->header, arrival) ? FrameFate::Kept : FrameFate::Done;
}

FrameFate Stream::input_icmp(Instant now, const wire::IpPacket& packet) noexcept {
    const auto error = wire::parse_icmp_error(packet);
    if (!error || error->flow != flow_) return FrameFate::NotOurs;
    connection_.on_icmp(now, *error);
    return FrameFate::Done;
}

std::size_t Stream::output(Instant now, std::span<std::byte> room, bool may_send_data) noexcept {
    auto out = connection_.output(now, may_send_data);
    if (!out) return 0;
    out->header.from_port = flow_.local_port;
    out->header.to_port = flow_.remote_port;
    const bool is_v6 = flow_.local.is_v6();
    const wire::EthernetHeader ethernet{.to = link_.remote,
                                        .from = link_.local,
                                        .vlan = link_.vlan,
                                        .ether_type = is_v6 ? wire::kEtherIpv6 : wire::kEtherIpv4};
    const std::size_t tcp_bytes = wire::tcp_header_bytes(out->header) + out->payload_bytes;
    const wire::IpHeader ip{.from = flow_.local,
                            .to = flow_.remote,
                            .protocol = wire::kProtocolTcp,
                            .identification = identification_++,
                            .payload_bytes = static_cast<std::uint32_t>(tcp_bytes)};
    const std::size_t total = ethernet.bytes() + ip.bytes() + tcp_bytes;
    HF_ASSERT(total <= room.size());
    ByteWriter writer{room.first(total)};
    wire::put_ethernet(writer, ethernet);
    wire::put_ip(writer, ip);
    const auto segment = room.first(total).subspan(writer.used_bytes());
    HF_ASSERT(!writer.overflowed() && segment.size() == tcp_bytes);
    if (out->payload_bytes > 0) connection_.copy_payload(*out, segment.last(out->payload_bytes));
    wire::put_tcp(segment, out->header, flow_.local, flow_.remote);
    return total;
}

}  // namespace holdfast::netpath::tcp
