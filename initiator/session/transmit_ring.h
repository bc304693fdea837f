/// What one connection has handed, or is about to hand, to its transport: PDUs as pieces in wire
/// order. Headers, padding and digests live in cells of the ring; data is borrowed from its owner.
///
/// A header is written when there is room to send it and not before. So no task needs a header slot
/// of its own, no header waits to be patched, and digests are computed once, over the final bytes
/// (conformance DIG-15).
///
/// Pure; no timers. Limits: kPiecesMax pieces; three for each PDU at most.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fixed_vector.h"
#include "initiator/pdu/digest.h"
#include "initiator/pdu/length.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

class TransmitRing {
public:
    static constexpr std::size_t kPiecesMax = 64;
    static constexpr std::size_t kPiecesOfPdu = 3;
    /// An owner that lends nothing.
    static constexpr std::uint16_t kNobody = 0xffff;

    /// Room for one more PDU of any kind.
    [[nodiscard]] bool has_room() const noexcept {
        return pieces_.size() + kPiecesOfPdu <= kPiecesMax;
    }
    [[nodiscard]] bool empty() const noexcept { return pieces_.empty(); }
    /// Not yet taken by the transport, bytes.
    [[nodiscard]] std::size_t waiting_bytes() const noexcept { return waiting_bytes_; }

    /// Where the header of the next PDU is to be written. Needs has_room().
    [[nodiscard]] BhsOut next_header() noexcept;
    /// Of the PDU that was pushed last; holds until as many more are pushed as there are cells.
    [[nodiscard]] Bhs newest_header() const noexcept {
        const std::size_t newest = (next_cell_ + cells_.size() - 1) % cells_.size();
        return std::span{cells_[newest].header}.first<kBhsBytes>();
    }
    /// Completes the PDU whose header stands in next_header(). `data` is its data segment, borrowed
    /// from `owner` until release() names it; an empty one lends nothing.
    void push(DigestsInUse digests, std::span<const std::byte> data, std::uint16_t owner) noexcept;

    /// The pieces in order, as many as `out` holds.
    [[nodiscard]] std::span<std::span<const std::byte>> spans(
        std::span<std::span<const std::byte>> out) noexcept;

    /// The transport took `bytes`. Call release() until it says kDone.
    void sent(std::size_t bytes) noexcept;
    enum class Release : std::uint8_t { Done, Owner };
    /// Owner: the data of `owner` was sent, one loan is over.
    [[nodiscard]] Release release(std::uint16_t& owner) noexcept;

    /// The transport is gone and holds nothing: every loan is over.
    void clear() noexcept;

private:
    struct Piece {
        std::span<const std::byte> bytes{};
        std::uint16_t owner = kNobody;
    };
    struct Cell {
        std::array<std::byte, kBhsBytes + kDigestBytes> header{};
        std::array<std::byte, 3 + kDigestBytes> tail{};
    };

    void push_piece(std::span<const std::byte> bytes, std::uint16_t owner) noexcept;

    FixedQueue<Piece, kPiecesMax> pieces_;
    std::array<Cell, kPiecesMax> cells_{};  // One per PDU: no more PDUs than pieces.
    std::size_t next_cell_ = 0;
    std::size_t waiting_bytes_ = 0;
    std::size_t sent_bytes_ = 0;  // Taken by the transport, not yet released.
};

}  // namespace holdfast::initiator
