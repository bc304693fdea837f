// Connection: what an ACK says. RFC 9293 section 3.10.7.4, fifth; RFC 2018, RFC 2883, RFC 6298.
#include <algorithm>

#include "base/assert.h"
#include "netpath/tcp/connection.h"

namespace holdfast::netpath::tcp {

void Connection::on_ack(Instant now, const wire::TcpHeader& header,
                        std::uint32_t payload_bytes) noexcept {
    // Older than what we know; its window and its SACK blocks are, too.
    if (header.ack.precedes(snd_.una)) return;
    AckNews news;
    news.has_payload = payload_bytes > 0;
    if (agreed_.timestamps && header.options.timestamps)
        news.echo = header.options.timestamps->echo;
    update_window(header, news);
    take_cumulative(now, header.ack, news);
    take_sacks(now, header, news);
    take_round_trip(now, header.ack, news);
    if (snd_.is_probing_window) {
        // The peer lives: RFC 9293 section 3.8.6.1 lets it keep its window shut for ever.
        snd_.last_progress = now;
        snd_.silent_timeouts = 0;
        if (snd_.wnd > 0 || sent_.empty()) on_window_open(now);
    }
    judge_losses(now, news);
    grow_window(now, news);
    restart_timers(now, news);
    if (snd_.fin_sent && snd_.una == snd_.nxt) on_fin_acknowledged(now);
}

void Connection::update_window(const wire::TcpHeader& header, AckNews& news) noexcept {
    // What acknowledges more is newer even when it is a retransmission of the peer's, which WL1
    // alone would not see: its window must not be that of an older ACK, counted from the newer one.
    const bool is_newer = snd_.una.precedes(header.ack) || snd_.wl1.precedes(header.seq) ||
                          (snd_.wl1 == header.seq && snd_.wl2.precedes_or_is(header.ack));
    if (!is_newer) return;
    const std::uint32_t window = std::uint32_t{header.window} << snd_.shift;
    news.moved_window = window != snd_.wnd;
    snd_.wnd = window;
    snd_.wnd_max = std::max(snd_.wnd_max, window);
    snd_.wl1 = header.seq;
    snd_.wl2 = header.ack;
}

void Connection::take_cumulative(Instant now, Seq ack, AckNews& news) noexcept {
    HF_ASSERT(snd_.una.precedes_or_is(ack) && ack.precedes_or_is(snd_.nxt));
    if (ack == snd_.una) return;
    news.acked_bytes = ack.since(snd_.una);
    while (!sent_.empty() && sent_.front().end().precedes_or_is(ack)) {
        if (sent_.front().state != SentState::Sacked) deliver(now, sent_.front(), news);
        sent_.pop();
    }
    if (!sent_.empty() && sent_.front().begin.precedes(ack)) {
        news.delivered_bytes += ack.since(sent_.front().begin);
        sent_.trim_front(ack);
    }
    snd_.una = ack;
    send_.acknowledge(snd_.fin_sent ? earlier_of(ack, send_.end()) : ack);
    snd_.last_progress = now;
    snd_.silent_timeouts = 0;
    HF_ASSERT(sent_.empty() == (snd_.una == snd_.nxt));
}

void Connection::deliver(Instant now, const SentSegment& segment, AckNews& news) noexcept {
    news.delivered_bytes += segment.bytes;
    const bool was_resent = segment.was_resent();
    // RFC 8985 section 6.2, step 2: an ACK that echoes an earlier clock answers an earlier copy.
    const bool echo_is_older = was_resent && news.echo &&
                               Serial32<struct TimestampTag>{*news.echo}.precedes(
                                   Serial32<struct TimestampTag>{timestamp_at(segment.sent_at)});
    static_cast<void>(rack_.on_delivered(now, segment, echo_is_older));
    if (!was_resent) {
        news.delivered_original = true;
        const Duration rtt = now - segment.sent_at;
        // The oldest one: with it the peer's delay of ACKs is in the sample.
        if (!news.rtt || *news.rtt < rtt) news.rtt = rtt;
    }
    const std::uint32_t packet = payload_of(segment) + header_bytes();
    path_mtu_.on_delivered(packet);
    if (segment.is_mtu_probe) {
        path_mtu_.on_probe_delivered(packet);
        update_mss();
        cubic_.set_mss(snd_.mss);
    }
}

void Connection::take_sacks(Instant now, const wire::TcpHeader& header, AckNews& news) noexcept {
    if (!agreed_.sack) return;
    const auto blocks = header.options.sacks.span();
    if (blocks.empty()) {
        loss_.last_sacks.clear();
        return;
    }
    // RFC 2883 section 4: the first block may tell of a duplicate.
    const SackBlock first = blocks.front();
    const bool is_below = first.end.precedes_or_is(snd_.una);
    const bool is_inside_next = blocks.size() > 1 && blocks[1].begin.precedes_or_is(first.begin) &&
                                first.end.precedes_or_is(blocks[1].end);
    // One that is older than any window says nothing.
    const std::uint32_t age = snd_.una.since(first.begin);
    if (is_inside_next || (is_below && age <= snd_.wnd_max)) news.dsack = first;
    for (const SackBlock& block : blocks) {
        const bool is_ahead = snd_.una.precedes_or_is(block.begin) && block.begin != snd_.nxt;
        if (is_ahead && block.end.precedes_or_is(snd_.nxt)) take_sack_block(now, block, news);
    }
    loss_.last_sacks = header.options.sacks;
}

void Connection::take_sack_block(Instant now, SackBlock block, AckNews& news) noexcept {
    // Most blocks are those of the last ACK, grown at their end.
    Seq from = block.begin;
    for (const SackBlock& old : loss_.last_sacks) {
        if (old.begin == block.begin && old.end.precedes_or_is(block.end)) from = old.end;
    }
    if (from == block.end) return;
    for (std::uint32_t i = sent_.find(from); i < sent_.size(); ++i) {
        SentSegment& segment = sent_.at(i);
        if (block.end.precedes(segment.end())) return;
        if (segment.begin.precedes(block.begin) || segment.state == SentState::Sacked) continue;
        deliver(now, segment, news);
        sent_.mark_sacked(segment);
        news.sacked_more = true;
    }
}

void Connection::take_round_trip(Instant now, Seq ack, const AckNews& news) noexcept {
    std::optional<Duration> rtt = news.rtt;
    if (!rtt && news.echo && news.acked_bytes > 0) {
        // RFC 7323 section 4.1: the echo tells which copy it was, to the clock's tick.
        const std::uint32_t ticks = timestamp_at(now) - *news.echo;
        constexpr std::uint32_t kTicksMax = 600'000;  // What is longer is no round trip.
        if (*news.echo != 0 && ticks <= kTicksMax) rtt = Duration::from_ms(ticks);
    }
    if (!rtt) return;
    // One sample a window, so that the gains of RFC 6298 keep their meaning.
    const bool is_due = loss_.rtt_due.precedes_or_is(ack) || rto_.backoffs() > 0;
    if (news.acked_bytes == 0 || !is_due) return;
    rto_.on_sample(*rtt);
    rto_.forget_backoff();
    loss_.rtt_due = snd_.nxt;
}

void Connection::restart_timers(Instant now, const AckNews& news) noexcept {
    if (sent_.empty()) {
        due_.rto = due_.tail_probe = due_.reorder = Instant::never();
        return;
    }
    if (snd_.is_probing_window) return;
    if (news.acked_bytes > 0 || due_.rto.is_never()) due_.rto = now + rto_.rto();  // (5.3)
    if (news.acked_bytes > 0 || news.sacked_more) schedule_tail_probe(now);
}

/// What was sent into a closed window was refused, unless it is acknowledged by now.
void Connection::on_window_open(Instant now) noexcept {
    snd_.is_probing_window = false;
    due_.persist = Instant::never();
    rto_.forget_backoff();
    for (std::uint32_t i = 0; i < sent_.size(); ++i) {
        if (sent_.at(i).state == SentState::InFlight) sent_.mark_lost(sent_.at(i));
    }
    if (sent_.empty()) return;
    loss_.front_due = true;
    due_.rto = now + rto_.rto();
}

}  // namespace holdfast::netpath::tcp
