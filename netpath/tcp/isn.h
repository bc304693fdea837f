/// Initial sequence numbers, timestamp offsets and local ports that nobody off the path can guess.
/// RFC 6528, RFC 7323 section 7.1, RFC 6056 section 3.3.3. Pure: the secret is handed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"
#include "netpath/tcp/seq.h"
#include "netpath/wire/address.h"

namespace holdfast::netpath::tcp {

/// From getrandom(2), once in a process. Never sent, never logged.
struct Secret {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
};

/// SipHash-2-4, a keyed hash of 64 bits. Aumasson and Bernstein, 2012.
[[nodiscard]] std::uint64_t siphash(const Secret& key, std::span<const std::byte> bytes) noexcept;

/// M + F(flow, secret), where M steps every 4 us: RFC 6528 section 3.
[[nodiscard]] Seq initial_seq(const Secret& secret, const wire::Flow& flow, Instant now) noexcept;
/// Added to the clock of every timestamp that the connection sends.
[[nodiscard]] std::uint32_t timestamp_offset(const Secret& secret, const wire::Flow& flow) noexcept;

/// Ports [first, first + count) that may be tried; count is not 0.
struct PortRange {
    std::uint16_t first = 49152;  ///< RFC 6335 section 6: the dynamic ports.
    std::uint16_t count = 16384;
};

/// Algorithm 3 of RFC 6056: walks through the range from a place that depends on the peer and on
/// how many were given before. next() never gives a port twice until it has given all.
class PortChoice {
public:
    /// `flow` without its local port; `given_before` is any counter that grows with each choice.
    PortChoice(const Secret& secret, const wire::Flow& flow, PortRange range,
               std::uint32_t given_before) noexcept;
    /// The next port to try. Empty when each was tried.
    [[nodiscard]] std::optional<std::uint16_t> next() noexcept;

private:
    PortRange range_;
    std::uint32_t offset_ = 0;
    std::uint32_t tried_ = 0;
};

}  // namespace holdfast::netpath::tcp
