/// The scoreboard: every segment that was sent and not yet acknowledged, in sequence order, and
/// those in flight also in the order of their last transmission, which is the order that RACK looks
/// at. RFC 2018, RFC 8985 section 5.1. Pure; no timers.
///
/// A segment counts as received only when SACK blocks cover it whole, so that none is ever split.
/// One that is longer than the path has become is sent again in parts; see Segment::resent_bytes.
///
/// Limits: Limits::sent segments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "base/assert.h"
#include "base/time.h"
#include "netpath/tcp/seq.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::netpath::tcp {

enum class SentState : std::uint8_t {
    InFlight,  ///< May still arrive.
    Lost,      ///< Waits to be sent again.
    Sacked,    ///< The peer says that it has it, and may yet take that back: RFC 2018 section 8.
};

struct SentSegment {
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    Seq begin{};
    std::uint32_t bytes = 0;  ///< Sequence space: a FIN counts one.
    SentState state = SentState::InFlight;
    bool is_mtu_probe = false;
    std::uint16_t transmissions = 0;
    /// Lost: this many of its first bytes are on the way again.
    std::uint32_t resent_bytes = 0;
    Instant sent_at{};              ///< Of the last transmission.
    Instant first_sent_at{};        ///< Of the first one.
    std::uint32_t earlier = kNone;  ///< Slots of the neighbours in time; InFlight only.
    std::uint32_t later = kNone;

    [[nodiscard]] Seq end() const noexcept { return begin.plus(bytes); }
    [[nodiscard]] bool was_resent() const noexcept { return transmissions > 1; }
};

class SentQueue {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, std::uint32_t count) noexcept;
    /// `count` is a power of two.
    SentQueue(reserve::Region& region, std::uint32_t count) noexcept;
    SentQueue(const SentQueue&) = delete;
    SentQueue& operator=(const SentQueue&) = delete;

    void clear() noexcept;
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool has_room() const noexcept { return size_ < slots_.size(); }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    /// The i-th in sequence order, 0 .. size() - 1.
    [[nodiscard]] SentSegment& at(std::uint32_t i) noexcept {
        HF_ASSERT(i < size_);
        return slots_[slot_of(i)];
    }
    [[nodiscard]] const SentSegment& at(std::uint32_t i) const noexcept {
        HF_ASSERT(i < size_);
        return slots_[slot_of(i)];
    }
    [[nodiscard]] SentSegment& front() noexcept { return at(0); }
    [[nodiscard]] SentSegment& back() noexcept { return at(size_ - 1); }

    /// A new segment, right behind the last one, sent now.
    SentSegment& push(Instant now, Seq begin, std::uint32_t bytes) noexcept;
    /// Acknowledged whole. The front one only.
    void pop() noexcept;
    /// Its first bytes are acknowledged. The front one only.
    void trim_front(Seq una) noexcept;

    void mark_lost(SentSegment& segment) noexcept;
    void mark_sacked(SentSegment& segment) noexcept;
    /// Believed to be on its way after all, with the transmission that it had.
    void mark_not_lost(SentSegment& segment) noexcept;
    /// The peer has dropped what it had: RFC 2018 section 8. Every segment is lost then.
    void renege() noexcept;
    /// A Lost segment was sent again, whole or its last part.
    void mark_resent(Instant now, SentSegment& segment) noexcept;
    /// A part of a Lost one was, and more is to come.
    void add_resent(SentSegment& segment, std::uint32_t bytes) noexcept;

    /// The index of the first Lost segment; size() when there is none.
    [[nodiscard]] std::uint32_t first_lost() noexcept;
    /// The index of the first segment whose end lies after `seq`.
    [[nodiscard]] std::uint32_t find(Seq seq) const noexcept;

    /// Those in flight, the longest ago first; null at the end.
    [[nodiscard]] SentSegment* oldest() noexcept { return by_slot(oldest_); }
    [[nodiscard]] SentSegment* after(const SentSegment& segment) noexcept {
        return by_slot(segment.later);
    }

    /// "Pipe": what may be in the network, bytes.
    [[nodiscard]] std::uint64_t in_flight_bytes() const noexcept { return in_flight_bytes_; }
    [[nodiscard]] std::uint32_t lost_count() const noexcept { return lost_count_; }
    [[nodiscard]] std::uint32_t sacked_count() const noexcept { return sacked_count_; }

private:
    [[nodiscard]] std::uint32_t slot_of(std::uint32_t i) const noexcept {
        return (head_ + i) & static_cast<std::uint32_t>(slots_.size() - 1);
    }
    [[nodiscard]] SentSegment* by_slot(std::uint32_t slot) noexcept {
        return slot == SentSegment::kNone ? nullptr : &slots_[slot];
    }
    [[nodiscard]] std::uint32_t slot_of(const SentSegment& segment) const noexcept;
    /// Takes the segment out of the sums and of the list of its state.
    void leave_state(SentSegment& segment) noexcept;
    void enter_flight(SentSegment& segment) noexcept;
    void unlink(SentSegment& segment) noexcept;
    void enter_lost(SentSegment& segment) noexcept;

    std::span<SentSegment> slots_;
    std::uint32_t head_ = 0;  // Slot of the front one.
    std::uint32_t size_ = 0;
    std::uint32_t oldest_ = SentSegment::kNone;
    std::uint32_t newest_ = SentSegment::kNone;
    std::uint32_t lost_from_ = 0;  // No segment in front of this index is Lost.
    std::uint32_t lost_count_ = 0;
    std::uint32_t sacked_count_ = 0;
    std::uint64_t in_flight_bytes_ = 0;
};

}  // namespace holdfast::netpath::tcp
