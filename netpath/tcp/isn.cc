#include "netpath/tcp/isn.h"

#include <array>
#include <bit>

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::netpath::tcp {

namespace {

struct SipState {
    std::array<std::uint64_t, 4> v{};

    void round() noexcept {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = std::rotl(v[1], 13) ^ v[0];
        v[3] = std::rotl(v[3], 16) ^ v[2];
        v[0] = std::rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = std::rotl(v[1], 17) ^ v[2];
        v[3] = std::rotl(v[3], 21) ^ v[0];
        v[2] = std::rotl(v[2], 32);
    }
    void take(std::uint64_t word) noexcept {
        v[3] ^= word;
        round();
        round();
        v[0] ^= word;
    }
};

std::uint64_t little_endian(std::span<const std::byte> bytes) noexcept {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        word |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    return word;
}

/// Which value is made of a flow: each has a hash of its own.
enum class Purpose : std::uint8_t { Isn = 1, Timestamp = 2, Port = 3 };

std::uint64_t hash_of(const Secret& secret, const wire::Flow& flow, Purpose purpose) noexcept {
    std::array<std::byte, 40> room{};
    ByteWriter out{room};
    out.u8(static_cast<std::uint8_t>(purpose));
    out.bytes(flow.local.bytes());
    out.bytes(flow.remote.bytes());
    out.be16(flow.remote_port);
    out.be16(flow.local_port);
    HF_ASSERT(!out.overflowed());
    return siphash(secret, out.written());
}

}  // namespace

std::uint64_t siphash(const Secret& key, std::span<const std::byte> bytes) noexcept {
    SipState state{{key.first ^ 0x736f6d6570736575ULL, key.second ^ 0x646f72616e646f6dULL,
                    key.first ^ 0x6c7967656e657261ULL, key.second ^ 0x7465646279746573ULL}};
    const std::uint64_t length = std::uint64_t{bytes.size()} << 56;
    while (bytes.size() >= 8) {
        state.take(little_endian(bytes.first(8)));
        bytes = bytes.subspan(8);
    }
    state.take(length | little_endian(bytes));
    state.v[2] ^= 0xff;
    for (int i = 0; i < 4; ++i) state.round();
    return state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3];
}

Seq initial_seq(const Secret& secret, const wire::Flow& flow, Instant now) noexcept {
    const auto ticks = static_cast<std::uint64_t>(now.ns()) / 4000;
    const std::uint64_t sum = ticks + hash_of(secret, flow, Purpose::Isn);
    return Seq{static_cast<std::uint32_t>(sum & 0xffff'ffffU)};
}

std::uint32_t timestamp_offset(const Secret& secret, const wire::Flow& flow) noexcept {
    return static_cast<std::uint32_t>(hash_of(secret, flow, Purpose::Timestamp) & 0xffff'ffffU);
}

PortChoice::PortChoice(const Secret& secret, const wire::Flow& flow, PortRange range,
                       std::uint32_t given_before) noexcept
    : range_(range) {
    HF_ASSERT(range.count > 0 && range.first + range.count <= 0x1'0000);
    wire::Flow without_port = flow;
    without_port.local_port = 0;
    const std::uint64_t hash = hash_of(secret, without_port, Purpose::Port);
    offset_ = static_cast<std::uint32_t>((hash + given_before) % range.count);
}

std::optional<std::uint16_t> PortChoice::next() noexcept {
    if (tried_ == range_.count) return {};
    const std::uint32_t place = (offset_ + tried_++) % range_.count;
    return static_cast<std::uint16_t>(range_.first + place);
}

}  // namespace holdfast::netpath::tcp
