// Connection: what goes out. RFC 9293 sections 3.8 and 3.10; silly windows are avoided on both
// sides.
#include <algorithm>

#include "base/assert.h"
#include "netpath/tcp/connection.h"
#include "netpath/tcp/sabotage.h"

namespace holdfast::netpath::tcp {

std::optional<Outgoing> Connection::output(Instant now, bool may_send_data) noexcept {
    std::optional<Outgoing> out;
    if (!resets_.empty()) {
        out = resets_.pop();
    } else if (state_ == State::SynSent || state_ == State::SynReceived) {
        out = output_syn(now);
    } else if (state_ != State::Closed) {
        if (may_send_data) out = output_data(now);
        if (!out) out = output_fin(now);
        if (!out) out = output_ack(now);
        judge_persist(now);
    }
    if (out) ++counters_.segments_out;
    return out;
}

std::optional<Outgoing> Connection::output_data(Instant now) noexcept {
    if (snd_.tail_probe_fires) return output_tail_probe(now);
    if (snd_.persist_fires) return output_window_probe(now);
    if (snd_.is_probing_window) return {};
    if (loss_.prefers_new) {
        if (auto out = output_new(now)) return out;
        loss_.prefers_new = false;
    }
    if (auto out = output_lost(now)) return out;
    return output_new(now);
}

std::optional<Outgoing> Connection::output_syn(Instant now) noexcept {
    const bool answers = state_ == State::SynReceived;
    if (!snd_.syn_due && rcv_.ack_due != AckDue::Now) return {};
    rcv_.ack_due = AckDue::None;
    snd_.syn_due = false;
    snd_.last_sent_at = now;
    due_.rto = now + rto_.rto();
    if (snd_.syn_resent) ++counters_.resent;
    Outgoing out{.header = {.seq = snd_.iss, .flags = wire::kSyn}};
    if (answers) {
        out.header.flags |= wire::kAck;
        out.header.ack = rcv_.nxt;
    }
    // Never scaled: RFC 7323 section 2.2.
    const std::uint64_t window =
        std::min<std::uint64_t>({free_window_bytes(), options_.window_bytes_max, 0xffff});
    out.header.window = static_cast<std::uint16_t>(window);
    rcv_.edge = rcv_.nxt.plus(out.header.window);
    out.header.options.mss_bytes = static_cast<std::uint16_t>(own_mss());
    const bool is_asking = !answers;
    if (options_.window_scaling && (is_asking || rcv_.shift > 0 || snd_.shift > 0))
        out.header.options.window_shift = rcv_.shift;
    out.header.options.sack_permitted = is_asking ? options_.sack : agreed_.sack;
    if (is_asking ? options_.timestamps : agreed_.timestamps)
        out.header.options.timestamps = {.value = timestamp_at(now), .echo = agreed_.ts_recent};
    if (is_asking) agreed_.timestamps = options_.timestamps;
    return out;
}

/// A header with everything that each segment carries; the ACK in it settles what was due.
Outgoing Connection::make(Instant now, Seq seq, std::uint32_t payload_bytes) noexcept {
    Outgoing out{.header = {.seq = seq, .ack = rcv_.nxt, .flags = wire::kAck},
                 .payload_begin = seq,
                 .payload_bytes = payload_bytes};
    if (agreed_.timestamps)
        out.header.options.timestamps = {.value = timestamp_at(now), .echo = agreed_.ts_recent};
    out.header.window = window_field();
    rcv_.last_ack_sent = rcv_.nxt;
    rcv_.unacked_bytes = 0;
    const bool has_news = rcv_.dsack_due || receive_.has_early();
    // A full segment has no room for SACK blocks: then a bare ACK follows.
    constexpr std::uint32_t kSackBytesMax = 36;
    if (has_news && payload_bytes > 0 && payload_bytes + kSackBytesMax > snd_.mss) return out;
    if (agreed_.sack) add_sacks(out);
    rcv_.dsack_due.reset();
    rcv_.ack_due = AckDue::None;
    due_.delayed_ack = Instant::never();
    return out;
}

void Connection::add_sacks(Outgoing& out) noexcept {
    const std::size_t most = agreed_.timestamps ? 3 : 4;
    auto& sacks = out.header.options.sacks;
    if (rcv_.dsack_due) sacks.push(*rcv_.dsack_due);
    receive_.list_early(sacks, most);
}

Outgoing Connection::make_reset(Seq seq, std::optional<Seq> ack) noexcept {
    Outgoing out{.header = {.seq = seq, .flags = wire::kRst}};
    if (ack) {
        out.header.flags |= wire::kAck;
        out.header.ack = *ack;
    }
    return out;
}

void Connection::answer_with_reset(Seq seq, std::optional<Seq> ack) noexcept {
    if (resets_.empty()) resets_.push(make_reset(seq, ack));
}

/// Where the window could end. RFC 9293 section 3.8.6.2.2: it moves in large steps only.
Seq Connection::window_edge() const noexcept {
    const std::uint64_t window =
        std::min<std::uint64_t>(free_window_bytes(), options_.window_bytes_max);
    const std::uint32_t largest = std::uint32_t{0xffff} << rcv_.shift;
    const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(window, largest));
    const Seq edge = rcv_.nxt.plus(most);
    if (is_sabotaged(Sabotage::ShrinkWindow)) return edge;
    const std::uint32_t step = std::min(own_mss(), options_.window_bytes_max / 2);
    return ahead_bytes(rcv_.edge, edge) >= step ? edge : rcv_.edge;
}

/// Rounded up, so that the edge never goes back by the part that the scale cuts off; the reserved
/// frames stand for the difference.
std::uint16_t Connection::window_field() noexcept {
    const std::uint32_t window = ahead_bytes(rcv_.nxt, window_edge());
    const std::uint32_t unit = std::uint32_t{1} << rcv_.shift;
    const std::uint32_t field = std::min((window + unit - 1) / unit, 0xffffU);
    rcv_.edge = later_of(rcv_.edge, rcv_.nxt.plus(field * unit));
    return static_cast<std::uint16_t>(field);
}

/// The reader has made so much room that the peer should know: its window at least doubles.
bool Connection::is_window_update_due() const noexcept {
    if (!may_receive_data()) return false;
    const std::uint32_t gain = ahead_bytes(rcv_.edge, window_edge());
    return gain > 0 && gain >= ahead_bytes(rcv_.nxt, rcv_.edge);
}

std::optional<Outgoing> Connection::output_ack(Instant now) noexcept {
    if (rcv_.ack_due != AckDue::Now && !is_window_update_due()) return {};
    return make(now, snd_.nxt, 0);
}

std::uint32_t Connection::unsent_bytes() const noexcept {
    return snd_.fin_sent ? 0 : send_.end().since(snd_.nxt);
}

std::uint32_t Connection::usable_window() const noexcept {
    if (is_sabotaged(Sabotage::IgnoreWindow)) return SendBuffer::kBytesMax;
    return ahead_bytes(snd_.nxt, snd_.una.plus(snd_.wnd));
}

bool Connection::has_room_in_cwnd(std::uint32_t bytes) const noexcept {
    const std::uint64_t flight = in_flight_bytes();
    return flight == 0 || flight + bytes <= cubic_.cwnd_bytes();
}

/// RFC 9293 section 3.8.6.2.1, without the Nagle algorithm: whoever lends bytes has gathered them.
std::uint32_t Connection::new_segment_bytes() const noexcept {
    const std::uint32_t unsent = unsent_bytes();
    const std::uint32_t bytes = std::min({unsent, usable_window(), snd_.mss});
    const bool is_worth_it =
        bytes == snd_.mss || bytes == unsent || bytes >= std::max(snd_.wnd_max / 2, 1U);
    return is_worth_it ? bytes : 0;
}

/// RFC 4821 section 7.4: only when enough follows that its loss would be told from congestion.
std::uint32_t Connection::mtu_probe_payload() const noexcept {
    const std::uint32_t packet = options_.probes_mtu ? path_mtu_.probe_bytes() : 0;
    if (packet == 0 || is_recovering() || sent_.lost_count() > 0 || sent_.sacked_count() > 0) {
        return 0;
    }
    const std::uint32_t payload = packet - header_bytes();
    const std::uint32_t by_peer = snd_.peer_mss - (agreed_.timestamps ? 12U : 0U);
    if (payload <= snd_.mss || payload > by_peer) return 0;
    const std::uint32_t needed = payload + 4 * snd_.mss;
    if (unsent_bytes() < needed || usable_window() < needed) return 0;
    for (std::uint32_t i = sent_.size(); i > 0; --i) {
        if (sent_.at(i - 1).is_mtu_probe) return 0;
    }
    return in_flight_bytes() + needed <= cubic_.cwnd_bytes() ? payload : 0;
}

std::optional<Outgoing> Connection::output_new(Instant now) noexcept {
    const std::uint32_t bytes = new_segment_bytes();
    if (bytes == 0 || !sent_.has_room()) {
        if (bytes == 0) snd_.is_cwnd_limited = false;
        return {};
    }
    if (sent_.empty() && now - snd_.last_sent_at > rto_.rto()) cubic_.on_idle();
    if (!has_room_in_cwnd(bytes)) {
        snd_.is_cwnd_limited = true;
        return {};
    }
    if (const std::uint32_t probe = mtu_probe_payload(); probe > 0) {
        ++counters_.mtu_probes;
        return send_new(now, probe, true);
    }
    return send_new(now, bytes, false);
}

Outgoing Connection::send_new(Instant now, std::uint32_t bytes, bool is_mtu_probe) noexcept {
    HF_ASSERT(bytes > 0 && bytes <= unsent_bytes() && sent_.has_room());
    Outgoing out = make(now, snd_.nxt, bytes);
    const bool is_last = bytes == unsent_bytes();
    if (is_last) out.header.flags |= wire::kPsh;
    const bool has_fin = is_last && snd_.close_wanted;
    const std::uint32_t length = bytes + (has_fin ? 1U : 0U);
    sent_.push(now, snd_.nxt, length).is_mtu_probe = is_mtu_probe;
    snd_.nxt = snd_.nxt.plus(length);
    if (has_fin) {
        out.header.flags |= wire::kFin;
        on_fin_sent();
    }
    on_transmitted(now, bytes, false);
    return out;
}

std::optional<Outgoing> Connection::output_fin(Instant now) noexcept {
    const bool is_due = snd_.close_wanted && !snd_.fin_sent && unsent_bytes() == 0;
    if (!is_due || !sent_.has_room()) return {};
    Outgoing out = make(now, snd_.nxt, 0);
    out.header.flags |= wire::kFin;
    sent_.push(now, snd_.nxt, 1);
    snd_.nxt = snd_.nxt.next();
    on_fin_sent();
    on_transmitted(now, 1, false);
    return out;
}

void Connection::on_fin_sent() noexcept {
    HF_ASSERT(!snd_.fin_sent && snd_.close_wanted);
    snd_.fin_sent = true;
    HF_ASSERT(state_ == State::Established || state_ == State::CloseWait);
    state_ = state_ == State::Established ? State::FinWait1 : State::LastAck;
}

std::optional<Outgoing> Connection::output_lost(Instant now) noexcept {
    const std::uint32_t index = sent_.first_lost();
    if (index == sent_.size()) {
        loss_.front_due = false;
        return {};
    }
    SentSegment& segment = sent_.at(index);
    // A window that the peer took back: only the first one keeps trying.
    const bool is_inside = segment.end().precedes_or_is(snd_.una.plus(snd_.wnd));
    if (!is_inside && index != 0) return {};
    const std::uint32_t bytes = std::min(payload_of(segment) - segment.resent_bytes, snd_.mss);
    if (!loss_.front_due && !has_room_in_cwnd(bytes)) {
        snd_.is_cwnd_limited = true;
        return {};
    }
    loss_.front_due = false;
    return resend(now, segment);
}

/// The whole segment, or as much of what is left of it as the path carries.
Outgoing Connection::resend(Instant now, SentSegment& segment) noexcept {
    HF_ASSERT(segment.state == SentState::Lost);
    segment.is_mtu_probe = false;  // Its ACK will not tell which size has arrived.
    const std::uint32_t offset = segment.resent_bytes;
    const std::uint32_t left = payload_of(segment) - offset;
    const std::uint32_t bytes = std::min(left, snd_.mss);
    Outgoing out = make(now, segment.begin.plus(offset), bytes);
    if (is_sabotaged(Sabotage::WrongPlace)) out.payload_begin = segment.begin;
    const bool is_whole = bytes == left;
    const bool is_last = segment.begin.plus(offset + bytes) == send_.end();
    if (bytes > 0 && is_last) out.header.flags |= wire::kPsh;
    if (is_whole && payload_of(segment) != segment.bytes) out.header.flags |= wire::kFin;
    if (is_whole) {
        sent_.mark_resent(now, segment);
    } else {
        sent_.add_resent(segment, bytes);
    }
    if (is_recovering()) ++loss_.resent_in_doubt;
    ++counters_.resent;
    if (segment.begin == snd_.una && is_recovering() && !due_.rto.is_never())
        due_.rto = now + rto_.rto();
    on_transmitted(now, bytes, true);
    return out;
}

/// RFC 8985 section 7.3: new data if there is any, else the last segment again.
std::optional<Outgoing> Connection::output_tail_probe(Instant now) noexcept {
    snd_.tail_probe_fires = false;
    if (sent_.empty() || is_recovering()) return {};
    std::optional<Outgoing> out;
    const std::uint32_t bytes = new_segment_bytes();
    tail_probe_.is_resend = bytes == 0 || !sent_.has_room();
    if (!tail_probe_.is_resend) {
        out = send_new(now, bytes, false);
    } else {
        SentSegment& last = sent_.back();
        if (last.state == SentState::Sacked) {
            tail_probe_ = {};
            return {};
        }
        sent_.mark_lost(last);
        out = resend(now, last);
    }
    ++counters_.tail_probes;
    tail_probe_.end = snd_.nxt;
    due_.tail_probe = Instant::never();
    due_.rto = now + rto_.rto();
    return out;
}

void Connection::on_transmitted(Instant now, std::uint32_t bytes, bool is_resend) noexcept {
    snd_.last_sent_at = now;
    if (loss_.phase == Phase::Recovery) prr_.on_sent(bytes);
    if (snd_.is_probing_window) return;
    if (due_.rto.is_never()) due_.rto = now + rto_.rto();  // RFC 6298 (5.1).
    if (!is_resend) schedule_tail_probe(now);
}

/// Nothing is on the way that an ACK could answer, and the window lets nothing useful out.
void Connection::judge_persist(Instant now) noexcept {
    if (snd_.is_probing_window || snd_.persist_fires) return;
    if (is_sabotaged(Sabotage::ForgetPersist)) return;
    const bool is_stuck = sent_.empty() && unsent_bytes() > 0 && new_segment_bytes() == 0;
    if (!is_stuck) {
        due_.persist = Instant::never();
    } else if (due_.persist.is_never()) {
        due_.persist = now + rto_.rto();
    }
}

void Connection::on_persist_due(Instant now) noexcept {
    judge_user_timeout(now);
    if (state_ == State::Closed) return;
    snd_.persist_fires = true;
}

/// RFC 9293 section 3.8.6.1: one octet beyond a closed window; what fits into a small one.
std::optional<Outgoing> Connection::output_window_probe(Instant now) noexcept {
    snd_.persist_fires = false;
    std::optional<Outgoing> out;
    if (!sent_.empty()) {
        // The octet once more.
        if (sent_.front().state != SentState::Lost) sent_.mark_lost(sent_.front());
        out = resend(now, sent_.front());
    } else if (unsent_bytes() > 0 && sent_.has_room()) {
        const std::uint32_t usable = usable_window();
        snd_.is_probing_window = usable == 0;
        out = send_new(now, std::clamp(std::min(usable, unsent_bytes()), 1U, snd_.mss), false);
    }
    if (!snd_.is_probing_window) return out;
    ++counters_.window_probes;
    rto_.back_off();
    due_.persist = now + rto_.rto();
    return out;
}

}  // namespace holdfast::netpath::tcp
