#include "netpath/tcp/stream.h"

#include <algorithm>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "netpath/wire/ip.h"

namespace holdfast::netpath::tcp {

namespace {

std::expected<wire::TcpSegment, wire::Malformed> parse_pieces(
    const wire::IpPacket& packet, std::span<const ReceivedFrame> behind) noexcept {
    FixedVector<std::span<const std::byte>, Stream::kPiecesMax> rest;
    for (const ReceivedFrame& piece : behind) rest.push(piece.memory.first(piece.bytes));
    return wire::parse_tcp(packet, rest.span());
}

}  // namespace

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
    const PacketFate fate = input(now, std::span{&frame, 1});
    if (!fate.is_ours) return FrameFate::NotOurs;
    return fate.kept == 0 ? FrameFate::Done : FrameFate::Kept;
}

PacketFate Stream::input(Instant now, std::span<const ReceivedFrame> pieces) noexcept {
    HF_ASSERT(!pieces.empty() && pieces.size() <= kPiecesMax);
    const ReceivedFrame& front = pieces.front();
    HF_ASSERT(front.bytes <= front.memory.size());
    const auto ethernet = wire::parse_ethernet(front.memory.first(front.bytes));
    if (!ethernet || ethernet->header.vlan != link_.vlan) return {};
    const bool is_v4 = ethernet->header.ether_type == wire::kEtherIpv4;
    if (!is_v4 && ethernet->header.ether_type != wire::kEtherIpv6) return {};
    std::size_t behind = 0;
    for (const ReceivedFrame& piece : pieces.subspan(1)) behind += piece.bytes;
    const auto packet = is_v4 ? wire::parse_ipv4(ethernet->payload, behind)
                              : wire::parse_ipv6(ethernet->payload, behind);
    if (!packet || packet->to != flow_.local) return {};
    switch (packet->protocol) {
    case wire::kProtocolTcp: return input_tcp(now, pieces, *packet);
    case wire::kProtocolIcmp:
    case wire::kProtocolIcmpV6: return input_icmp(now, *packet);
    default: return {};
    }
}

PacketFate Stream::input_tcp(Instant now, std::span<const ReceivedFrame> pieces,
                             const wire::IpPacket& packet) noexcept {
    if (packet.from != flow_.remote) return {};
    const auto segment =
        pieces.size() == 1 ? wire::parse_tcp(packet) : parse_pieces(packet, pieces.subspan(1));
    if (!segment) {
        // Its ports may be what is wrong: nobody else wants it, either.
        ++malformed_;
        return {.is_ours = true};
    }
    if (segment->header.from_port != flow_.remote_port ||
        segment->header.to_port != flow_.local_port)
        return {};
    const auto memory = pieces.front().memory;
    const auto offset = static_cast<std::size_t>(segment->payload.data() - memory.data());
    const std::size_t bytes = segment->payload.size();
    const Arrival front{.seq = segment->header.seq,
                        .payload = memory.subspan(offset, bytes),
                        .room = memory.subspan(offset + bytes),
                        .frame = pieces.front().id};
    if (pieces.size() == 1)
        return {.is_ours = true,
                .kept = connection_.arrive(now, segment->header, std::span{&front, 1})};
    FixedVector<Arrival, kPiecesMax> arrivals;
    arrivals.push(front);
    std::size_t left = packet.rest_bytes;
    for (const ReceivedFrame& piece : pieces.subspan(1)) {
        const std::size_t part = std::min(left, piece.bytes);
        arrivals.push({.seq = {},
                       .payload = piece.memory.first(part),
                       .room = piece.memory.subspan(part),
                       .frame = piece.id});
        left -= part;
    }
    return {.is_ours = true, .kept = connection_.arrive(now, segment->header, arrivals.span())};
}

PacketFate Stream::input_icmp(Instant now, const wire::IpPacket& packet) noexcept {
    if (packet.rest_bytes > 0) return {};  // An error quotes less than that.
    const auto error = wire::parse_icmp_error(packet);
    if (!error || error->flow != flow_) return {};
    connection_.on_icmp(now, *error);
    return {.is_ours = true};
}

std::size_t Stream::output(Instant now, std::span<std::byte> room, bool may_send_data) noexcept {
    return output(now, std::span{&room, 1}, may_send_data);
}

std::size_t Stream::output(Instant now, std::span<const std::span<std::byte>> rooms,
                           bool may_send_data) noexcept {
    HF_ASSERT(!rooms.empty());
    auto out = connection_.output(now, may_send_data);
    if (!out) return 0;
    out->header.from_port = flow_.local_port;
    out->header.to_port = flow_.remote_port;
    const bool is_v6 = flow_.local.is_v6();
    const wire::EthernetHeader ethernet{.to = link_.remote,
                                        .from = link_.local,
                                        .vlan = link_.vlan,
                                        .ether_type = is_v6 ? wire::kEtherIpv6 : wire::kEtherIpv4};
    const std::size_t header_bytes = wire::tcp_header_bytes(out->header);
    const wire::IpHeader ip{
        .from = flow_.local,
        .to = flow_.remote,
        .protocol = wire::kProtocolTcp,
        .identification = identification_++,
        .payload_bytes = static_cast<std::uint32_t>(header_bytes + out->payload_bytes)};
    const auto front = rooms.front();
    const std::size_t headers = ethernet.bytes() + ip.bytes() + header_bytes;
    HF_ASSERT(headers <= front.size());
    ByteWriter writer{front.first(headers)};
    wire::put_ethernet(writer, ethernet);
    wire::put_ip(writer, ip);
    HF_ASSERT(!writer.overflowed() && writer.used_bytes() + header_bytes == headers);
    const wire::PayloadSum payload = put_payload(*out, front.subspan(headers), rooms.subspan(1));
    wire::put_tcp_header(front.subspan(writer.used_bytes(), header_bytes), out->header, flow_.local,
                         flow_.remote, payload);
    return headers + out->payload_bytes;
}

/// Into `front` first, then into the rooms behind it.
wire::PayloadSum Stream::put_payload(const Outgoing& out, std::span<std::byte> front,
                                     std::span<const std::span<std::byte>> behind) const noexcept {
    wire::PayloadSum put;
    auto room = front;
    while (put.bytes < out.payload_bytes) {
        const std::size_t part = std::min(room.size(), out.payload_bytes - put.bytes);
        connection_.copy_payload(out, static_cast<std::uint32_t>(put.bytes), room.first(part));
        put.sum.add(room.first(part));
        put.bytes += part;
        if (put.bytes == out.payload_bytes) break;
        HF_ASSERT(!behind.empty());
        room = behind.front();
        behind = behind.subspan(1);
    }
    return put;
}

}  // namespace holdfast::netpath::tcp
