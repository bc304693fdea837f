/// CRC32C as iSCSI puts it on the wire. RFC 7143 sections 11.2.3 and 13.1.
#pragma once

#include <array>
#include <cstddef>

#include "stress/target/wire.h"

namespace holdfast::target {

using Digest = std::array<std::byte, 4>;

/// Collects one digest over several pieces of a segment, padding included.
class DigestSum {
public:
    void add(Bytes bytes) noexcept;
    /// The four bytes in the order in which they are sent.
    [[nodiscard]] Digest wire() const noexcept;

private:
    std::uint32_t crc_ = 0xffff'ffffU;
};

[[nodiscard]] Digest digest_of(Bytes bytes) noexcept;

}  // namespace holdfast::target
