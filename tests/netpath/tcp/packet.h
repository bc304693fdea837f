/// TCP/IP packets of the peer in tests: an encoder and decoder that share nothing with the
/// product's, so that a mistake there cannot hide itself here. Allocates.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::tcp_test {

using Bytes = std::vector<std::uint8_t>;

enum Flag : std::uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16 };

/// One TCP segment with absolute numbers.
struct Packet {
    std::uint8_t flags = 0;
    std::uint32_t seq = 0;
    std::uint32_t ack = 0;
    std::uint16_t window = 0;
    std::optional<std::uint16_t> mss{};
    std::optional<std::uint8_t> window_shift{};
    bool sack_permitted = false;
    std::optional<std::pair<std::uint32_t, std::uint32_t>> timestamps{};  ///< Value, echo.
    std::vector<std::pair<std::uint32_t, std::uint32_t>> sacks{};
    /// Instead of all options above: as they stand on the wire.
    std::optional<Bytes> raw_options{};
    Bytes payload{};

    [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
    [[nodiscard]] std::uint32_t length() const {
        return static_cast<std::uint32_t>(payload.size()) + (has(kSyn) ? 1U : 0U) +
               (has(kFin) ? 1U : 0U);
    }
};

/// The two ends as the test has them: what is ours, and what the peer's.
struct Ends {
    bool is_v6 = false;
    std::uint16_t our_port = 50000;
    std::uint16_t peer_port = 3260;
    std::optional<std::uint16_t> vlan{};
};

/// A frame from the peer to us.
[[nodiscard]] Bytes frame_from_peer(const Ends& ends, const Packet& packet);
/// A frame of ours, taken apart. Empty with a reason when anything about it is wrong: addresses,
/// ports, lengths, checksums, padding of options.
struct Decoded {
    std::optional<Packet> packet{};
    std::string complaint{};
    std::uint32_t ip_bytes = 0;
};
[[nodiscard]] Decoded frame_from_us(const Ends& ends, std::span<const std::uint8_t> frame);

/// An ICMP error from a router, about a TCP segment of ours that began at `seq`.
struct IcmpFrame {
    std::uint8_t type = 3;
    std::uint8_t code = 4;
    std::uint32_t mtu = 0;
    std::uint32_t seq = 0;
    std::uint32_t quoted_ip_bytes = 1500;
};
[[nodiscard]] Bytes icmp_from_router(const Ends& ends, const IcmpFrame& icmp);

/// The stations of the link.
[[nodiscard]] Bytes our_mac();
[[nodiscard]] Bytes peer_mac();
[[nodiscard]] Bytes our_ip(bool is_v6);
[[nodiscard]] Bytes peer_ip(bool is_v6);

}  // namespace holdfast::tcp_test
