#include "tests/netpath/tcp/sim/peer.h"

#include <algorithm>

#include "tests/netpath/tcp/endpoint.h"

namespace holdfast::tcp_test {

namespace {

/// The place in a stream that a sequence number stands for, near a place that is known.
std::uint64_t place_of(std::uint32_t seq, std::uint32_t first, std::uint64_t near) {
    const auto offset = static_cast<std::int32_t>(seq - first - static_cast<std::uint32_t>(near));
    return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(offset));
}

bool is_ahead(std::uint64_t a, std::uint64_t b) {
    return static_cast<std::int64_t>(a - b) > 0;
}

}  // namespace

void Peer::receive(Micros now, const Packet& packet) {
    if (packet.has(kRst)) {
        was_reset_ = true;
        return;
    }
    if (packet.has(kSyn)) return receive_syn(packet);
    if (!is_open_) return;
    if (manners_.has_timestamps && !packet.timestamps)
        return complain("a segment without timestamps");
    if (packet.timestamps) ts_recent_ = packet.timestamps->first;
    receive_ack(now, packet);
    receive_text(now, packet);
}

void Peer::receive_syn(const Packet& packet) {
    if (is_open_ && packet.seq != their_isn_) return complain("another SYN");
    syn_ack_due_ = true;
    if (is_open_) return;
    is_open_ = true;
    their_isn_ = packet.seq;
    their_mss_ = packet.mss.value_or(536);
    their_shift_ = packet.window_shift.value_or(0);
    manners_.has_sack = manners_.has_sack && packet.sack_permitted;
    manners_.has_timestamps = manners_.has_timestamps && packet.timestamps.has_value();
    if (!packet.window_shift) manners_.window_shift = 0;
    if (packet.timestamps) ts_recent_ = packet.timestamps->first;
    their_edge_ = packet.window;
    edge_ = std::min<std::uint64_t>(manners_.buffer_bytes, 65535);
}

void Peer::receive_ack(Micros now, const Packet& packet) {
    const std::uint64_t ack = place_of(packet.ack, isn_ + 1, acked_);
    if (is_ahead(ack, sent_most_ + (fin_sent_once_ ? 1 : 0)))
        return complain("an ACK of what was not sent");
    if (is_ahead(acked_, ack)) return;
    their_edge_ = std::max(their_edge_, ack + (std::uint64_t{packet.window} << their_shift_));
    if (!is_ahead(ack, acked_)) return;
    fin_acked_ = fin_acked_ || ack == manners_.bytes_to_send + 1;
    acked_ = std::min(ack, manners_.bytes_to_send);
    sent_ = std::max(sent_, acked_);
    resends_ = 0;
    const bool is_waiting = acked_ < sent_ || (fin_sent_ && !fin_acked_);
    resend_at_ = is_waiting ? now + manners_.resend_after : kNever;
}

void Peer::note_block(std::uint64_t begin, std::uint64_t end) {
    std::erase_if(recent_,
                  [&](const auto& block) { return block.first <= end && begin <= block.second; });
    recent_.emplace_front(begin, end);
    if (recent_.size() > 8) recent_.pop_back();
}

void Peer::receive_text(Micros now, const Packet& packet) {
    const std::uint64_t begin = place_of(packet.seq, their_isn_ + 1, next_);
    std::uint64_t end = begin + packet.payload.size();
    for (std::size_t i = 0; i < packet.payload.size(); ++i) {
        if (packet.payload[i] != pattern(begin + i, true))
            return complain("a wrong byte at " + std::to_string(begin + i));
    }
    // One byte may probe a closed window.
    if (is_ahead(end, edge_ + 1))
        return complain("more than the window allows: " + std::to_string(begin) + " to " +
                        std::to_string(end) + ", the edge is " + std::to_string(edge_));
    if (packet.has(kFin)) {
        if (fin_at_ && *fin_at_ != end) return complain("a FIN at another place");
        fin_at_ = end;
    }
    if (packet.payload.empty()) {
        if (packet.has(kFin) || begin != next_ + (fin_taken_ ? 1 : 0)) ack_now_ = true;
        return take_fin(now);
    }
    if (!is_ahead(end, next_)) {
        if (manners_.sends_dsack) dsack_ = {begin, end};
        ack_now_ = true;
        return;
    }
    end = std::min(end, edge_);  // A probe's byte is refused.
    if (end <= std::max(begin, next_)) {
        ack_now_ = true;
        return;
    }
    if (begin > next_) {
        ack_now_ = true;
        if (manners_.reneges && random_.one_in(20)) {
            early_.clear();
            recent_.clear();
            return;
        }
    }
    // Keep [begin, end) and everything that it touches as one.
    std::uint64_t from = std::max(begin, next_);
    std::uint64_t to = end;
    for (auto block = early_.begin(); block != early_.end();) {
        if (block->first <= to && from <= block->second) {
            if (manners_.sends_dsack && !dsack_ && begin < block->second && block->first < end)
                dsack_ = {std::max(begin, block->first), std::min(end, block->second)};
            from = std::min(from, block->first);
            to = std::max(to, block->second);
            block = early_.erase(block);
        } else {
            ++block;
        }
    }
    if (from > next_) {
        early_[from] = to;
        note_block(from, to);
    } else {
        if (to > end || !early_.empty()) ack_now_ = true;
        next_ = to;
        std::erase_if(recent_, [&](const auto& block) { return block.second <= next_; });
        ++unacked_;
    }
    if (unacked_ >= 2) ack_now_ = true;
    if (ack_at_ == kNever) ack_at_ = now + manners_.delayed_ack;
    if (read_at_ == kNever)
        read_at_ = now + (manners_.reads_slowly ? static_cast<Micros>(random_.below(400'000)) : 0);
    take_fin(now);
}

void Peer::take_fin(Micros now) {
    static_cast<void>(now);
    if (!fin_at_ || fin_taken_ || next_ != *fin_at_) return;
    fin_taken_ = true;
    ack_now_ = true;
}

std::uint32_t Peer::window() const {
    return static_cast<std::uint32_t>(read_ + manners_.buffer_bytes - next_);
}

void Peer::read(Micros now) {
    read_at_ = kNever;
    const bool was_small = edge_ - next_ < 2ULL * manners_.mss;
    std::uint64_t most = next_ - read_;
    if (manners_.reads_slowly && random_.one_in(2)) most = random_.below(most + 1);
    read_ += most;
    if (read_ < next_) read_at_ = now + static_cast<Micros>(random_.below(400'000));
    const bool is_lost = manners_.may_lose_updates && random_.one_in(2);
    if (was_small && window() >= 2U * manners_.mss && !is_lost) ack_now_ = true;
}

void Peer::list_blocks(Packet& packet) const {
    const std::size_t most = manners_.has_timestamps ? 3 : 4;
    const auto add = [&](std::uint64_t begin, std::uint64_t end) {
        packet.sacks.emplace_back(their_isn_ + 1 + static_cast<std::uint32_t>(begin),
                                  their_isn_ + 1 + static_cast<std::uint32_t>(end));
    };
    if (dsack_) add(dsack_->first, dsack_->second);
    for (const auto& [begin, end] : recent_) {
        if (packet.sacks.size() < most) add(begin, end);
    }
}

Packet Peer::make(Micros now, std::uint64_t offset, std::size_t bytes) {
    Packet packet{.flags = kAck, .seq = isn_ + 1 + static_cast<std::uint32_t>(offset)};
    packet.ack = their_isn_ + 1 + static_cast<std::uint32_t>(next_) + (fin_taken_ ? 1U : 0U);
    // Rounded down, so that what is shown is there; but never behind what was shown before.
    const std::uint64_t unit = std::uint64_t{1} << manners_.window_shift;
    const std::uint64_t shown = std::max<std::uint64_t>(window(), edge_ - next_);
    packet.window = static_cast<std::uint16_t>(std::min<std::uint64_t>(shown / unit, 65535));
    edge_ = std::max(edge_, next_ + packet.window * unit);
    for (std::size_t i = 0; i < bytes; ++i) packet.payload.push_back(pattern(offset + i, false));
    if (manners_.has_timestamps)
        packet.timestamps = {static_cast<std::uint32_t>(now / 1000 + 5), ts_recent_};
    if (manners_.has_sack && bytes == 0) list_blocks(packet);
    dsack_.reset();
    ack_now_ = false;
    unacked_ = 0;
    ack_at_ = kNever;
    return packet;
}

std::optional<Packet> Peer::send_data(Micros now) {
    const std::uint64_t most = std::min(manners_.bytes_to_send, their_edge_);
    const std::uint32_t mss = their_mss_ - (manners_.has_timestamps ? 12U : 0U);
    if (sent_ < most && sent_ - acked_ < 40'000) {
        std::uint64_t bytes = std::min<std::uint64_t>(most - sent_, mss);
        if (random_.one_in(8)) bytes = 1 + random_.below(bytes);
        Packet packet = make(now, sent_, bytes);
        sent_ += bytes;
        sent_most_ = std::max(sent_most_, sent_);
        if (resend_at_ == kNever) resend_at_ = now + manners_.resend_after;
        return packet;
    }
    // A closed window is probed with one byte.
    if (sent_ == acked_ && sent_ < manners_.bytes_to_send && resend_at_ == kNever) {
        resend_at_ = now + manners_.resend_after;
    }
    const bool is_fin_due = fin_taken_ && sent_ == manners_.bytes_to_send && !fin_sent_;
    if (!is_fin_due) return {};
    Packet packet = make(now, sent_, 0);
    packet.flags |= kFin;
    packet.sacks.clear();
    fin_sent_ = fin_sent_once_ = true;
    resend_at_ = now + manners_.resend_after;
    return packet;
}

std::optional<Packet> Peer::send(Micros now) {
    if (syn_ack_due_) {
        syn_ack_due_ = false;
        Packet packet{.flags = kSyn | kAck, .seq = isn_, .ack = their_isn_ + 1};
        packet.window =
            static_cast<std::uint16_t>(std::min<std::uint32_t>(manners_.buffer_bytes, 65535));
        packet.mss = manners_.mss;
        if (manners_.window_shift > 0) packet.window_shift = manners_.window_shift;
        packet.sack_permitted = manners_.has_sack;
        if (manners_.has_timestamps)
            packet.timestamps = {static_cast<std::uint32_t>(now / 1000 + 5), ts_recent_};
        return packet;
    }
    if (!is_open_ || was_reset_) return {};
    if (read_at_ <= now) read(now);
    if (ack_at_ <= now) ack_now_ = true;
    if (resend_at_ <= now) {
        const bool is_probing = sent_ == acked_ && sent_ < manners_.bytes_to_send;
        resend_at_ = now + (manners_.resend_after << std::min(++resends_, 4));
        if (is_probing) {
            sent_most_ = std::max(sent_most_, sent_ + 1);
            return make(now, sent_, 1);
        }
        sent_ = acked_;
        if (!fin_acked_) fin_sent_ = false;
    }
    if (auto packet = send_data(now)) return packet;
    if (ack_now_) return make(now, sent_ + (fin_sent_ ? 1 : 0), 0);
    return {};
}

Micros Peer::next_wake() const {
    if (was_reset_) return kNever;
    return std::min({ack_at_, read_at_, resend_at_});
}

}  // namespace holdfast::tcp_test
