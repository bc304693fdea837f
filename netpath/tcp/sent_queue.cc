#include "netpath/tcp/sent_queue.h"

#include <algorithm>
#include <bit>

namespace holdfast::netpath::tcp {

void SentQueue::add_to_plan(reserve::MemoryPlan& plan, std::uint32_t count) noexcept {
    plan.add_objects<SentSegment>("TCP segments in flight", count,
                                  "one each until it is acknowledged");
}

SentQueue::SentQueue(reserve::Region& region, std::uint32_t count) noexcept
    : slots_(region.carve<SentSegment>(count)) {
    HF_ASSERT(std::has_single_bit(count));
}

void SentQueue::clear() noexcept {
    size_ = 0;
    oldest_ = newest_ = SentSegment::kNone;
    lost_from_ = lost_count_ = sacked_count_ = 0;
    in_flight_bytes_ = 0;
}

std::uint32_t SentQueue::slot_of(const SentSegment& segment) const noexcept {
    const auto slot = static_cast<std::uint32_t>(&segment - slots_.data());
    HF_ASSERT(slot < slots_.size());
    return slot;
}

SentSegment& SentQueue::push(Instant now, Seq begin, std::uint32_t bytes) noexcept {
    HF_ASSERT(has_room() && bytes > 0);
    HF_ASSERT(empty() || back().end() == begin);
    SentSegment& segment = slots_[slot_of(size_++)];
    segment = {
        .begin = begin, .bytes = bytes, .transmissions = 1, .sent_at = now, .first_sent_at = now};
    enter_flight(segment);
    return segment;
}

void SentQueue::enter_flight(SentSegment& segment) noexcept {
    const std::uint32_t slot = slot_of(segment);
    segment.state = SentState::InFlight;
    segment.resent_bytes = 0;
    // Nearly always the newest; only a loss that was none goes back to its old place.
    std::uint32_t earlier = newest_;
    while (earlier != SentSegment::kNone && segment.sent_at < slots_[earlier].sent_at)
        earlier = slots_[earlier].earlier;
    const std::uint32_t later = earlier == SentSegment::kNone ? oldest_ : slots_[earlier].later;
    segment.earlier = earlier;
    segment.later = later;
    (earlier == SentSegment::kNone ? oldest_ : slots_[earlier].later) = slot;
    (later == SentSegment::kNone ? newest_ : slots_[later].earlier) = slot;
    in_flight_bytes_ += segment.bytes;
}

void SentQueue::unlink(SentSegment& segment) noexcept {
    (segment.earlier == SentSegment::kNone ? oldest_ : slots_[segment.earlier].later) =
        segment.later;
    (segment.later == SentSegment::kNone ? newest_ : slots_[segment.later].earlier) =
        segment.earlier;
    segment.earlier = segment.later = SentSegment::kNone;
}

void SentQueue::leave_state(SentSegment& segment) noexcept {
    switch (segment.state) {
    case SentState::InFlight:
        unlink(segment);
        HF_ASSERT(in_flight_bytes_ >= segment.bytes);
        in_flight_bytes_ -= segment.bytes;
        break;
    case SentState::Lost:
        HF_ASSERT(lost_count_ > 0 && in_flight_bytes_ >= segment.resent_bytes);
        in_flight_bytes_ -= segment.resent_bytes;
        segment.resent_bytes = 0;
        --lost_count_;
        break;
    case SentState::Sacked:
        HF_ASSERT(sacked_count_ > 0);
        --sacked_count_;
        break;
    }
}

void SentQueue::pop() noexcept {
    leave_state(front());
    head_ = slot_of(1);
    --size_;
    if (lost_from_ > 0) --lost_from_;
}

void SentQueue::trim_front(Seq una) noexcept {
    SentSegment& segment = front();
    const std::uint32_t gone = una.since(segment.begin);
    HF_ASSERT(gone < segment.bytes);
    if (segment.state == SentState::InFlight) in_flight_bytes_ -= gone;
    if (segment.state == SentState::Lost) {
        const std::uint32_t resent_gone = std::min(gone, segment.resent_bytes);
        in_flight_bytes_ -= resent_gone;
        segment.resent_bytes -= resent_gone;
    }
    segment.begin = una;
    segment.bytes -= gone;
}

void SentQueue::enter_lost(SentSegment& segment) noexcept {
    segment.state = SentState::Lost;
    segment.resent_bytes = 0;
    ++lost_count_;
    const std::uint32_t index =
        (slot_of(segment) - head_) & static_cast<std::uint32_t>(slots_.size() - 1);
    lost_from_ = lost_count_ == 1 ? index : std::min(lost_from_, index);
}

void SentQueue::mark_lost(SentSegment& segment) noexcept {
    if (segment.state == SentState::Lost && segment.resent_bytes == 0) return;
    leave_state(segment);
    enter_lost(segment);
}

void SentQueue::mark_sacked(SentSegment& segment) noexcept {
    HF_ASSERT(segment.state != SentState::Sacked);
    leave_state(segment);
    segment.state = SentState::Sacked;
    ++sacked_count_;
}

void SentQueue::mark_not_lost(SentSegment& segment) noexcept {
    HF_ASSERT(segment.state == SentState::Lost);
    leave_state(segment);
    enter_flight(segment);
}

void SentQueue::renege() noexcept {
    for (std::uint32_t i = 0; i < size_; ++i) mark_lost(at(i));
    HF_ASSERT(in_flight_bytes_ == 0 && lost_count_ == size_);
}

void SentQueue::mark_resent(Instant now, SentSegment& segment) noexcept {
    HF_ASSERT(segment.state == SentState::Lost);
    leave_state(segment);
    segment.sent_at = now;
    if (segment.transmissions < 0xffff) ++segment.transmissions;
    enter_flight(segment);
}

void SentQueue::add_resent(SentSegment& segment, std::uint32_t bytes) noexcept {
    HF_ASSERT(segment.state == SentState::Lost);
    HF_ASSERT(segment.resent_bytes + bytes < segment.bytes);
    segment.resent_bytes += bytes;
    in_flight_bytes_ += bytes;
}

std::uint32_t SentQueue::first_lost() noexcept {
    if (lost_count_ == 0) return size_;
    while (at(lost_from_).state != SentState::Lost) ++lost_from_;
    return lost_from_;
}

std::uint32_t SentQueue::find(Seq seq) const noexcept {
    std::uint32_t low = 0;
    std::uint32_t high = size_;
    while (low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (seq.precedes(at(middle).end())) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

}  // namespace holdfast::netpath::tcp
