#include "stress/target/tx_queue.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace holdfast::target {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;
constexpr std::size_t kSpareChunksMax = 4;

}  // namespace

TxQueue::Piece& TxQueue::open_piece() {
    if (pieces_.empty() || !pieces_.back().borrowed.empty() || pieces_.back().end == kChunkBytes) {
        Piece& fresh = pieces_.emplace_back();
        if (spare_.empty()) {
            fresh.own.resize(kChunkBytes);
        } else {
            fresh.own = std::move(spare_.back());
            spare_.pop_back();
        }
    }
    return pieces_.back();
}

void TxQueue::append(Bytes bytes) {
    pending_bytes_ += bytes.size();
    while (!bytes.empty()) {
        Piece& piece = open_piece();
        const std::size_t count = std::min(bytes.size(), kChunkBytes - piece.end);
        std::ranges::copy(bytes.first(count), std::span{piece.own}.subspan(piece.end).begin());
        piece.end += count;
        bytes = bytes.subspan(count);
    }
}

void TxQueue::append_borrowed(Bytes bytes) {
    if (bytes.empty()) return;
    pending_bytes_ += bytes.size();
    pieces_.push_back(Piece{.own = {}, .borrowed = bytes, .begin = 0, .end = bytes.size()});
}

std::size_t TxQueue::gather(std::span<Bytes> out) const {
    std::size_t used = 0;
    for (const Piece& piece : pieces_) {
        if (used == out.size()) break;
        if (piece.begin != piece.end) out[used++] = piece.waiting();
    }
    return used;
}

void TxQueue::retire_front() {
    Piece& front = pieces_.front();
    if (front.borrowed.empty() && spare_.size() < kSpareChunksMax)
        spare_.push_back(std::move(front.own));
    pieces_.pop_front();
}

void TxQueue::sent(std::size_t count) {
    HF_ASSERT(count <= pending_bytes_);
    pending_bytes_ -= count;
    while (count != 0) {
        Piece& front = pieces_.front();
        const std::size_t taken = std::min(count, front.end - front.begin);
        front.begin += taken;
        count -= taken;
        if (front.begin == front.end) retire_front();
    }
}

void TxQueue::cut_to(std::size_t count) {
    HF_ASSERT(count <= pending_bytes_);
    std::size_t surplus = pending_bytes_ - count;
    pending_bytes_ = count;
    while (surplus != 0) {
        Piece& back = pieces_.back();
        const std::size_t taken = std::min(surplus, back.end - back.begin);
        back.end -= taken;
        surplus -= taken;
        if (back.begin == back.end) pieces_.pop_back();
    }
}

void TxQueue::clear() {
    pieces_.clear();
    pending_bytes_ = 0;
}

}  // namespace holdfast::target
