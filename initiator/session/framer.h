/// Cuts the byte stream of one connection into PDUs. RFC 7143 sections 11.1, 11.2 and 13.1.
///
/// Bytes come in through spaces(): first the rest of the payload that is under way, at the place
/// where the session wants it, then the stage. What lands in the stage is copied out before the
/// next spaces(), so the stage always starts empty. Digests are computed over the bytes as they
/// come. Nothing in a header is believed before its digest was right.
///
/// Pure; no timers. Limits: no AHS; DataSegmentLength at most what we declared.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "initiator/pdu/digest.h"
#include "initiator/pdu/length.h"
#include "initiator/pdu/opcode.h"
#include "initiator/pdu/types.h"
#include "initiator/pdu/violation.h"

namespace holdfast::initiator {

/// What the framer has come to.
enum class Framed : std::uint8_t {
    NeedsBytes,         ///< Nothing more can be said without input.
    Header,             ///< header() is true; call place_payload() before next().
    Pdu,                ///< The whole PDU is in and right; header() and placed() hold until next().
    HeaderDigestWrong,  ///< The connection cannot be read any further. Section 7.8.
    DataDigestWrong,    ///< The PDU must be discarded, header included. Section 7.8.
    Violation,          ///< violation() says which. The connection cannot be read any further.
};

class Framer {
public:
    static constexpr std::size_t kSpansMax = 2;

    /// `stage` is borrowed for ever: at least 4096 bytes.
    explicit Framer(std::span<std::byte> stage) noexcept;

    /// A new connection: no digests, 8192 bytes a segment (RFC 7143 section 13.12).
    void restart() noexcept;
    /// What holds from the next header on. Called between PDUs only.
    void agree(DigestsInUse digests, std::uint32_t segment_bytes_max) noexcept;

    /// Where the next bytes go, in order. Only after next() said NeedsBytes.
    [[nodiscard]] std::span<std::span<std::byte>> spaces(
        std::span<std::span<std::byte>> out) noexcept;
    /// The first `bytes` of what spaces() gave were written.
    void filled(std::size_t bytes) noexcept;

    [[nodiscard]] Framed next() noexcept;
    /// Where the payload of the PDU whose header was just seen goes. At most its length; what does
    /// not fit is read and dropped, but still counted in the digest.
    void place_payload(std::span<std::byte> place) noexcept;

    [[nodiscard]] Bhs header() const noexcept { return std::span{header_}.first<kBhsBytes>(); }
    /// DataSegmentLength of header().
    [[nodiscard]] std::uint32_t payload_bytes() const noexcept { return layout_.data_bytes; }
    /// The place that was given, as far as it was filled.
    [[nodiscard]] std::span<std::byte> placed() const noexcept { return place_; }
    [[nodiscard]] Violation violation() const noexcept { return violation_; }

private:
    enum class At : std::uint8_t { Header, Placement, Payload, Tail, Broken };

    Framed on_header() noexcept;
    Framed on_tail() noexcept;
    Framed broken(Framed how) noexcept;
    [[nodiscard]] bool take_payload() noexcept;
    [[nodiscard]] std::span<const std::byte> take_pending(std::size_t most) noexcept;

    static constexpr std::size_t kHeaderBytesMax = kBhsBytes + kDigestBytes;
    static constexpr std::size_t kTailBytesMax = 3 + kDigestBytes;

    std::span<std::byte> stage_;
    std::span<const std::byte> pending_{};  // The unread part of the stage.
    At at_ = At::Header;
    DigestsInUse digests_{};
    std::uint32_t segment_bytes_max_ = 0;
    std::array<std::byte, kHeaderBytesMax> header_{};
    std::size_t header_have_ = 0;
    PduLayout layout_{};
    std::span<std::byte> place_{};
    std::size_t placed_bytes_ = 0;
    std::size_t dropped_bytes_ = 0;
    Crc32c data_crc_{};
    std::array<std::byte, kTailBytesMax> tail_{};
    std::size_t tail_have_ = 0;
    std::size_t offered_bytes_ = 0;
    Violation violation_{};
};

}  // namespace holdfast::initiator
