#include "tests/netpath/tcp/packet.h"

namespace holdfast::tcp_test {

namespace {

void put(Bytes& to, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = bytes; i > 0; --i)
        to.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
}
void put(Bytes& to, const Bytes& from) {
    to.insert(to.end(), from.begin(), from.end());
}
std::uint32_t get(std::span<const std::uint8_t> from, std::size_t at, std::size_t bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | from[at + i];
    return value;
}

/// By the book, two bytes at a time.
std::uint16_t internet_sum(const Bytes& bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        sum += static_cast<std::uint32_t>(bytes[i]) << 8;
        if (i + 1 < bytes.size()) sum += bytes[i + 1];
        if (sum > 0xffff) sum = (sum & 0xffff) + 1;
    }
    return static_cast<std::uint16_t>(~sum);
}

Bytes pseudo_header(const Bytes& from, const Bytes& to, std::uint8_t protocol, std::size_t length) {
    Bytes bytes = from;
    put(bytes, to);
    put(bytes, length, 4);
    put(bytes, protocol, 4);
    return bytes;
}

Bytes options_of(const Packet& packet) {
    if (packet.raw_options) return *packet.raw_options;
    Bytes bytes;
    if (packet.mss) {
        put(bytes, 0x0204, 2);
        put(bytes, *packet.mss, 2);
    }
    if (packet.sack_permitted) put(bytes, 0x0402, 2);
    if (packet.window_shift) {
        put(bytes, 0x0303, 2);
        put(bytes, *packet.window_shift, 1);
    }
    if (packet.timestamps) {
        put(bytes, 0x080a, 2);
        put(bytes, packet.timestamps->first, 4);
        put(bytes, packet.timestamps->second, 4);
    }
    if (!packet.sacks.empty()) {
        put(bytes, 5, 1);
        put(bytes, 2 + 8 * packet.sacks.size(), 1);
        for (const auto& [begin, end] : packet.sacks) {
            put(bytes, begin, 4);
            put(bytes, end, 4);
        }
    }
    while (bytes.size() % 4 != 0) bytes.push_back(1);
    return bytes;
}

Bytes ethernet(const Ends& ends, const Bytes& to, const Bytes& from) {
    Bytes frame = to;
    put(frame, from);
    if (ends.vlan) {
        put(frame, 0x8100, 2);
        put(frame, *ends.vlan, 2);
    }
    put(frame, ends.is_v6 ? 0x86dd : 0x0800, 2);
    return frame;
}

Bytes ip_packet(bool is_v6, const Bytes& from, const Bytes& to, std::uint8_t protocol,
                const Bytes& payload) {
    Bytes ip;
    if (is_v6) {
        put(ip, 0x60000000, 4);
        put(ip, payload.size(), 2);
        put(ip, protocol, 1);
        put(ip, 60, 1);
        put(ip, from);
        put(ip, to);
    } else {
        put(ip, 0x4500, 2);
        put(ip, 20 + payload.size(), 2);
        put(ip, 0x12344000, 4);
        put(ip, 60, 1);
        put(ip, protocol, 1);
        put(ip, 0, 2);
        put(ip, from);
        put(ip, to);
        const std::uint16_t sum = internet_sum(ip);
        ip[10] = static_cast<std::uint8_t>(sum >> 8);
        ip[11] = static_cast<std::uint8_t>(sum);
    }
    put(ip, payload);
    return ip;
}

std::string take_options(std::span<const std::uint8_t> bytes, Packet& packet) {
    for (std::size_t i = 0; i < bytes.size();) {
        if (bytes[i] == 0) return {};
        if (bytes[i] == 1) {
            ++i;
            continue;
        }
        if (i + 1 >= bytes.size() || bytes[i + 1] < 2 || i + bytes[i + 1] > bytes.size())
            return "an option does not fit";
        const std::size_t body = bytes[i + 1] - 2U;
        const auto at = i + 2;
        switch (bytes[i]) {
        case 2: packet.mss = static_cast<std::uint16_t>(get(bytes, at, 2)); break;
        case 3: packet.window_shift = bytes[at]; break;
        case 4: packet.sack_permitted = true; break;
        case 5:
            for (std::size_t j = 0; j < body; j += 8)
                packet.sacks.emplace_back(get(bytes, at + j, 4), get(bytes, at + j + 4, 4));
            break;
        case 8: packet.timestamps = {get(bytes, at, 4), get(bytes, at + 4, 4)}; break;
        default: return "an option that nobody knows";
        }
        i += 2 + body;
    }
    return {};
}

}  // namespace

Bytes our_mac() {
    return {2, 0, 0, 0, 0, 1};
}
Bytes peer_mac() {
    return {2, 0, 0, 0, 0, 2};
}
Bytes our_ip(bool is_v6) {
    if (!is_v6) return {192, 0, 2, 1};
    return {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
}
Bytes peer_ip(bool is_v6) {
    if (!is_v6) return {192, 0, 2, 99};
    return {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99};
}

Bytes frame_from_peer(const Ends& ends, const Packet& packet) {
    const Bytes options = options_of(packet);
    Bytes tcp;
    put(tcp, ends.peer_port, 2);
    put(tcp, ends.our_port, 2);
    put(tcp, packet.seq, 4);
    put(tcp, packet.has(kAck) ? packet.ack : 0, 4);
    put(tcp, (20 + options.size()) / 4 << 4, 1);
    put(tcp, packet.flags, 1);
    put(tcp, packet.window, 2);
    put(tcp, 0, 4);
    put(tcp, options);
    put(tcp, packet.payload);
    Bytes summed = pseudo_header(peer_ip(ends.is_v6), our_ip(ends.is_v6), 6, tcp.size());
    put(summed, tcp);
    const std::uint16_t sum = internet_sum(summed);
    tcp[16] = static_cast<std::uint8_t>(sum >> 8);
    tcp[17] = static_cast<std::uint8_t>(sum);
    Bytes frame = ethernet(ends, our_mac(), peer_mac());
    put(frame, ip_packet(ends.is_v6, peer_ip(ends.is_v6), our_ip(ends.is_v6), 6, tcp));
    while (frame.size() < 60) frame.push_back(0xee);  // Ethernet's padding.
    return frame;
}

Decoded frame_from_us(const Ends& ends, std::span<const std::uint8_t> frame) {
    Bytes head = ethernet(ends, peer_mac(), our_mac());
    if (frame.size() < head.size() || !std::equal(head.begin(), head.end(), frame.begin()))
        return {.complaint = "wrong Ethernet header"};
    const Bytes ip{frame.begin() + static_cast<std::ptrdiff_t>(head.size()), frame.end()};
    const std::size_t header = ends.is_v6 ? 40 : 20;
    if (ip.size() < header + 20) return {.complaint = "too short"};
    const Bytes from = our_ip(ends.is_v6);
    const Bytes to = peer_ip(ends.is_v6);
    const std::size_t at = ends.is_v6 ? 8 : 12;
    Bytes both = from;
    put(both, to);
    if (!std::equal(both.begin(), both.end(), ip.begin() + static_cast<std::ptrdiff_t>(at)))
        return {.complaint = "wrong addresses"};
    if (ends.is_v6) {
        if (ip[0] >> 4 != 6 || ip[6] != 6 || get(ip, 4, 2) + 40 != ip.size())
            return {.complaint = "wrong IPv6 header"};
    } else {
        const Bytes fixed{ip.begin(), ip.begin() + 20};
        if (ip[0] != 0x45 || ip[9] != 6 || get(ip, 2, 2) != ip.size() || internet_sum(fixed) != 0)
            return {.complaint = "wrong IPv4 header"};
        if (get(ip, 6, 2) != 0x4000) return {.complaint = "Don't Fragment is not set"};
    }
    const Bytes tcp{ip.begin() + static_cast<std::ptrdiff_t>(header), ip.end()};
    Bytes summed = pseudo_header(from, to, 6, tcp.size());
    put(summed, tcp);
    if (internet_sum(summed) != 0) return {.complaint = "wrong TCP checksum"};
    if (get(tcp, 0, 2) != ends.our_port || get(tcp, 2, 2) != ends.peer_port)
        return {.complaint = "wrong ports"};
    const std::size_t offset = static_cast<std::size_t>(tcp[12] >> 4) * 4;
    if (offset < 20 || offset > tcp.size()) return {.complaint = "wrong data offset"};
    Packet packet{.flags = tcp[13],
                  .seq = get(tcp, 4, 4),
                  .ack = get(tcp, 8, 4),
                  .window = static_cast<std::uint16_t>(get(tcp, 14, 2))};
    const std::string complaint = take_options(std::span{tcp}.subspan(20, offset - 20), packet);
    packet.payload.assign(tcp.begin() + static_cast<std::ptrdiff_t>(offset), tcp.end());
    if (!complaint.empty()) return {.complaint = complaint};
    return {.packet = packet, .ip_bytes = static_cast<std::uint32_t>(ip.size())};
}

Bytes icmp_from_router(const Ends& ends, const IcmpFrame& icmp) {
    Bytes quoted;
    put(quoted, ends.our_port, 2);
    put(quoted, ends.peer_port, 2);
    put(quoted, icmp.seq, 4);
    Bytes packet = ip_packet(ends.is_v6, our_ip(ends.is_v6), peer_ip(ends.is_v6), 6, quoted);
    const std::uint32_t length = icmp.quoted_ip_bytes - (ends.is_v6 ? 40U : 0U);
    const std::size_t at = ends.is_v6 ? 4 : 2;
    packet[at] = static_cast<std::uint8_t>(length >> 8);
    packet[at + 1] = static_cast<std::uint8_t>(length);
    Bytes message;
    put(message, icmp.type, 1);
    put(message, icmp.code, 1);
    put(message, 0, 2);
    put(message, icmp.mtu, 4);
    put(message, packet);
    const std::uint8_t protocol = ends.is_v6 ? 58 : 1;
    Bytes summed;
    if (ends.is_v6) summed = pseudo_header(peer_ip(true), our_ip(true), protocol, message.size());
    put(summed, message);
    const std::uint16_t sum = internet_sum(summed);
    message[2] = static_cast<std::uint8_t>(sum >> 8);
    message[3] = static_cast<std::uint8_t>(sum);
    Bytes frame = ethernet(ends, our_mac(), peer_mac());
    put(frame, ip_packet(ends.is_v6, peer_ip(ends.is_v6), our_ip(ends.is_v6), protocol, message));
    return frame;
}

}  // namespace holdfast::tcp_test
