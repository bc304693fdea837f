#include "initiator/session/transmit_ring.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::initiator {

BhsOut TransmitRing::next_header() noexcept {
    HF_ASSERT(has_room());
    return std::span{cells_[next_cell_].header}.first<kBhsBytes>();
}

void TransmitRing::push_piece(std::span<const std::byte> bytes, std::uint16_t owner) noexcept {
    HF_ASSERT(!bytes.empty());
    pieces_.push({bytes, owner});
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
    std::span<std::span<const std::byte>> out) noexcept {
    const std::size_t count = std::min(out.size(), pieces_.size());
    for (std::size_t i = 0; i < count; ++i) out[i] = pieces_.at(i).bytes;
    return out.first(count);
}

void TransmitRing::sent(std::size_t bytes) noexcept {
    HF_ASSERT(sent_bytes_ == 0 && bytes <= waiting_bytes_);
    sent_bytes_ = bytes;
    waiting_bytes_ -= bytes;
}

TransmitRing::Release TransmitRing::release(std::uint16_t& owner) noexcept {
    while (sent_bytes_ > 0) {
        Piece& piece = pieces_.front();
        if (sent_bytes_ < piece.bytes.size()) {
            piece.bytes = piece.bytes.subspan(sent_bytes_);
            sent_bytes_ = 0;
            break;
        }
        sent_bytes_ -= piece.bytes.size();
        owner = pieces_.pop().owner;
        if (owner != kNobody) return Release::Owner;
    }
    return Release::Done;
}

void TransmitRing::clear() noexcept {
    pieces_.clear();
    waiting_bytes_ = 0;
    sent_bytes_ = 0;
}

}  // namespace holdfast::initiator
