// Connection: opening, closing, and time.
#include "netpath/tcp/connection.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::netpath::tcp {

namespace {

/// RFC 7323 section 2.2: the smallest shift that lets 16 bits say `bytes`; at most 14.
std::uint8_t shift_for(std::uint32_t bytes) noexcept {
    std::uint8_t shift = 0;
    while (shift < 14 && (bytes >> shift) > 0xffff) ++shift;
    return shift;
}

}  // namespace

void Connection::add_to_plan(reserve::MemoryPlan& plan, const Limits& limits) noexcept {
    SendBuffer::add_to_plan(plan, limits.records);
    SentQueue::add_to_plan(plan, limits.sent);
    ReceiveQueue::add_to_plan(plan, limits.rx_frames);
}

Connection::Connection(const Limits& limits, reserve::Region& region,
                       const Options& options) noexcept
    : options_(options),
      rto_(options.rto_initial, options.rto_min, options.rto_max),
      send_(region, limits.records),
      sent_(region, limits.sent),
      receive_(region, limits.rx_frames, options.rx_frames_reserved) {
    HF_ASSERT(options.window_bytes_max > 0 && options.window_bytes_max <= (1U << 30));
    HF_ASSERT(options.mtu_bytes >= PathMtu::kLeastV4 && options.frame_payload_bytes > 0);
    HF_ASSERT(options.frames_per_packet > 0);
}

void Connection::connect(Instant now, const Opening& opening) noexcept {
    HF_ASSERT(state_ == State::Closed);
    due_ = {};
    snd_ = {};
    rcv_ = {};
    loss_ = {};
    tail_probe_ = {};
    rack_ = {};
    rto_ = RtoEstimator{options_.rto_initial, options_.rto_min, options_.rto_max};
    limiter_ = {};
    facts_.clear();
    resets_.clear();
    sent_.clear();
    agreed_ = {.is_v6 = opening.is_v6, .timestamp_offset = opening.timestamp_offset};
    snd_.iss = snd_.una = opening.isn;
    snd_.nxt = opening.isn.next();
    send_.start(snd_.nxt);
    receive_.start(Seq{});
    path_mtu_.start(options_.mtu_bytes, opening.is_v6);
    rcv_.shift = options_.window_scaling ? shift_for(options_.window_bytes_max) : 0;
    snd_.syn_due = true;
    snd_.last_progress = now;
    snd_.last_sent_at = now;
    due_.connect = now + options_.connect_timeout;
    state_ = State::SynSent;
}

void Connection::close(Instant now) noexcept {
    switch (state_) {
    case State::SynSent: end(EndReason::Closed); return;
    case State::SynReceived:
    case State::Established:
    case State::CloseWait:
        if (snd_.close_wanted) return;
        snd_.close_wanted = true;
        due_.close = now + options_.close_timeout;
        return;
    case State::Closed:
    case State::FinWait1:
    case State::FinWait2:
    case State::Closing:
    case State::LastAck:
    case State::TimeWait: return;
    }
}

void Connection::reset(Instant now) noexcept {
    static_cast<void>(now);
    // A SYN that nobody answered has made nothing that a RST could undo.
    const bool tells_peer = is_synchronized() && state_ != State::TimeWait;
    if (state_ == State::Closed) return;
    // RFC 5961 section 3: only the exact number resets, and what the peer has got of ours is
    // between una and nxt; nxt is what it expects if nothing is lost.
    if (tells_peer) resets_.push(make_reset(snd_.nxt, rcv_.nxt));
    end(EndReason::ResetByUs);
}

void Connection::end(EndReason reason) noexcept {
    HF_ASSERT(state_ != State::Closed);
    state_ = State::Closed;
    due_ = {};
    sent_.clear();
    snd_.syn_due = false;
    rcv_.ack_due = AckDue::None;
    // RFC 9293 section 3.10.7.4: what a RST finds in the queues is flushed.
    if (reason != EndReason::Closed) receive_.start(rcv_.nxt);
    report(Fact::Kind::Ended, reason);
}

void Connection::report(Fact::Kind kind, EndReason reason) noexcept {
    facts_.push({.kind = kind, .reason = reason});
}

std::optional<Fact> Connection::poll_fact() noexcept {
    if (facts_.empty()) return {};
    return facts_.pop();
}

void Connection::enter_time_wait(Instant now) noexcept {
    state_ = State::TimeWait;
    const Deadlines old = due_;
    due_ = {.delayed_ack = old.delayed_ack};
    due_.time_wait = now + options_.time_wait;
    HF_ASSERT(sent_.empty());
}

bool Connection::is_synchronized() const noexcept {
    return state_ != State::Closed && state_ != State::SynSent;
}

bool Connection::may_receive_data() const noexcept {
    return state_ == State::Established || state_ == State::FinWait1 || state_ == State::FinWait2;
}

/// The timestamp clock: one tick a millisecond, RFC 7323 section 5.4.
std::uint32_t Connection::timestamp_at(Instant at) const noexcept {
    const auto ticks = static_cast<std::uint64_t>(at.ns() / 1'000'000);
    return static_cast<std::uint32_t>(ticks & 0xffff'ffffU) + agreed_.timestamp_offset;
}

/// IP and TCP headers with the options that every segment carries.
std::uint32_t Connection::header_bytes() const noexcept {
    const std::uint32_t ip = agreed_.is_v6 ? wire::kIpv6Bytes : wire::kIpv4Bytes;
    return ip + std::uint32_t{wire::kTcpBytes} + (agreed_.timestamps ? 12U : 0U);
}

/// RFC 9293 section 3.7.1: Eff.snd.MSS. SACK blocks are put where they fit.
void Connection::update_mss() noexcept {
    const std::uint32_t options = agreed_.timestamps ? 12U : 0U;
    const std::uint32_t by_path = path_mtu_.mtu_bytes() - header_bytes();
    // A peer that offers less than anybody can is taken for 64 bytes.
    const std::uint32_t by_peer = std::max(snd_.peer_mss, options + 64U) - options;
    snd_.mss = std::min(by_path, by_peer);
    HF_ASSERT(snd_.mss > 0);
}

/// What we tell the peer: of the interface, without options. RFC 6691.
std::uint32_t Connection::own_mss() const noexcept {
    const std::uint32_t ip = agreed_.is_v6 ? wire::kIpv6Bytes : wire::kIpv4Bytes;
    const std::uint32_t by_mtu = options_.mtu_bytes - ip - std::uint32_t{wire::kTcpBytes};
    return std::min({by_mtu, options_.frame_payload_bytes, 0xffffU});
}

/// What the free frames hold when packets of full size fill them.
std::uint64_t Connection::free_window_bytes() const noexcept {
    return receive_.window_bytes(std::max(own_mss() / options_.frames_per_packet, 1U));
}

void Connection::limit_packets(std::uint32_t mtu_bytes, std::uint32_t frame_payload_bytes,
                               std::uint32_t frames_per_packet) noexcept {
    HF_ASSERT(state_ == State::Closed);
    HF_ASSERT(mtu_bytes <= options_.mtu_bytes && mtu_bytes >= PathMtu::kLeastV4);
    HF_ASSERT(frame_payload_bytes <= options_.frame_payload_bytes);
    HF_ASSERT(frames_per_packet > 0 && frames_per_packet <= options_.frames_per_packet);
    options_.mtu_bytes = mtu_bytes;
    options_.frame_payload_bytes = frame_payload_bytes;
    options_.frames_per_packet = frames_per_packet;
}

std::uint64_t Connection::in_flight_bytes() const noexcept {
    const std::uint64_t pipe = sent_.in_flight_bytes();
    // Without SACK each duplicate ACK tells of one segment that has left: RFC 5681 section 3.2.
    const std::uint64_t left = std::uint64_t{loss_.duplicate_acks} * snd_.mss;
    return pipe > left ? pipe - left : 0;
}

bool Connection::try_send(std::span<const std::byte> bytes, PieceTag tag) noexcept {
    const bool may_send = state_ == State::SynSent || state_ == State::SynReceived ||
                          state_ == State::Established || state_ == State::CloseWait;
    if (!may_send || snd_.close_wanted) return false;
    return send_.try_push(bytes, tag);
}

void Connection::take(Instant now, std::uint32_t bytes) noexcept {
    static_cast<void>(now);
    receive_.take(bytes);
}

Instant Connection::next_wake() const noexcept {
    Instant next = earlier(due_.rto, due_.tail_probe);
    for (const Instant due : {due_.reorder, due_.persist, due_.delayed_ack, due_.mtu_raise,
                              due_.connect, due_.close, due_.time_wait})
        next = earlier(next, due);
    return next;
}

void Connection::wake(Instant now) noexcept {
    const auto take_due = [now](Instant& due) {
        if (now < due || due.is_never()) return false;
        due = Instant::never();
        return true;
    };
    if (take_due(due_.delayed_ack)) on_delayed_ack(now);
    if (take_due(due_.mtu_raise)) path_mtu_.search_again();
    if (take_due(due_.reorder)) detect_by_time(now);
    if (take_due(due_.tail_probe)) on_tail_probe_due(now);
    if (take_due(due_.rto)) on_rto(now);
    if (take_due(due_.persist)) on_persist_due(now);
    if (state_ == State::Closed) return;
    if (take_due(due_.connect)) return end(EndReason::NoAnswer);
    if (take_due(due_.close)) {
        resets_.push(make_reset(snd_.nxt, rcv_.nxt));
        return end(EndReason::CloseTimedOut);
    }
    if (take_due(due_.time_wait)) end(EndReason::Closed);
}

void Connection::on_delayed_ack(Instant now) noexcept {
    static_cast<void>(now);
    if (rcv_.ack_due == AckDue::Delayed) rcv_.ack_due = AckDue::Now;
}

/// RFC 9293 section 3.8.3: R2. A clock that jumped is no silence: it takes some attempts, too.
void Connection::judge_user_timeout(Instant now) noexcept {
    constexpr unsigned kAttemptsLeast = 3;  // R1 of RFC 9293 section 3.8.3.
    ++snd_.silent_timeouts;
    if (snd_.silent_timeouts <= kAttemptsLeast) return;
    if (now - snd_.last_progress < options_.user_timeout) return;
    resets_.push(make_reset(snd_.nxt, rcv_.nxt));
    end(EndReason::NoAnswer);
}

}  // namespace holdfast::netpath::tcp
