/// How long a PDU is on the wire. RFC 7143 sections 11.1, 11.2.1.5, 11.2.1.6 and 11.2.3.
#pragma once

#include <cstdint>

#include "base/assert.h"
#include "initiator/pdu/opcode.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// A digest is one CRC32C. Section 13.1.
inline constexpr std::uint32_t kDigestBytes = 4;

/// Which digests stand on a connection now: none until login ends. Section 13.1.
struct DigestsInUse {
    bool header = false;
    bool data = false;
    constexpr bool operator==(const DigestsInUse&) const noexcept = default;
};

/// Bytes that fill a segment up to a word of four. Section 11.1.
[[nodiscard]] constexpr std::uint32_t padding_bytes(std::uint32_t segment_bytes) noexcept {
    return (4U - segment_bytes % 4U) % 4U;
}

/// The parts of one PDU in wire order: header (with AHS), header digest, data, padding, data
/// digest.
struct PduLayout {
    std::uint32_t header_bytes = kBhsBytes;
    std::uint32_t header_digest_bytes = 0;
    std::uint32_t data_bytes = 0;
    std::uint32_t padding_bytes = 0;
    std::uint32_t data_digest_bytes = 0;

    /// Where the data segment starts.
    [[nodiscard]] constexpr std::uint32_t data_offset() const noexcept {
        return header_bytes + header_digest_bytes;
    }
    /// What follows the header and its digest.
    [[nodiscard]] constexpr std::uint32_t body_bytes() const noexcept {
        return data_bytes + padding_bytes + data_digest_bytes;
    }
    [[nodiscard]] constexpr std::uint32_t total_bytes() const noexcept {
        return data_offset() + body_bytes();
    }
    constexpr bool operator==(const PduLayout&) const noexcept = default;
};

/// The layout of a PDU without AHS. An empty data segment has no digest. Section 11.2.3.
[[nodiscard]] constexpr PduLayout layout_of(std::uint32_t data_bytes,
                                            DigestsInUse digests) noexcept {
    HF_ASSERT(data_bytes <= kDataSegmentBytesMax);
    return {.header_bytes = kBhsBytes,
            .header_digest_bytes = digests.header ? kDigestBytes : 0,
            .data_bytes = data_bytes,
            .padding_bytes = padding_bytes(data_bytes),
            .data_digest_bytes = digests.data && data_bytes != 0 ? kDigestBytes : 0};
}

/// The layout that a header announces, AHS included. With a header digest agreed, verify that first
/// and believe the layout afterwards (conformance DIG-06). At most 48 + 1020 + 4 + 2^24 + 4 bytes.
[[nodiscard]] inline PduLayout layout_of(Bhs bhs, DigestsInUse digests) noexcept {
    PduLayout layout = layout_of(data_segment_bytes(bhs), digests);
    layout.header_bytes += ahs_bytes(bhs);
    return layout;
}

}  // namespace holdfast::initiator
