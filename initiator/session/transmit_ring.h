/// What one connection has handed, or is about to hand, to its transport: PDUs as pieces in wire
/// order. Headers, padding and digests live in cells of the ring; data is borrowed from its owner.
///
/// A header is written when there is room to send it and not before. So no task needs a header slot
/// of its own, no header waits to be patched, and digests are computed once, over the final bytes
/// (conformance DIG-15).
///
/// A piece goes through three states in order: waiting, taken by the transport, released by it. A
/// transport that sends again what was lost, or that the hardware reads from, holds what it has
/// taken; only a released piece is nobody's any more.
///
/// Pure; no timers. Limits: EngineLimits::transmit_pieces; three for each PDU at most.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "initiator/engine.h"
#include "initiator/pdu/digest.h"
#include "initiator/pdu/length.h"
#include "initiator/pdu/types.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::initiator {

class TransmitRing {
public:
    static constexpr std::size_t kPiecesOfPdu = 3;
    /// An owner that lends nothing.
    static constexpr std::uint16_t kNobody = 0xffff;

    static void add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept;
    TransmitRing(reserve::Region& region, const EngineLimits& limits) noexcept;
    TransmitRing(const TransmitRing&) = delete;
    TransmitRing& operator=(const TransmitRing&) = delete;

    /// Room for one more PDU of any kind.
    [[nodiscard]] bool has_room() const noexcept { return size_ + kPiecesOfPdu <= pieces_.size(); }
    /// Nothing waits and nothing is held by the transport.
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    /// Not yet taken by the transport, bytes.
    [[nodiscard]] std::size_t waiting_bytes() const noexcept { return waiting_bytes_; }
    /// Taken and not yet released, bytes.
    [[nodiscard]] std::size_t held_bytes() const noexcept { return held_bytes_; }

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

    /// The pieces that wait, in order, as many as `out` holds.
    [[nodiscard]] std::span<std::span<const std::byte>> spans(
        std::span<std::span<const std::byte>> out) const noexcept;
    /// The transport took the first `bytes` that wait.
    void sent(std::size_t bytes) noexcept;

    /// The transport needs the first `bytes` that it holds no more. Call release() until it says
    /// Done.
    void released(std::size_t bytes) noexcept;
    enum class Release : std::uint8_t { Done, Owner };
    /// Owner: the data of `owner` was released, one loan is over.
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

    [[nodiscard]] const Piece& at(std::size_t i) const noexcept {
        HF_ASSERT(i < size_);
        return pieces_[(head_ + i) % pieces_.size()];
    }
    void push_piece(std::span<const std::byte> bytes, std::uint16_t owner) noexcept;

    std::span<Piece> pieces_;
    std::span<Cell> cells_;  // One per PDU: no more PDUs than pieces.
    std::size_t head_ = 0;
    std::size_t size_ = 0;
    std::size_t next_cell_ = 0;
    std::size_t taken_pieces_ = 0;    // From the front, each to its end.
    std::size_t taken_bytes_ = 0;     // Of the piece behind them.
    std::size_t released_bytes_ = 0;  // Of the front piece.
    std::size_t waiting_bytes_ = 0;
    std::size_t held_bytes_ = 0;
    std::size_t releasing_bytes_ = 0;  // Told by released(), not yet by release().
};

}  // namespace holdfast::initiator
