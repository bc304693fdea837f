#include "initiator/session/transmit_ring.h"

#include <algorithm>

namespace holdfast::initiator {

namespace {

ByteCount rounded_up(std::size_t bytes) noexcept {
    const std::size_t units = (bytes + reserve::kCarveUnitBytes - 1) / reserve::kCarveUnitBytes;
    return ByteCount{units * reserve::kCarveUnitBytes};
}

}  // namespace

void TransmitRing::add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept {
    plan.add({.name = "transmit pieces",
              .count = limits.connections,
              .each = rounded_up(limits.transmit_pieces * sizeof(Piece)),
              .reason = "what the transport may hold of a connection at once"});
    plan.add({.name = "transmit headers",
              .count = limits.connections,
              .each = rounded_up(limits.transmit_pieces * sizeof(Cell)),
              .reason = "header, padding and digests of each PDU that it holds"});
}

TransmitRing::TransmitRing(reserve::Region& region, const EngineLimits& limits) noexcept
    : pieces_(region.carve<Piece>(limits.transmit_pieces)),
      cells_(region.carve<Cell>(limits.transmit_pieces)) {
    HF_ASSERT(limits.transmit_pieces >= EngineLimits::kTransmitPiecesMin);
    HF_ASSERT(limits.transmit_pieces <= EngineLimits::kTransmitPiecesMax);
}

BhsOut TransmitRing::next_header() noexcept {
    HF_ASSERT(has_room());
    return std::span{cells_[next_cell_].header}.first<kBhsBytes>();
}

void TransmitRing::push_piece(std::span<const std::byte> bytes, std::uint16_t owner) noexcept {
    HF_ASSERT(!bytes.empty() && size_ < pieces_.size());
    pieces_[(head_ + size_) % pieces_.size()] = {bytes, owner};
    ++size_;
    waiting_bytes_ += bytes.size();
}

void TransmitRing::push(DigestsInUse digests, std::span<const std::byte> data,
                        std::uint16_t owner) noexcept {
    HF_ASSERT(has_room() && data.size() <= kDataSegmentBytesMax);
    Cell& cell = cells_[next_cell_];
    next_cell_ = (next_cell_ + 1) % cells_.size();
    const auto layout = layout_of(static_cast<std::uint32_t>(data.size()), digests);
    const auto header = std::span{cell.header};
    if (digests.header) {
        std::ranges::copy(header_digest(header.first<kBhsBytes>()),
                          header.subspan(kBhsBytes).begin());
    }
    push_piece(header.first(layout.data_offset()), kNobody);
    if (data.empty()) return;
    push_piece(data, owner);
    const std::size_t tail_bytes = layout.padding_bytes + layout.data_digest_bytes;
    if (tail_bytes == 0) return;
    cell.tail = {};
    if (digests.data) {
        const std::array<std::span<const std::byte>, 1> one{data};
        std::ranges::copy(data_digest(one),
                          std::span{cell.tail}.subspan(layout.padding_bytes).begin());
    }
    push_piece(std::span{cell.tail}.first(tail_bytes), kNobody);
}

std::span<std::span<const std::byte>> TransmitRing::spans(
    std::span<std::span<const std::byte>> out) const noexcept {
    const std::size_t count = std::min(out.size(), size_ - taken_pieces_);
    std::size_t skipped = taken_bytes_;
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = at(taken_pieces_ + i).bytes.subspan(skipped);
        skipped = 0;
    }
    return out.first(count);
}

void TransmitRing::sent(std::size_t bytes) noexcept {
    HF_ASSERT(bytes <= waiting_bytes_);
    waiting_bytes_ -= bytes;
    held_bytes_ += bytes;
    taken_bytes_ += bytes;
    while (taken_pieces_ < size_ && taken_bytes_ >= at(taken_pieces_).bytes.size())
        taken_bytes_ -= at(taken_pieces_++).bytes.size();
    HF_ASSERT(taken_pieces_ < size_ || taken_bytes_ == 0);
}

void TransmitRing::released(std::size_t bytes) noexcept {
    HF_ASSERT(releasing_bytes_ == 0 && bytes <= held_bytes_);
    releasing_bytes_ = bytes;
    held_bytes_ -= bytes;
}

TransmitRing::Release TransmitRing::release(std::uint16_t& owner) noexcept {
    while (releasing_bytes_ > 0) {
        const std::size_t rest = at(0).bytes.size() - released_bytes_;
        if (releasing_bytes_ < rest) {
            released_bytes_ += releasing_bytes_;
            releasing_bytes_ = 0;
            break;
        }
        HF_ASSERT(taken_pieces_ > 0);
        releasing_bytes_ -= rest;
        released_bytes_ = 0;
        owner = at(0).owner;
        head_ = (head_ + 1) % pieces_.size();
        --size_;
        --taken_pieces_;
        if (owner != kNobody) return Release::Owner;
    }
    return Release::Done;
}

void TransmitRing::clear() noexcept {
    head_ = size_ = taken_pieces_ = taken_bytes_ = released_bytes_ = 0;
    waiting_bytes_ = held_bytes_ = releasing_bytes_ = 0;
}

}  // namespace holdfast::initiator
