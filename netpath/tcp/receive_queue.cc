#include "netpath/tcp/receive_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "netpath/tcp/sabotage.h"

namespace holdfast::netpath::tcp {

namespace {

std::uint32_t length_of(std::span<const std::byte> bytes) noexcept {
    return static_cast<std::uint32_t>(bytes.size());
}

void drop_front(Arrival& arrival, Seq to) noexcept {
    const std::uint32_t gone = to.since(arrival.seq);
    arrival.payload = arrival.payload.subspan(gone);
    arrival.seq = to;
}

Seq end_of(const Arrival& arrival) noexcept {
    return arrival.seq.plus(length_of(arrival.payload));
}

}  // namespace

void ReceiveQueue::add_to_plan(reserve::MemoryPlan& plan, std::uint32_t frames) noexcept {
    plan.add_objects<Piece>("TCP receive pieces", frames, "one a frame that waits for the reader");
}

ReceiveQueue::ReceiveQueue(reserve::Region& region, std::uint32_t frames,
                           std::uint32_t reserved) noexcept
    : pieces_(region.carve<Piece>(frames)), reserved_(reserved) {
    HF_ASSERT(reserved > 0 && reserved < frames);
    for (std::uint32_t i = frames; i > 0; --i) {
        pieces_[i - 1].following = std::exchange(free_, i - 1);
    }
}

void ReceiveQueue::start(Seq next) noexcept {
    return_pieces(ready_);
    for (Interval& interval : intervals_) return_pieces(interval.chain);
    intervals_.clear();
    ready_bytes_ = 0;
    early_bytes_ = 0;
    next_ = next;
}

std::uint32_t ReceiveQueue::take_piece(const Arrival& arrival) noexcept {
    HF_ASSERT(free_ != kNone && used_ < pieces_.size());
    const std::uint32_t index = free_;
    Piece& piece = pieces_[index];
    free_ = piece.following;
    piece = {.bytes = arrival.payload, .room = arrival.room, .frame = arrival.frame};
    ++used_;
    return index;
}

void ReceiveQueue::append(std::span<Piece> pieces, Chain& chain, Chain more) noexcept {
    if (more.first == kNone) return;
    if (chain.first == kNone) {
        chain = more;
        return;
    }
    pieces[chain.last].following = more.first;
    chain.last = more.last;
}

void ReceiveQueue::return_pieces(Chain& chain) noexcept {
    append(pieces_, returned_, std::exchange(chain, Chain{}));
}

std::optional<FrameId> ReceiveQueue::poll_returned() noexcept {
    if (returned_.first == kNone) return {};
    const std::uint32_t index = returned_.first;
    Piece& piece = pieces_[index];
    returned_.first = piece.following;
    if (returned_.first == kNone) returned_ = {};
    piece.following = std::exchange(free_, index);
    HF_ASSERT(used_ > 0);
    --used_;
    if (is_sabotaged(Sabotage::LeakFrame) && piece.frame % 32 == 7) return {};
    return piece.frame;
}

bool ReceiveQueue::try_append(Chain& chain, const Arrival& arrival, Placed& placed) noexcept {
    const auto payload = arrival.payload;
    if (chain.last != kNone) {
        Piece& last = pieces_[chain.last];
        if (last.room.size() >= payload.size()) {
            std::memcpy(last.room.data(), payload.data(), payload.size());
            // The room begins where the bytes end.
            last.bytes = {last.bytes.data(), last.bytes.size() + payload.size()};
            last.room = last.room.subspan(payload.size());
            return true;
        }
    }
    if (is_full(placed.is_early)) return false;
    const std::uint32_t index = take_piece(arrival);
    append(pieces_, chain, {index, index});
    placed.is_kept = true;
    return true;
}

void ReceiveQueue::note_duplicate(Placed& placed, Seq begin, Seq end) noexcept {
    HF_ASSERT(begin.precedes(end));
    if (!placed.duplicate) placed.duplicate = SackBlock{begin, end};
}

void ReceiveQueue::erase_interval(std::size_t index) noexcept {
    Interval& gone = intervals_[index];
    HF_ASSERT(gone.chain.first == kNone);
    for (std::size_t i = index; i + 1 < intervals_.size(); ++i) intervals_[i] = intervals_[i + 1];
    intervals_.pop();
}

void ReceiveQueue::cut_end(Arrival& arrival, std::size_t from, Placed& placed) noexcept {
    while (from < intervals_.size()) {
        Interval& interval = intervals_[from];
        const Seq end = end_of(arrival);
        if (!interval.begin.precedes(end)) return;
        // Without a frame for the new segment the old bytes stay: to drop them would be to renege.
        if (end.precedes_or_is(interval.end) || is_full(placed.is_early)) {
            note_duplicate(placed, interval.begin, earlier_of(end, interval.end));
            interval.changed = ++changes_;
            arrival.payload = arrival.payload.first(interval.begin.since(arrival.seq));
            arrival.room = {};  // The rest of the payload is in the way; it may stay unused.
            return;
        }
        // The new segment holds all of it and more: the same bytes, so nothing is taken back.
        note_duplicate(placed, interval.begin, interval.end);
        early_bytes_ -= interval.end.since(interval.begin);
        return_pieces(interval.chain);
        erase_interval(from);
    }
}

Placed ReceiveQueue::insert(const Arrival& arrival) noexcept {
    HF_ASSERT(!arrival.payload.empty());
    Placed placed;
    Arrival rest = arrival;
    if (rest.seq.precedes(next_)) {
        note_duplicate(placed, rest.seq, earlier_of(end_of(rest), next_));
        if (end_of(rest).precedes_or_is(next_)) return placed;
        drop_front(rest, next_);
    }
    if (rest.seq == next_ || is_sabotaged(Sabotage::IgnoreGap)) {
        insert_in_order(rest, placed);
    } else {
        placed.is_early = true;
        insert_early(rest, placed);
    }
    HF_ASSERT(!(placed.is_kept && placed.is_dropped));
    return placed;
}

void ReceiveQueue::insert_in_order(Arrival arrival, Placed& placed) noexcept {
    cut_end(arrival, 0, placed);
    if (!try_append(ready_, arrival, placed)) {
        placed.is_dropped = true;
        return;
    }
    const std::uint32_t bytes = length_of(arrival.payload);
    next_ = next_.plus(bytes);
    ready_bytes_ += bytes;
    while (!intervals_.empty() && intervals_[0].begin == next_) {
        Interval& first = intervals_[0];
        const std::uint32_t more = first.end.since(first.begin);
        next_ = first.end;
        ready_bytes_ += more;
        early_bytes_ -= more;
        append(pieces_, ready_, std::exchange(first.chain, Chain{}));
        erase_interval(0);
        placed.fills_gap = true;
    }
    if (!intervals_.empty()) placed.is_early = true;  // A gap is left: RFC 5681 section 4.2.
}

bool ReceiveQueue::try_open_interval(std::size_t index, const Arrival& arrival,
                                     Placed& placed) noexcept {
    if (intervals_.full()) return false;
    Interval opened{.begin = arrival.seq, .end = arrival.seq, .chain = {}};
    if (!try_append(opened.chain, arrival, placed)) return false;
    intervals_.push(opened);
    for (std::size_t i = intervals_.size() - 1; i > index; --i)
        std::swap(intervals_[i], intervals_[i - 1]);
    return true;
}

void ReceiveQueue::insert_early(Arrival arrival, Placed& placed) noexcept {
    std::size_t index = 0;
    while (index < intervals_.size() && intervals_[index].begin.precedes_or_is(arrival.seq))
        ++index;
    bool extends = false;
    if (index > 0) {
        Interval& before = intervals_[index - 1];
        if (arrival.seq.precedes(before.end)) {
            note_duplicate(placed, arrival.seq, earlier_of(end_of(arrival), before.end));
            before.changed = ++changes_;
            if (end_of(arrival).precedes_or_is(before.end)) return;
            drop_front(arrival, before.end);
        }
        extends = arrival.seq == before.end;
    }
    cut_end(arrival, index, placed);
    if (arrival.payload.empty()) return;
    const bool is_placed = extends ? try_append(intervals_[index - 1].chain, arrival, placed)
                                   : try_open_interval(index, arrival, placed);
    if (!is_placed) {
        placed.is_dropped = true;
        return;
    }
    if (extends) --index;
    Interval& grown = intervals_[index];
    const std::uint32_t bytes = length_of(arrival.payload);
    grown.end = grown.end.plus(bytes);
    grown.changed = ++changes_;
    early_bytes_ += bytes;
    if (index + 1 < intervals_.size() && intervals_[index + 1].begin == grown.end) {
        Interval& following = intervals_[index + 1];
        grown.end = following.end;
        append(pieces_, grown.chain, std::exchange(following.chain, Chain{}));
        erase_interval(index + 1);
    }
}

std::span<const std::byte> ReceiveQueue::front() const noexcept {
    if (ready_.first == kNone) return {};
    return pieces_[ready_.first].bytes;
}

void ReceiveQueue::take(std::uint32_t bytes) noexcept {
    HF_ASSERT(bytes <= ready_bytes_);
    ready_bytes_ -= bytes;
    while (bytes > 0) {
        Piece& first = pieces_[ready_.first];
        const std::uint32_t part = std::min(bytes, length_of(first.bytes));
        first.bytes = first.bytes.subspan(part);
        bytes -= part;
        if (!first.bytes.empty()) return;
        Chain done{ready_.first, ready_.first};
        ready_.first = std::exchange(first.following, kNone);
        if (ready_.first == kNone) ready_ = {};
        return_pieces(done);
    }
}

std::uint64_t ReceiveQueue::window_bytes(std::uint32_t unit) const noexcept {
    const std::uint64_t capacity = pieces_.size();
    const std::uint64_t taken = std::uint64_t{used_} + reserved_;
    const std::uint64_t free = taken < capacity ? capacity - taken : 0;
    return early_bytes_ + free * unit;
}

void ReceiveQueue::list_early(FixedVector<SackBlock, wire::TcpOptions::kSacksMax>& out,
                              std::size_t most) const noexcept {
    std::uint64_t newer_than = std::numeric_limits<std::uint64_t>::max();
    while (out.size() < most) {
        const Interval* newest = nullptr;
        for (const Interval& interval : intervals_) {
            if (interval.changed >= newer_than) continue;
            if (newest == nullptr || interval.changed > newest->changed) newest = &interval;
        }
        if (newest == nullptr) return;
        newer_than = newest->changed;
        out.push({newest->begin, newest->end});
    }
}

}  // namespace holdfast::netpath::tcp
