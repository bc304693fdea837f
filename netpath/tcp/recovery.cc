// Connection: losses, and losses that were none. RFC 8985, RFC 6298, RFC 5682, RFC 6937; RFC 6582
// where the peer has no SACK.
#include <algorithm>

#include "base/assert.h"
#include "netpath/tcp/connection.h"
#include "netpath/tcp/sabotage.h"

namespace holdfast::netpath::tcp {

std::uint32_t Connection::payload_of(const SentSegment& segment) const noexcept {
    const bool has_fin = snd_.fin_sent && segment.end() == snd_.nxt;
    return segment.bytes - (has_fin ? 1U : 0U);
}

void Connection::judge_losses(Instant now, const AckNews& news) noexcept {
    rack_.on_ack(news.dsack.has_value(), snd_.una, snd_.nxt);
    judge_tail_probe(news);
    judge_undo(news);
    judge_spurious_timeout(news);
    if (is_recovering() && loss_.end.precedes_or_is(snd_.una)) leave_recovery();
    if (!is_recovering() && loss_.was_ever && loss_.end.precedes(snd_.una)) {
        loss_.was_ever = false;
    }
    // Far behind, the numbers of the old loss would begin to look like new ones.
    constexpr std::uint32_t kForgetAfter = 1U << 28;
    if (!is_recovering() && snd_.una.since(loss_.end) >= kForgetAfter) {
        loss_.can_undo = false;
        loss_.begin = loss_.end = snd_.una;
    }
    if (agreed_.sack) {
        detect_by_time(now);
        pace(news.delivered_bytes);
    } else {
        count_duplicate(now, news);
    }
}

void Connection::pace(std::uint64_t delivered) noexcept {
    if (loss_.phase != Phase::Recovery) return;
    cubic_.set_cwnd(prr_.on_ack(delivered, in_flight_bytes(), snd_.mss));
}

/// Marks it. True when the network is to be blamed: the loss of a packet that was larger than the
/// rest is no sign of congestion, RFC 4821 section 7.5.
bool Connection::note_lost(SentSegment& segment) noexcept {
    sent_.mark_lost(segment);
    if (!segment.is_mtu_probe) return true;
    segment.is_mtu_probe = false;
    path_mtu_.on_probe_lost(payload_of(segment) + header_bytes());
    return false;
}

/// RFC 8985 section 6.2, step 5.
void Connection::detect_by_time(Instant now) noexcept {
    due_.reorder = Instant::never();
    const Duration window = rack_.reorder_window({.is_recovering = is_recovering(),
                                                  .sacked_count = sent_.sacked_count(),
                                                  .srtt = rto_.srtt()});
    bool is_congested = false;
    Duration wait{};
    SentSegment* following = nullptr;
    for (SentSegment* segment = sent_.oldest(); segment != nullptr; segment = following) {
        following = sent_.after(*segment);
        if (!rack_.has_delivery_since(segment->sent_at)) break;
        if (!rack_.is_overtaken(*segment)) continue;
        const Duration remaining = segment->sent_at + rack_.rtt() + window - now;
        if (remaining <= Duration{}) {
            if (note_lost(*segment)) is_congested = true;
        } else {
            wait = std::max(wait, remaining);
        }
    }
    if (wait > Duration{}) due_.reorder = now + wait;
    if (!is_congested || is_recovering()) return;
    enter_recovery(now);
    pace(0);
}

/// RFC 5681 section 2 says what a duplicate is; RFC 6582 section 3.2 what follows.
void Connection::count_duplicate(Instant now, const AckNews& news) noexcept {
    // After a time-out duplicates answer what was sent before it.
    if (loss_.phase == Phase::Loss) return;
    std::uint64_t delivered = news.delivered_bytes;
    if (news.acked_bytes > 0) {
        const auto gone = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(loss_.duplicate_acks, news.acked_bytes / snd_.mss));
        delivered -= std::min<std::uint64_t>(delivered, std::uint64_t{gone} * snd_.mss);
        loss_.duplicate_acks = loss_.phase == Phase::Recovery ? loss_.duplicate_acks - gone : 0;
        if (loss_.phase == Phase::Recovery) on_partial_ack();
    } else if (!sent_.empty() && !news.has_payload && !news.moved_window) {
        // More duplicates than segments are out would be somebody's invention.
        if (loss_.duplicate_acks + 1 < sent_.size()) {
            ++loss_.duplicate_acks;
            delivered += snd_.mss;
        }
        const bool is_due = loss_.duplicate_acks >= Rack::kDupThresh;
        if (is_due && !is_recovering() && !loss_.was_ever) {
            if (sent_.front().state == SentState::InFlight) sent_.mark_lost(sent_.front());
            enter_recovery(now);
        }
    }
    pace(delivered);
}

void Connection::on_partial_ack() noexcept {
    if (sent_.empty() || sent_.front().state != SentState::InFlight) return;
    sent_.mark_lost(sent_.front());
    loss_.front_due = true;
}

void Connection::enter_recovery(Instant now) noexcept {
    static_cast<void>(now);
    HF_ASSERT(!is_recovering() && snd_.una.precedes(snd_.nxt));
    ++counters_.recoveries;
    const std::uint64_t flight = snd_.nxt.since(snd_.una);
    loss_.phase = Phase::Recovery;
    loss_.begin = snd_.una;
    loss_.end = snd_.nxt;
    loss_.was_ever = true;
    loss_.can_undo = true;
    loss_.resent_in_doubt = 0;
    loss_.front_due = true;
    cubic_.on_loss(flight);
    prr_.start(flight, cubic_.ssthresh_bytes());
    due_.tail_probe = Instant::never();
    snd_.tail_probe_fires = false;
}

void Connection::leave_recovery() noexcept {
    if (loss_.phase == Phase::Recovery) cubic_.on_recovered();
    loss_.phase = Phase::Open;
    loss_.duplicate_acks = 0;
    loss_.may_be_spurious = false;
    loss_.prefers_new = false;
    loss_.front_due = false;
    rack_.on_recovered();
}

/// Each copy that the peer got twice takes one doubt away. RFC 9438 section 4.9.2, RFC 3708.
void Connection::judge_undo(const AckNews& news) noexcept {
    if (!news.dsack || !loss_.can_undo || loss_.resent_in_doubt == 0) return;
    if (!is_within(news.dsack->begin, loss_.begin, loss_.end)) return;
    if (--loss_.resent_in_doubt == 0) undo();
}

/// RFC 5682 section 3: what arrives after a time-out tells whether it was the network or the peer
/// that was slow.
void Connection::judge_spurious_timeout(const AckNews& news) noexcept {
    if (loss_.phase != Phase::Loss || !loss_.may_be_spurious) return;
    loss_.prefers_new = false;
    const bool is_all = loss_.end.precedes_or_is(snd_.una);
    const bool has_sent_new = loss_.end.precedes(snd_.nxt);
    if (news.delivered_original && !is_all) {
        undo();  // (3b)
    } else if (news.acked_bytes > 0 && !is_all && !has_sent_new) {
        loss_.prefers_new = true;  // (2b)
    } else if (news.acked_bytes == 0 && !news.sacked_more && !news.dsack && news.has_payload) {
        return;  // The peer's own data, not an answer.
    } else {
        loss_.may_be_spurious = false;             // (2a), (3a)
        if (has_sent_new) loss_.front_due = true;  // (3a) lets three segments be out.
    }
}

void Connection::undo() noexcept {
    loss_.can_undo = false;
    if (!cubic_.undo()) return;
    ++counters_.undone;
    for (std::uint32_t i = sent_.first_lost(); i < sent_.size(); ++i) {
        SentSegment& segment = sent_.at(i);
        if (segment.state == SentState::Lost) sent_.mark_not_lost(segment);
    }
    loss_.phase = Phase::Open;
    loss_.may_be_spurious = false;
    loss_.prefers_new = false;
    loss_.front_due = false;
    loss_.duplicate_acks = 0;
    rack_.on_recovered();
}

void Connection::grow_window(Instant now, const AckNews& news) noexcept {
    if (loss_.phase == Phase::Recovery || news.acked_bytes == 0) return;
    // RFC 9438 section 5.8: a window that is not used does not grow. In slow start one that is more
    // than half used is: RFC 7661 section 4.2. A sender that is fed in pieces fills it only at
    // times.
    const bool is_half_used = cubic_.is_in_slow_start() &&
                              2 * (in_flight_bytes() + news.delivered_bytes) > cubic_.cwnd_bytes();
    if (loss_.phase == Phase::Open && !snd_.is_cwnd_limited && !is_half_used) return;
    cubic_.on_ack(now, news.acked_bytes, rto_.srtt());
}

void Connection::on_rto(Instant now) noexcept {
    if (is_sabotaged(Sabotage::ForgetResend)) return;
    ++counters_.timeouts;
    if (state_ == State::SynSent || state_ == State::SynReceived) return on_syn_timeout(now);
    if (sent_.empty()) return;
    judge_user_timeout(now);
    if (state_ == State::Closed) return;
    if (sent_.front().state == SentState::Sacked) {
        // What the peer said it had, it would have acknowledged by now: RFC 2018 section 8.
        ++counters_.reneged;
        sent_.renege();
        loss_.last_sacks.clear();
    }
    const bool is_first = !is_recovering();
    const std::uint64_t flight = snd_.nxt.since(snd_.una);
    mark_losses_on_timeout(now);
    if (snd_.wnd > 0) {
        // As it was sent last: one that is longer than the path was believed to be goes in parts.
        const std::uint32_t packet = std::min(payload_of(sent_.front()), snd_.mss) + header_bytes();
        if (path_mtu_.on_timeout(packet)) on_mtu_reduced(now);
        cubic_.on_timeout(flight, is_first);
        loss_.phase = Phase::Loss;
        loss_.may_be_spurious = is_first;
        loss_.can_undo = is_first;
        loss_.begin = snd_.una;
        loss_.end = snd_.nxt;
        loss_.was_ever = true;
        loss_.resent_in_doubt = 0;
    }
    loss_.prefers_new = false;
    loss_.duplicate_acks = 0;
    loss_.front_due = true;
    tail_probe_ = {};
    snd_.tail_probe_fires = false;
    due_.tail_probe = due_.reorder = Instant::never();
    rto_.back_off();
    due_.rto = now + rto_.rto();  // (5.6)
}

/// RFC 8985 section 6.3. Without SACK everything has to be sent again.
void Connection::mark_losses_on_timeout(Instant now) noexcept {
    const Duration window = rack_.reorder_window({.is_recovering = is_recovering(),
                                                  .sacked_count = sent_.sacked_count(),
                                                  .srtt = rto_.srtt()});
    for (std::uint32_t i = 0; i < sent_.size(); ++i) {
        SentSegment& segment = sent_.at(i);
        if (segment.state != SentState::InFlight) continue;
        const bool is_late = segment.sent_at + rack_.rtt() + window <= now;
        if (i == 0 || !agreed_.sack || is_late) static_cast<void>(note_lost(segment));
    }
    // Half of it may be on the way again, and lost again.
    if (sent_.front().state == SentState::Lost) sent_.mark_lost(sent_.front());
}

void Connection::on_syn_timeout(Instant now) noexcept {
    static_cast<void>(now);
    snd_.syn_due = true;
    snd_.syn_resent = true;
    rto_.back_off();
}

void Connection::on_mtu_reduced(Instant now) noexcept {
    ++counters_.mtu_reductions;
    update_mss();
    cubic_.set_mss(snd_.mss);
    due_.mtu_raise = now + PathMtu::kRaiseAfter;
    // What is larger cannot arrive: RFC 1191 section 6.5. No sign of congestion.
    for (std::uint32_t i = 0; i < sent_.size(); ++i) {
        SentSegment& segment = sent_.at(i);
        if (segment.state == SentState::Sacked || payload_of(segment) <= snd_.mss) continue;
        segment.is_mtu_probe = false;
        sent_.mark_lost(segment);
    }
    loss_.front_due = sent_.lost_count() > 0;
}

/// RFC 8985 section 7.2.
void Connection::schedule_tail_probe(Instant now) noexcept {
    due_.tail_probe = Instant::never();
    const bool is_wanted = agreed_.sack && !is_recovering() && sent_.sacked_count() == 0 &&
                           sent_.lost_count() == 0 && !tail_probe_.end && !sent_.empty() &&
                           !snd_.is_probing_window;
    if (!is_wanted) return;
    Duration wait = rto_.has_sample() ? rto_.srtt() * 2 : Duration::from_s(1);
    if (sent_.size() == 1) wait = wait + options_.peer_delayed_ack;
    due_.tail_probe = earlier(now + wait, due_.rto);
}

void Connection::on_tail_probe_due(Instant now) noexcept {
    if (is_recovering() || sent_.empty() || tail_probe_.end) return;
    snd_.tail_probe_fires = true;
    due_.rto = now + rto_.rto();  // Section 7.3: counted from the probe.
}

/// RFC 8985 section 7.4.2.
void Connection::judge_tail_probe(const AckNews& news) noexcept {
    if (!tail_probe_.end || snd_.una.precedes(*tail_probe_.end)) return;
    const bool is_idle_duplicate =
        news.acked_bytes == 0 && !news.has_payload && !news.sacked_more && !news.moved_window;
    const bool is_innocent =
        !tail_probe_.is_resend || (news.dsack && news.dsack->end == *tail_probe_.end);
    if (is_innocent || !tail_probe_.end->precedes(snd_.una)) {
        if (is_innocent || is_idle_duplicate) tail_probe_ = {};
        return;
    }
    // One copy arrived, so the other one was lost: the probe has hidden a loss.
    tail_probe_ = {};
    if (is_recovering()) return;
    cubic_.on_loss(snd_.nxt.since(snd_.una));
    cubic_.on_recovered();
    cubic_.forget_undo();
}

}  // namespace holdfast::netpath::tcp
