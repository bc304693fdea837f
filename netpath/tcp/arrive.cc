// Connection: a segment arrives. RFC 9293 section 3.10.7, with the checks of RFC 5961 and the
// timestamps of RFC 7323.
#include <algorithm>

#include "base/assert.h"
#include "netpath/tcp/connection.h"

namespace holdfast::netpath::tcp {

namespace {

/// RFC 7323 section 5.5: a timestamp older than this may be any.
constexpr Duration kTimestampLife = Duration::from_s(24LL * 24 * 3600);

bool is_timestamp_before(std::uint32_t a, std::uint32_t b) noexcept {
    return Serial32<struct TimestampTag>{a}.precedes(Serial32<struct TimestampTag>{b});
}

std::uint32_t sequence_bytes(const wire::TcpHeader& header, std::uint32_t payload) noexcept {
    return payload + (header.has(wire::kSyn) ? 1U : 0U) + (header.has(wire::kFin) ? 1U : 0U);
}

std::uint32_t payload_bytes_of(std::span<const Arrival> pieces) noexcept {
    std::size_t bytes = 0;
    for (const Arrival& piece : pieces) bytes += piece.payload.size();
    return static_cast<std::uint32_t>(bytes);
}

}  // namespace

std::uint32_t Connection::arrive(Instant now, const wire::TcpHeader& header,
                                 std::span<const Arrival> pieces) noexcept {
    ++counters_.segments_in;
    const std::uint32_t bytes = payload_bytes_of(pieces);
    if (state_ == State::Closed) {
        // Section 3.10.7.1.
        if (header.has(wire::kRst)) return 0;
        if (header.has(wire::kAck)) {
            answer_with_reset(header.ack, {});
        } else {
            answer_with_reset(Seq{}, header.seq.plus(sequence_bytes(header, bytes)));
        }
        return 0;
    }
    if (state_ == State::SynSent) return arrive_syn_sent(now, header, pieces);

    // First and second: sequence number, RST.
    const bool is_old = agreed_.timestamps && !passes_paws(now, header);
    if (is_old) ++counters_.paws_dropped;
    if (is_old || !is_acceptable(header, bytes)) {
        answer_unacceptable(now, header, bytes);
        return 0;
    }
    if (header.has(wire::kRst)) {
        on_rst(now, header);
        return 0;
    }
    // RFC 7323 section 3.2: once agreed on, every segment has it.
    if (agreed_.timestamps && !header.options.timestamps) return 0;
    // Fourth: RFC 5961 section 4.
    if (header.has(wire::kSyn)) {
        challenge(now);
        return 0;
    }
    note_timestamp(now, header);
    // Fifth.
    if (!header.has(wire::kAck) || !judge_ack(now, header)) return 0;
    on_ack(now, header, bytes);
    if (state_ == State::Closed) return 0;
    // Seventh and eighth.
    return take_text(now, header, pieces);
}

std::uint32_t Connection::arrive_syn_sent(Instant now, const wire::TcpHeader& header,
                                          std::span<const Arrival> pieces) noexcept {
    const bool has_ack = header.has(wire::kAck);
    if (has_ack && header.ack != snd_.nxt) {
        if (!header.has(wire::kRst)) answer_with_reset(header.ack, {});
        return 0;
    }
    if (header.has(wire::kRst)) {
        // Without an ACK anybody could have sent it.
        if (has_ack) end(EndReason::Refused);
        return 0;
    }
    if (!header.has(wire::kSyn)) return 0;
    const std::uint32_t offered = rcv_.edge.since(rcv_.nxt);  // In our SYN.
    rcv_.nxt = header.seq.next();
    rcv_.last_ack_sent = rcv_.nxt;
    rcv_.edge = rcv_.nxt.plus(offered);
    receive_.start(rcv_.nxt);
    take_syn_options(header);
    snd_.wnd = snd_.wnd_max = header.window;  // Not scaled: RFC 7323 section 2.2.
    snd_.wl1 = header.seq;
    snd_.wl2 = header.ack;
    if (header.options.timestamps && agreed_.timestamps) {
        agreed_.ts_recent = header.options.timestamps->value;
        agreed_.ts_recent_at = now;
    }
    cubic_.start(snd_.mss, options_.initial_window_segments);
    if (!has_ack) {
        // Section 3.5, simultaneous open: the SYN again, with an ACK.
        state_ = State::SynReceived;
        snd_.syn_due = true;
        return 0;
    }
    snd_.una = header.ack;
    if (!snd_.syn_resent) {
        const Duration rtt = now - snd_.last_sent_at;
        rto_.on_sample(rtt);
        rack_.on_round_trip(now, rtt);
    } else {
        rto_.on_slow_connect();
        // RFC 6298 (5.7) and RFC 5681 section 3.1: a lost SYN makes the initial window one segment.
        cubic_.start(snd_.mss, 1);
    }
    on_up(now);
    rcv_.ack_due = AckDue::Now;
    wire::TcpHeader rest = header;
    rest.seq = rcv_.nxt;
    return take_text(now, rest, pieces);
}

void Connection::take_syn_options(const wire::TcpHeader& header) noexcept {
    const wire::TcpOptions& theirs = header.options;
    snd_.peer_mss = theirs.mss_bytes.value_or(536);
    agreed_.sack = options_.sack && theirs.sack_permitted;
    agreed_.timestamps = options_.timestamps && theirs.timestamps.has_value();
    if (options_.window_scaling && theirs.window_shift) {
        snd_.shift = std::min<std::uint8_t>(*theirs.window_shift, 14);  // RFC 7323 section 2.3.
    } else {
        snd_.shift = 0;
        rcv_.shift = 0;
    }
    update_mss();
}

void Connection::on_up(Instant now) noexcept {
    state_ = State::Established;
    due_.rto = Instant::never();
    due_.connect = Instant::never();
    snd_.syn_due = false;
    snd_.last_progress = now;
    snd_.silent_timeouts = 0;
    snd_.last_sent_at = now;
    loss_.rtt_due = snd_.una;
    loss_.end = snd_.una;
    report(Fact::Kind::Up);
    HF_ASSERT(sent_.empty() && snd_.una == snd_.nxt);
}

/// RFC 7323 section 5.3, R1.
bool Connection::passes_paws(Instant now, const wire::TcpHeader& header) const noexcept {
    if (!header.options.timestamps || header.has(wire::kRst)) return true;
    if (!is_timestamp_before(header.options.timestamps->value, agreed_.ts_recent)) return true;
    return now - agreed_.ts_recent_at > kTimestampLife;
}

/// RFC 7323 section 4.3, (2) and (3).
void Connection::note_timestamp(Instant now, const wire::TcpHeader& header) noexcept {
    if (!agreed_.timestamps || !header.options.timestamps) return;
    if (rcv_.last_ack_sent.precedes(header.seq)) return;
    const std::uint32_t value = header.options.timestamps->value;
    // After more than 24 days any value counts as newer.
    if (is_timestamp_before(value, agreed_.ts_recent) &&
        now - agreed_.ts_recent_at <= kTimestampLife)
        return;
    agreed_.ts_recent = value;
    agreed_.ts_recent_at = now;
}

/// Section 3.4, the table. Data beyond the edge is cut off later.
bool Connection::is_acceptable(const wire::TcpHeader& header, std::uint32_t bytes) const noexcept {
    const std::uint32_t length = sequence_bytes(header, bytes);
    const std::uint32_t window = ahead_bytes(rcv_.nxt, rcv_.edge);
    if (length == 0 || window == 0) {
        // With no window at all a segment at its place may still bring an ACK or a RST.
        return header.seq == rcv_.nxt || is_within(header.seq, rcv_.nxt, rcv_.edge);
    }
    const Seq last = header.seq.plus(length - 1);
    return is_within(header.seq, rcv_.nxt, rcv_.edge) || is_within(last, rcv_.nxt, rcv_.edge) ||
           // It covers the window and more on both sides.
           (header.seq.precedes(rcv_.nxt) && rcv_.edge.precedes_or_is(last));
}

void Connection::answer_unacceptable(Instant now, const wire::TcpHeader& header,
                                     std::uint32_t bytes) noexcept {
    ++counters_.unacceptable;
    if (header.has(wire::kRst)) return;
    // Section 3.10.7.4: TIME-WAIT answers a FIN that comes again, and waits anew.
    if (state_ == State::TimeWait && header.has(wire::kFin))
        due_.time_wait = now + options_.time_wait;
    if (bytes == 0 && !header.has(wire::kFin)) {
        // Two ends that both think the other is wrong must not talk for ever.
        challenge(now);
        return;
    }
    const Seq end = header.seq.plus(bytes);
    if (bytes > 0 && end.precedes_or_is(rcv_.nxt)) rcv_.dsack_due = SackBlock{header.seq, end};
    rcv_.ack_due = AckDue::Now;
}

/// RFC 5961 section 3.2.
void Connection::on_rst(Instant now, const wire::TcpHeader& header) noexcept {
    if (state_ == State::TimeWait) return;  // RFC 1337: a RST must not end it early.
    if (header.seq == rcv_.nxt) {
        const bool is_late = state_ == State::Closing || state_ == State::LastAck;
        end(is_late ? EndReason::Closed : EndReason::ResetByPeer);
        return;
    }
    challenge(now);
}

void Connection::challenge(Instant now) noexcept {
    if (!limiter_.try_take(now)) {
        ++counters_.challenges_held_back;
        return;
    }
    ++counters_.challenges;
    rcv_.ack_due = AckDue::Now;
}

/// The ACK number: RFC 5961 section 5.2. False: the segment is done with.
bool Connection::judge_ack(Instant now, const wire::TcpHeader& header) noexcept {
    if (state_ == State::SynReceived) {
        if (header.ack != snd_.nxt) {
            answer_with_reset(header.ack, {});
            return false;
        }
        snd_.una = header.ack;
        snd_.wnd = std::uint32_t{header.window} << snd_.shift;
        snd_.wnd_max = std::max(snd_.wnd_max, snd_.wnd);
        snd_.wl1 = header.seq;
        snd_.wl2 = header.ack;
        on_up(now);
        return true;
    }
    const Seq oldest = Seq{snd_.una.raw() - snd_.wnd_max};
    const bool is_old_or_due = header.ack.since(oldest) <= snd_.nxt.since(oldest);
    if (is_old_or_due) return true;
    challenge(now);
    return false;
}

std::uint32_t Connection::take_text(Instant now, const wire::TcpHeader& header,
                                    std::span<const Arrival> pieces) noexcept {
    const std::uint32_t bytes = payload_bytes_of(pieces);
    const bool has_fin = header.has(wire::kFin);
    if (bytes == 0 && !has_fin) return 0;
    if (!may_receive_data()) {
        // After the peer's FIN there is no text: section 3.10.7.4, seventh. A FIN that comes again
        // is answered.
        if (state_ == State::TimeWait) due_.time_wait = now + options_.time_wait;
        rcv_.ack_due = AckDue::Now;
        return 0;
    }
    rcv_.peer_segment = std::max(rcv_.peer_segment, bytes);
    std::uint32_t taken = bytes;
    Seq end = header.seq.plus(bytes);
    const std::uint32_t window = ahead_bytes(rcv_.nxt, rcv_.edge);
    bool is_fin_inside = has_fin && !rcv_.peer_fin;
    // What lies beyond the window was not asked for.
    if (rcv_.nxt.plus(window).precedes(end)) {
        const std::uint32_t beyond = end.since(rcv_.nxt.plus(window));
        rcv_.ack_due = AckDue::Now;
        if (beyond >= bytes) return 0;
        taken = bytes - beyond;
        end = rcv_.nxt.plus(window);
        is_fin_inside = false;
    }
    // Nothing follows a FIN.
    if (rcv_.peer_fin && rcv_.peer_fin->precedes(end)) {
        rcv_.ack_due = AckDue::Now;
        return 0;
    }
    // Nor has anything come from behind it: a peer that says so is wrong somewhere.
    if (end.precedes(receive_.furthest())) is_fin_inside = false;
    if (is_fin_inside) rcv_.peer_fin = end;
    std::uint32_t kept = 0;
    if (taken > 0) {
        Placed placed;
        kept = insert_pieces(header.seq, pieces, taken, placed);
        if (placed.is_dropped) {
            ++counters_.dropped_for_memory;
            if (is_fin_inside) rcv_.peer_fin.reset();
        }
        if (placed.duplicate) rcv_.dsack_due = placed.duplicate;
        rcv_.nxt = receive_.next();
        schedule_ack(now, placed, bytes);
    }
    if (has_fin) rcv_.ack_due = AckDue::Now;
    if (rcv_.peer_fin && !rcv_.is_fin_taken && rcv_.nxt == *rcv_.peer_fin) on_peer_fin(now);
    return kept;
}

/// The first `bytes` of the pieces. A piece that finds no room takes all behind it along: a hole
/// in a segment would only be more to tell the peer.
std::uint32_t Connection::insert_pieces(Seq seq, std::span<const Arrival> pieces,
                                        std::uint32_t bytes, Placed& sum) noexcept {
    HF_ASSERT(pieces.size() <= 32);
    std::uint32_t kept = 0;
    for (std::size_t i = 0; i < pieces.size() && bytes > 0 && !sum.is_dropped; ++i) {
        Arrival piece = pieces[i];
        if (piece.payload.empty()) continue;
        if (piece.payload.size() > bytes) {
            piece.payload = piece.payload.first(bytes);
            piece.room = {};
        }
        piece.seq = seq;
        const auto part = static_cast<std::uint32_t>(piece.payload.size());
        seq = seq.plus(part);
        bytes -= part;
        const Placed placed = receive_.insert(piece);
        if (placed.is_kept) kept |= 1U << i;
        sum.is_dropped = sum.is_dropped || placed.is_dropped;
        sum.fills_gap = sum.fills_gap || placed.fills_gap;
        sum.is_early = sum.is_early || placed.is_early;
        if (sum.duplicate && placed.duplicate && sum.duplicate->end == placed.duplicate->begin) {
            sum.duplicate->end = placed.duplicate->end;
        } else if (!sum.duplicate) {
            sum.duplicate = placed.duplicate;
        }
    }
    return kept;
}

/// RFC 9293 section 3.8.6.3 and RFC 5681 section 4.2: at least every second full segment at once,
/// and everything that tells the sender of a gap.
void Connection::schedule_ack(Instant now, const Placed& placed, std::uint32_t bytes) noexcept {
    rcv_.unacked_bytes += bytes;
    const bool is_second = rcv_.unacked_bytes >= 2 * std::max(rcv_.peer_segment, 1U);
    if (placed.is_early || placed.fills_gap || placed.is_dropped || placed.duplicate || is_second) {
        rcv_.ack_due = AckDue::Now;
        return;
    }
    if (rcv_.ack_due != AckDue::None) return;
    rcv_.ack_due = AckDue::Delayed;
    due_.delayed_ack = now + options_.delayed_ack;
}

void Connection::on_peer_fin(Instant now) noexcept {
    HF_ASSERT(rcv_.peer_fin && rcv_.nxt == *rcv_.peer_fin && !receive_.has_early());
    rcv_.is_fin_taken = true;
    rcv_.nxt = rcv_.nxt.next();
    rcv_.edge = later_of(rcv_.edge, rcv_.nxt);
    rcv_.ack_due = AckDue::Now;
    report(Fact::Kind::PeerClosed);
    switch (state_) {
    case State::Established: state_ = State::CloseWait; break;
    case State::FinWait1: state_ = State::Closing; break;
    case State::FinWait2: enter_time_wait(now); break;
    case State::Closed:
    case State::SynSent:
    case State::SynReceived:
    case State::CloseWait:
    case State::Closing:
    case State::LastAck:
    case State::TimeWait: HF_ASSERT(false);
    }
}

void Connection::on_fin_acknowledged(Instant now) noexcept {
    switch (state_) {
    case State::FinWait1: state_ = State::FinWait2; break;
    case State::Closing: enter_time_wait(now); break;
    case State::LastAck: end(EndReason::Closed); break;
    case State::Closed:
    case State::SynSent:
    case State::SynReceived:
    case State::Established:
    case State::FinWait2:
    case State::CloseWait:
    case State::TimeWait: break;
    }
}

void Connection::on_icmp(Instant now, const wire::IcmpError& error) noexcept {
    static_cast<void>(now);
    // RFC 5927 section 4: only what quotes data that is on the way can be about it.
    const bool is_on_the_way = state_ != State::Closed && is_within(error.seq, snd_.una, snd_.nxt);
    if (!is_on_the_way) {
        ++counters_.icmp_ignored;
        return;
    }
    switch (error.kind) {
    case wire::IcmpKind::TooBig:
        // Before the peer has answered, no packet of ours was large.
        if (is_synchronized() && path_mtu_.on_too_big(error.mtu_bytes, error.packet_bytes)) {
            ++counters_.icmp_believed;
            on_mtu_reduced(now);
            return;
        }
        break;
    case wire::IcmpKind::Hard:
        // RFC 5927 section 5: hard for a SYN, soft for a connection that stands.
        if (state_ == State::SynSent) {
            ++counters_.icmp_believed;
            end(EndReason::Refused);
            return;
        }
        break;
    case wire::IcmpKind::Soft: break;
    }
    ++counters_.icmp_ignored;
}

}  // namespace holdfast::netpath::tcp
