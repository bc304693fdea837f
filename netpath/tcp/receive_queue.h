/// Received payload, in the frames that it came in, until the reader has taken it: what is in
/// order, and what came early as a bounded list of intervals. RFC 9293 section 3.10.7.4, RFC 2018
/// section 4, RFC 2883. Pure; no timers.
///
/// The window is what the free frames can hold. It never shrinks: a byte that was advertised stays
/// so. A peer that fills its window with tiny segments can still use up the frames; payload that
/// fits behind the one before it is copied there, and what finds no frame is dropped like a loss.
/// Frames that are reserved for data in order see to it that a gap can always be filled.
///
/// Limits: Limits::rx_frames frames; kIntervalsMax intervals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "netpath/tcp/seq.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::netpath::tcp {

/// The owner's number for a receive frame.
using FrameId = std::uint32_t;

/// A payload where it lies in its frame.
struct Arrival {
    Seq seq{};
    std::span<std::byte> payload{};
    /// Bytes of the same frame behind the payload that may be written to.
    std::span<std::byte> room{};
    FrameId frame = 0;
};

/// What became of one.
struct Placed {
    bool is_kept = false;     ///< The frame stays here until poll_returned() names it.
    bool is_dropped = false;  ///< There was no frame or interval left: it counts as lost.
    bool fills_gap = false;   ///< Early data has become data in order.
    bool is_early = false;    ///< It left or lies behind a gap.
    /// Bytes that were here already: RFC 2883.
    std::optional<SackBlock> duplicate{};
};

class ReceiveQueue {
public:
    static constexpr std::size_t kIntervalsMax = 32;

    static void add_to_plan(reserve::MemoryPlan& plan, std::uint32_t frames) noexcept;
    ReceiveQueue(reserve::Region& region, std::uint32_t frames, std::uint32_t reserved) noexcept;
    ReceiveQueue(const ReceiveQueue&) = delete;
    ReceiveQueue& operator=(const ReceiveQueue&) = delete;

    /// The next byte is `next`. Everything that is held is returned.
    void start(Seq next) noexcept;
    /// RCV.NXT, as far as payload goes.
    [[nodiscard]] Seq next() const noexcept { return next_; }

    /// The payload is not empty and lies within the window.
    [[nodiscard]] Placed insert(const Arrival& arrival) noexcept;

    /// The first bytes in order; empty when there are none. Valid until taken.
    [[nodiscard]] std::span<const std::byte> front() const noexcept;
    [[nodiscard]] std::uint32_t ready_bytes() const noexcept { return ready_bytes_; }
    /// The reader has the first `bytes`; at most ready_bytes().
    void take(std::uint32_t bytes) noexcept;
    /// A frame that is not needed any more.
    [[nodiscard]] std::optional<FrameId> poll_returned() noexcept;

    /// Bytes from next() on for which there are frames, when one holds `unit` bytes.
    [[nodiscard]] std::uint64_t window_bytes(std::uint32_t unit) const noexcept;
    [[nodiscard]] std::uint32_t held_frames() const noexcept { return used_; }
    [[nodiscard]] bool has_early() const noexcept { return !intervals_.empty(); }
    /// Behind the last byte that is here, early ones counted.
    [[nodiscard]] Seq furthest() const noexcept {
        return intervals_.empty() ? next_ : intervals_[intervals_.size() - 1].end;
    }
    /// Blocks for the SACK option, the one that changed last in front: RFC 2018 section 4.
    void list_early(FixedVector<SackBlock, wire::TcpOptions::kSacksMax>& out,
                    std::size_t most) const noexcept;

private:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
    struct Piece {
        std::span<std::byte> bytes{};
        std::span<std::byte> room{};
        FrameId frame = 0;
        std::uint32_t following = kNone;
    };
    /// Pieces that follow each other without a hole.
    struct Chain {
        std::uint32_t first = kNone;
        std::uint32_t last = kNone;
    };
    struct Interval {
        Seq begin{};
        Seq end{};
        Chain chain{};
        std::uint64_t changed = 0;
    };

    [[nodiscard]] bool is_full(bool is_early) const noexcept {
        return used_ + (is_early ? reserved_ : 0) >= pieces_.size();
    }
    [[nodiscard]] std::uint32_t take_piece(const Arrival& arrival) noexcept;
    void return_pieces(Chain& chain) noexcept;
    static void append(std::span<Piece> pieces, Chain& chain, Chain more) noexcept;
    /// Behind the end of `chain`, copied or linked. False: no frame left.
    [[nodiscard]] bool try_append(Chain& chain, const Arrival& arrival, Placed& placed) noexcept;
    void note_duplicate(Placed& placed, Seq begin, Seq end) noexcept;
    /// Cuts the end that is here already, and throws away early data that `arrival` covers whole.
    void cut_end(Arrival& arrival, std::size_t from, Placed& placed) noexcept;
    void insert_in_order(Arrival arrival, Placed& placed) noexcept;
    void insert_early(Arrival arrival, Placed& placed) noexcept;
    void erase_interval(std::size_t index) noexcept;
    [[nodiscard]] bool try_open_interval(std::size_t index, const Arrival& arrival,
                                         Placed& placed) noexcept;

    std::span<Piece> pieces_;
    std::uint32_t reserved_;
    std::uint32_t used_ = 0;
    std::uint32_t free_ = kNone;
    Chain ready_{};
    Chain returned_{};
    std::uint32_t ready_bytes_ = 0;
    Seq next_{};
    FixedVector<Interval, kIntervalsMax> intervals_;  // In sequence order; never touching.
    std::uint64_t early_bytes_ = 0;
    std::uint64_t changes_ = 0;
};

}  // namespace holdfast::netpath::tcp
