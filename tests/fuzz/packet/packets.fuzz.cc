/// Input: a frame. Every view is tried on it; what parses is read in full, and what we can write
/// comes back the same.
#include <array>

#include "base/assert.h"
#include "netpath/wire/arp.h"
#include "netpath/wire/checksum.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/icmp.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/nd.h"
#include "netpath/wire/tcp.h"
#include "tests/fuzz/input.h"

namespace holdfast::netpath::wire {
namespace {

void check_tcp(const IpPacket& packet) {
    const auto segment = parse_tcp(packet);
    if (!segment) return;
    HF_ASSERT(segment->payload.size() + kTcpBytes <= packet.payload.size());
    for (const SackBlock& block : segment->header.options.sacks)
        HF_ASSERT(block.begin.precedes(block.end));
    if (segment->header.options.bytes() > kTcpOptionBytesMax) return;
    // Our own form of it says the same.
    std::array<std::byte, 60> room{};
    const auto again = std::span{room}.first(tcp_header_bytes(segment->header));
    put_tcp(again, segment->header, packet.from, packet.to);
    const auto second = parse_tcp(
        {.from = packet.from, .to = packet.to, .protocol = kProtocolTcp, .payload = again});
    HF_ASSERT(second.has_value());
    HF_ASSERT(second->header.seq == segment->header.seq &&
              second->header.ack == segment->header.ack &&
              second->header.flags == segment->header.flags &&
              second->header.window == segment->header.window);
    HF_ASSERT(second->header.options.mss_bytes == segment->header.options.mss_bytes);
    HF_ASSERT(second->header.options.sacks.size() == segment->header.options.sacks.size());
}

void check_ip(const IpPacket& packet, std::span<const std::byte> bytes) {
    HF_ASSERT(packet.payload.size() <= bytes.size());
    check_tcp(packet);
    if (const auto error = parse_icmp_error(packet)) {
        HF_ASSERT(error->flow.local.is_v6() == packet.from.is_v6());
    }
    if (const auto message = parse_nd(packet)) {
        HF_ASSERT(packet.hop_limit == 255 && message->target.is_v6());
        if (!message->link_address) return;
        std::array<std::byte, kNdBytes> room{};
        ByteWriter writer{room};
        put_nd(writer, *message, packet.from, packet.to);
        HF_ASSERT(!writer.overflowed());
    }
}

}  // namespace
}  // namespace holdfast::netpath::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::netpath::wire;
    const auto bytes = std::as_bytes(std::span{data, size});
    if (const auto frame = parse_ethernet(bytes)) {
        HF_ASSERT(frame->payload.size() + kEthernetBytes <= bytes.size());
    }
    // Behind the Ethernet header, so that one corpus serves both.
    const auto rest = bytes.subspan(std::min<std::size_t>(kEthernetBytes, bytes.size()));
    if (const auto packet = parse_ipv4(rest)) check_ip(*packet, rest);
    if (const auto packet = parse_ipv6(rest)) check_ip(*packet, rest);
    static_cast<void>(parse_quoted(rest));
    static_cast<void>(parse_arp(rest));
    static_cast<void>(parse_tcp_options(rest));
    Checksum halves;
    halves.add(rest.first(rest.size() / 3));
    halves.add(rest.subspan(rest.size() / 3));
    HF_ASSERT(halves.value() == checksum_of(rest));
    return 0;
}
