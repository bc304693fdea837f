/// Bytes that wait to be sent on one connection. Small pieces are gathered into chunks; long pieces
/// may be borrowed from the disk, so that a long read is not copied here.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "stress/target/wire.h"

namespace holdfast::target {

class TxQueue {
public:
    /// Copies.
    void append(Bytes bytes);
    /// Borrows: the bytes must stay where they are until sent or cleared.
    void append_borrowed(Bytes bytes);

    /// Fills `out` with what to send next, in order; returns how many entries it used.
    std::size_t gather(std::span<Bytes> out) const;
    void sent(std::size_t count);
    /// Keeps the first `count` of the waiting bytes.
    void cut_to(std::size_t count);
    void clear();

    [[nodiscard]] std::size_t pending_bytes() const noexcept { return pending_bytes_; }

private:
    struct Piece {
        std::vector<std::byte> own{};
        Bytes borrowed{};
        std::size_t begin = 0;
        std::size_t end = 0;
        [[nodiscard]] Bytes waiting() const {
            return (borrowed.empty() ? Bytes{own} : borrowed).subspan(begin, end - begin);
        }
    };
    Piece& open_piece();
    void retire_front();

    std::deque<Piece> pieces_;
    std::vector<std::vector<std::byte>> spare_;
    std::size_t pending_bytes_ = 0;
};

}  // namespace holdfast::target
