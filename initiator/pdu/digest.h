/// Header and data digests: CRC32C. RFC 7143 sections 11.2.3, 13.1 and A.4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "initiator/pdu/length.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// A digest as it stands on the wire: least significant byte first.
using DigestBytes = std::array<std::byte, kDigestBytes>;

/// A CRC32C over bytes that come in pieces. The result does not depend on where the pieces end.
/// The register starts as all ones and is inverted at the end, as section 13.1 asks.
class Crc32c {
public:
    void update(std::span<const std::byte> piece) noexcept;
    /// Adds the padding of a segment of `segment_bytes`, as zeroes: for what we send ourselves.
    /// Received padding may be anything (section 11.2.3) and goes through update().
    void update_padding(std::uint32_t segment_bytes) noexcept;
    [[nodiscard]] std::uint32_t value() const noexcept { return ~register_; }
    /// The digest of everything so far, in wire order.
    [[nodiscard]] DigestBytes wire() const noexcept;

private:
    std::uint32_t register_ = 0xffff'ffffU;
};

/// The digest of one header. Section 11.2.3: BHS and AHS; we send no AHS and accept none.
[[nodiscard]] DigestBytes header_digest(Bhs bhs) noexcept;

/// The digest of a data segment that we send, in pieces, with zero padding.
[[nodiscard]] DigestBytes data_digest(std::span<const std::span<const std::byte>> pieces) noexcept;

/// True when `received` is the digest that `crc` computed.
[[nodiscard]] bool digest_matches(const Crc32c& crc,
                                  std::span<const std::byte, kDigestBytes> received) noexcept;

}  // namespace holdfast::initiator
