/// TCP segments and their options. RFC 9293 section 3.1; RFC 7323, RFC 2018. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/fixed_vector.h"
#include "base/serial.h"
#include "netpath/wire/address.h"
#include "netpath/wire/checksum.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/malformed.h"

namespace holdfast::netpath::wire {

/// A TCP sequence number. RFC 9293 section 3.4.
using TcpSeq = Serial32<struct TcpSeqTag>;

inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kRst = 0x04;
inline constexpr std::uint8_t kPsh = 0x08;
inline constexpr std::uint8_t kAck = 0x10;
inline constexpr std::size_t kTcpBytes = 20;
inline constexpr std::size_t kTcpOptionBytesMax = 40;

/// Bytes [begin, end) that a receiver holds.
struct SackBlock {
    TcpSeq begin{};
    TcpSeq end{};
    constexpr bool operator==(const SackBlock&) const noexcept = default;
};

/// RFC 7323 section 3.2.
struct TcpTimestamps {
    std::uint32_t value = 0;
    std::uint32_t echo = 0;
};

/// The options that mean something here. What else a peer sends is stepped over.
struct TcpOptions {
    static constexpr std::size_t kSacksMax = 4;

    std::optional<std::uint16_t> mss_bytes{};
    std::optional<std::uint8_t> window_shift{};
    bool sack_permitted = false;
    std::optional<TcpTimestamps> timestamps{};
    FixedVector<SackBlock, kSacksMax> sacks{};

    /// On the wire, padded to four bytes.
    [[nodiscard]] std::size_t bytes() const noexcept;
};

/// A header as it is sent, or as it came.
struct TcpHeader {
    std::uint16_t from_port = 0;
    std::uint16_t to_port = 0;
    TcpSeq seq{};
    TcpSeq ack{};
    std::uint8_t flags = 0;
    std::uint16_t window = 0;  ///< Not scaled.
    TcpOptions options{};

    [[nodiscard]] constexpr bool has(std::uint8_t flag) const noexcept {
        return (flags & flag) != 0;
    }
};

/// A segment with a correct checksum. Borrows its payload.
struct TcpSegment {
    TcpHeader header{};
    std::span<const std::byte> payload{};  ///< As far as it lies in the packet's first piece.
};

/// Where the rest of a packet lies, in order.
using PacketRest = std::span<const std::span<const std::byte>>;

/// An option of an impossible length ends the options, not the segment: RFC 9293 MUST-7.
[[nodiscard]] TcpOptions parse_tcp_options(std::span<const std::byte> bytes) noexcept;
[[nodiscard]] std::expected<TcpSegment, Malformed> parse_tcp(const IpPacket& packet,
                                                             PacketRest rest = {}) noexcept;

/// Bytes of the header with its options.
[[nodiscard]] std::size_t tcp_header_bytes(const TcpHeader& header) noexcept;
/// Writes the header at the front of `segment`, which holds header and payload and nothing else,
/// with the checksum over both. The payload is there already.
void put_tcp(std::span<std::byte> segment, const TcpHeader& header, const IpAddress& from,
             const IpAddress& to) noexcept;

/// A payload that lies elsewhere.
struct PayloadSum {
    Checksum sum{};
    std::size_t bytes = 0;
};
/// The same with a payload of which only the sum is known: `room` is for the header alone.
void put_tcp_header(std::span<std::byte> room, const TcpHeader& header, const IpAddress& from,
                    const IpAddress& to, const PayloadSum& payload) noexcept;

}  // namespace holdfast::netpath::wire
