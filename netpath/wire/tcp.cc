#include "netpath/wire/tcp.h"

#include <algorithm>

#include "base/assert.h"
#include "netpath/wire/checksum.h"

namespace holdfast::netpath::wire {

namespace {

enum Kind : std::uint8_t {
    End = 0,
    NoOperation = 1,
    Mss = 2,
    WindowScale = 3,
    SackPermitted = 4,
    Sack = 5,
    Timestamps = 8,
};

void take_sacks(ByteReader body, TcpOptions& options) noexcept {
    while (body.left_bytes() >= 8) {
        const TcpSeq begin{body.try_be32().value_or(0)};
        const TcpSeq end{body.try_be32().value_or(0)};
        // An empty or inverted block says nothing.
        if (begin.precedes(end)) static_cast<void>(options.sacks.try_push({begin, end}));
    }
}

void take_option(std::uint8_t kind, std::span<const std::byte> body, TcpOptions& options) noexcept {
    ByteReader reader{body};
    switch (kind) {
    case Mss:
        if (body.size() == 2) options.mss_bytes = reader.try_be16();
        break;
    case WindowScale:
        if (body.size() == 1) options.window_shift = reader.try_u8();
        break;
    case SackPermitted:
        if (body.empty()) options.sack_permitted = true;
        break;
    case Sack:
        if (body.size() % 8 == 0) take_sacks(reader, options);
        break;
    case Timestamps:
        if (body.size() == 8) {
            const std::uint32_t value = reader.try_be32().value_or(0);
            options.timestamps = TcpTimestamps{value, reader.try_be32().value_or(0)};
        }
        break;
    default: break;
    }
}

void put_options(ByteWriter& out, const TcpOptions& options) noexcept {
    if (options.mss_bytes) {
        out.be32(0x0204'0000U | *options.mss_bytes);
    }
    if (options.sack_permitted) {
        if (!options.timestamps) out.be16(0x0101);
        out.be16(0x0402);
    } else if (options.timestamps) {
        out.be16(0x0101);
    }
    if (options.timestamps) {
        out.be16(0x080a);
        out.be32(options.timestamps->value);
        out.be32(options.timestamps->echo);
    }
    if (options.window_shift) out.be32(0x0103'0300U | *options.window_shift);
    if (!options.sacks.empty()) {
        out.be32(0x0101'0500U | static_cast<std::uint32_t>(2 + 8 * options.sacks.size()));
        for (const SackBlock& block : options.sacks) {
            out.be32(block.begin.raw());
            out.be32(block.end.raw());
        }
    }
}

}  // namespace

std::size_t TcpOptions::bytes() const noexcept {
    std::size_t sum = mss_bytes ? 4 : 0;
    if (sack_permitted && !timestamps) sum += 4;
    if (timestamps) sum += 12;  // SACK-permitted takes the place of the padding.
    if (window_shift) sum += 4;
    if (!sacks.empty()) sum += 4 + 8 * sacks.size();
    return sum;
}

TcpOptions parse_tcp_options(std::span<const std::byte> bytes) noexcept {
    TcpOptions options;
    ByteReader reader{bytes};
    while (const auto kind = reader.try_u8()) {
        if (*kind == End) break;
        if (*kind == NoOperation) continue;
        const auto length = reader.try_u8();
        if (!length || *length < 2) break;
        const auto body = reader.try_bytes(std::size_t{*length} - 2);
        if (!body) break;
        take_option(*kind, *body, options);
    }
    return options;
}

std::expected<TcpSegment, Malformed> parse_tcp(const IpPacket& packet, PacketRest rest) noexcept {
    const auto bytes = packet.payload;
    if (packet.protocol != kProtocolTcp) return std::unexpected(Malformed::WrongVersion);
    if (bytes.size() < kTcpBytes) return std::unexpected(Malformed::TooShort);
    const auto fixed = bytes.first<kTcpBytes>();
    const std::size_t header = std::size_t{u8_at<12>(fixed)} / 16 * 4;
    if (header < kTcpBytes || header > bytes.size()) return std::unexpected(Malformed::WrongLength);
    Checksum sum;
    sum.add_pseudo_header(packet.from, packet.to, kProtocolTcp,
                          static_cast<std::uint32_t>(bytes.size() + packet.rest_bytes));
    sum.add(bytes);
    std::size_t left = packet.rest_bytes;
    for (const auto piece : rest) {
        const std::size_t part = std::min(left, piece.size());
        sum.add(piece.first(part));
        left -= part;
    }
    HF_ASSERT(left == 0);  // The IP header was judged with the pieces.
    if (sum.value() != 0) return std::unexpected(Malformed::WrongChecksum);
    return TcpSegment{
        .header = {.from_port = be16_at<0>(fixed),
                   .to_port = be16_at<2>(fixed),
                   .seq = TcpSeq{be32_at<4>(fixed)},
                   .ack = TcpSeq{be32_at<8>(fixed)},
                   .flags = static_cast<std::uint8_t>(u8_at<13>(fixed) & 0x3fU),
                   .window = be16_at<14>(fixed),
                   .options = parse_tcp_options(bytes.first(header).subspan(kTcpBytes))},
        .payload = bytes.subspan(header)};
}

std::size_t tcp_header_bytes(const TcpHeader& header) noexcept {
    const std::size_t bytes = kTcpBytes + header.options.bytes();
    HF_ASSERT(bytes <= kTcpBytes + kTcpOptionBytesMax);
    return bytes;
}

void put_tcp(std::span<std::byte> segment, const TcpHeader& header, const IpAddress& from,
             const IpAddress& to) noexcept {
    const std::size_t header_bytes = tcp_header_bytes(header);
    HF_ASSERT(header_bytes <= segment.size());
    const auto bytes = segment.subspan(header_bytes);
    PayloadSum payload{.bytes = bytes.size()};
    payload.sum.add(bytes);
    put_tcp_header(segment.first(header_bytes), header, from, to, payload);
}

void put_tcp_header(std::span<std::byte> room, const TcpHeader& header, const IpAddress& from,
                    const IpAddress& to, const PayloadSum& payload) noexcept {
    const std::size_t header_bytes = tcp_header_bytes(header);
    HF_ASSERT(header_bytes % 4 == 0 && header_bytes == room.size());
    ByteWriter out{room};
    out.be16(header.from_port);
    out.be16(header.to_port);
    out.be32(header.seq.raw());
    out.be32(header.ack.raw());
    out.u8(static_cast<std::uint8_t>(header_bytes / 4 * 16));
    out.u8(header.flags);
    out.be16(header.window);
    out.be32(0);  // Checksum, and no urgent pointer.
    put_options(out, header.options);
    HF_ASSERT(!out.overflowed() && out.used_bytes() == header_bytes);
    Checksum sum;
    sum.add_pseudo_header(from, to, kProtocolTcp,
                          static_cast<std::uint32_t>(header_bytes + payload.bytes));
    sum.add(room);
    sum.add(payload.sum);
    put_be16<16>(room.first<kTcpBytes>(), sum.value());
}

}  // namespace holdfast::netpath::wire
