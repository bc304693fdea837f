/// What the sender has lent: pieces of its own buffers, in stream order, until the peer has
/// acknowledged them. Segments are filled from here the first time and every other time, so that
/// a transmit frame is needed only until the NIC has read it. Pure; no timers.
///
/// Limits: Limits::records pieces; kBytesMax bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netpath/tcp/seq.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::netpath::tcp {

/// The sender's own name for a piece; it comes back when the loan is over.
using PieceTag = std::uint32_t;

class SendBuffer {
public:
    /// Half of the largest window there is (RFC 7323 section 2.3), so that no comparison wraps.
    static constexpr std::uint32_t kBytesMax = 1U << 29;

    static void add_to_plan(reserve::MemoryPlan& plan, std::uint32_t count) noexcept;
    /// `count` is a power of two.
    SendBuffer(reserve::Region& region, std::uint32_t count) noexcept;
    SendBuffer(const SendBuffer&) = delete;
    SendBuffer& operator=(const SendBuffer&) = delete;

    /// Empty, with the next byte at `first`. What was lent is forgotten.
    void start(Seq first) noexcept;
    /// False when there is no record left, or too many bytes; nothing is lent then.
    [[nodiscard]] bool try_push(std::span<const std::byte> bytes, PieceTag tag) noexcept;
    /// The first byte that is not acknowledged, and the one behind the last.
    [[nodiscard]] Seq begin() const noexcept { return begin_; }
    [[nodiscard]] Seq end() const noexcept { return end_; }

    /// Copies to.size() bytes from `from` on, which must be there.
    void copy(Seq from, std::span<std::byte> to) const noexcept;
    /// The peer has everything in front of `una`, which lies between begin() and end().
    void acknowledge(Seq una) noexcept;
    /// A piece that was acknowledged to its end: its loan is over. Pieces come in order.
    [[nodiscard]] std::optional<PieceTag> poll_returned() noexcept;
    /// On loan, returned and not yet polled ones counted.
    [[nodiscard]] std::uint32_t record_count() const noexcept { return size_; }

private:
    struct Record {
        std::span<const std::byte> bytes{};
        Seq begin{};
        PieceTag tag = 0;
        [[nodiscard]] Seq end() const noexcept {
            return begin.plus(static_cast<std::uint32_t>(bytes.size()));
        }
    };

    [[nodiscard]] const Record& at(std::uint32_t i) const noexcept {
        return records_[(head_ + i) & static_cast<std::uint32_t>(records_.size() - 1)];
    }
    [[nodiscard]] std::uint32_t find(Seq seq) const noexcept;

    std::span<Record> records_;
    std::uint32_t head_ = 0;
    std::uint32_t size_ = 0;
    std::uint32_t returned_ = 0;  // Of the first ones, acknowledged and not yet polled.
    Seq begin_{};
    Seq end_{};
};

}  // namespace holdfast::netpath::tcp
