/// A TCP connection, the client's side: segments in, segments out, bytes to and from the owner.
/// RFC 9293, as the parts beside this file extend it; docs/tcp.md lists what is done and what not.
/// Pure: time, secrets and memory are handed in.
///
/// Timers, all in Deadlines. Limits: Limits for memory, Options for behaviour.
///
/// The parts: SendBuffer (bytes on loan), SentQueue (the scoreboard), RtoEstimator, Rack and
/// TailProbe, Cubic and Prr, PathMtu, ReceiveQueue, AckLimiter. They know nothing of each other;
/// this class carries facts between them.
///
/// Files: connection.cc (opening, closing, time), arrive.cc (a segment comes: section 3.10.7),
/// acknowledge.cc (what its ACK says), recovery.cc (losses, and losses that were none),
/// transmit.cc (what goes out).
///
/// Thread: one. After any call, output() is to be called until it gives nothing, then poll_fact().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "netpath/tcp/ack_limiter.h"
#include "netpath/tcp/cubic.h"
#include "netpath/tcp/options.h"
#include "netpath/tcp/path_mtu.h"
#include "netpath/tcp/prr.h"
#include "netpath/tcp/rack.h"
#include "netpath/tcp/receive_queue.h"
#include "netpath/tcp/rto.h"
#include "netpath/tcp/send_buffer.h"
#include "netpath/tcp/sent_queue.h"
#include "netpath/tcp/seq.h"
#include "netpath/wire/icmp.h"
#include "netpath/wire/tcp.h"

namespace holdfast::netpath::tcp {

/// RFC 9293 section 3.3.2. There is no LISTEN.
enum class State : std::uint8_t {
    Closed,
    SynSent,
    SynReceived,  ///< After a simultaneous open only: section 3.5.
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
};

/// Every deadline; Instant::never() when not set.
struct Deadlines {
    Instant rto = Instant::never();         ///< RFC 6298; the SYN's, too.
    Instant tail_probe = Instant::never();  ///< RFC 8985 section 7.2.
    Instant reorder = Instant::never();     ///< RFC 8985 section 6.2, step 5.
    /// The window lets nothing useful out: RFC 9293 section 3.8.6.1, and the override time-out of
    /// section 3.8.6.2.1.
    Instant persist = Instant::never();
    Instant delayed_ack = Instant::never();  ///< Section 3.8.6.3.
    Instant mtu_raise = Instant::never();    ///< RFC 8201 section 4.
    Instant connect = Instant::never();      ///< The SYN is given up.
    Instant close = Instant::never();        ///< The orderly end is given up.
    Instant time_wait = Instant::never();    ///< Section 3.6.1.
};

/// How a connection ended.
enum class EndReason : std::uint8_t {
    Closed,   ///< Both sides, in order.
    Refused,  ///< RST, or a hard ICMP error, for the SYN.
    ResetByPeer,
    ResetByUs,  ///< reset().
    NoAnswer,   ///< Nothing acknowledged for connect_timeout or user_timeout.
    CloseTimedOut,
};

/// What the owner must learn. Each comes once.
struct Fact {
    enum class Kind : std::uint8_t {
        Up,
        PeerClosed,  ///< Nothing more will come than what can be read now.
        /// With `reason`. Nothing on loan is read any more; what was received can be read only
        /// after Closed.
        Ended,
    };
    Kind kind = Kind::Up;
    EndReason reason = EndReason::Closed;
};

/// What is handed in for one connection.
struct Opening {
    Seq isn{};
    std::uint32_t timestamp_offset = 0;
    bool is_v6 = false;
};

/// A segment to be sent. Ports and the packet around it are the caller's.
struct Outgoing {
    wire::TcpHeader header{};
    Seq payload_begin{};
    std::uint32_t payload_bytes = 0;  ///< To be filled with copy_payload() before anything else.
    [[nodiscard]] bool is_control() const noexcept { return payload_bytes == 0; }
};

/// Counts, for status and tests. They only ever grow.
struct Counters {
    std::uint64_t segments_in = 0;
    std::uint64_t segments_out = 0;
    std::uint64_t resent = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t tail_probes = 0;
    std::uint64_t recoveries = 0;
    std::uint64_t undone = 0;  ///< Losses that were none.
    std::uint64_t reneged = 0;
    std::uint64_t challenges = 0;
    std::uint64_t challenges_held_back = 0;
    std::uint64_t paws_dropped = 0;
    std::uint64_t unacceptable = 0;
    std::uint64_t dropped_for_memory = 0;
    std::uint64_t window_probes = 0;
    std::uint64_t mtu_probes = 0;
    std::uint64_t mtu_reductions = 0;
    std::uint64_t icmp_believed = 0;
    std::uint64_t icmp_ignored = 0;
};

class Connection {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, const Limits& limits) noexcept;
    Connection(const Limits& limits, reserve::Region& region, const Options& options) noexcept;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Only in Closed. Everything of an earlier connection is forgotten.
    void connect(Instant now, const Opening& opening) noexcept;
    /// Sends what is queued, then FIN. What arrives can still be read.
    void close(Instant now) noexcept;
    /// RST at once, whatever the state: RFC 9293 section 3.10.5.
    void reset(Instant now) noexcept;

    /// What the caller's frames hold after all, instead of what Options said: never more. Only in
    /// Closed.
    void limit_packets(std::uint32_t mtu_bytes, std::uint32_t frame_payload_bytes,
                       std::uint32_t frames_per_packet) noexcept;

    /// A segment of this connection with a correct checksum, its payload in 1 to 32 pieces, of
    /// which only the first may be empty. Bit I of the result: piece I's frame is kept, until
    /// poll_returned_frame() names it. `payload` and `room` as in Arrival; `seq` is not looked at.
    [[nodiscard]] std::uint32_t arrive(Instant now, const wire::TcpHeader& header,
                                       std::span<const Arrival> pieces) noexcept;
    /// An ICMP error that quotes a segment of this connection.
    void on_icmp(Instant now, const wire::IcmpError& error) noexcept;

    /// The next segment to send; empty when there is none. With `may_send_data` false only segments
    /// without payload come: there are no frames for others.
    [[nodiscard]] std::optional<Outgoing> output(Instant now, bool may_send_data) noexcept;
    /// Its payload from byte `offset` on.
    void copy_payload(const Outgoing& out, std::uint32_t offset,
                      std::span<std::byte> to) const noexcept {
        send_.copy(out.payload_begin.plus(offset), to);
    }

    /// Lends `bytes`, not empty, until poll_returned_piece() gives `tag`, or until Ended. False: no
    /// room now, or no more may be sent.
    [[nodiscard]] bool try_send(std::span<const std::byte> bytes, PieceTag tag) noexcept;
    [[nodiscard]] std::optional<PieceTag> poll_returned_piece() noexcept {
        return send_.poll_returned();
    }
    /// What can be read, one contiguous piece; valid until taken.
    [[nodiscard]] std::span<const std::byte> readable() const noexcept { return receive_.front(); }
    [[nodiscard]] std::uint32_t readable_bytes() const noexcept { return receive_.ready_bytes(); }
    /// The first `bytes` were read.
    void take(Instant now, std::uint32_t bytes) noexcept;
    [[nodiscard]] std::optional<FrameId> poll_returned_frame() noexcept {
        return receive_.poll_returned();
    }
    [[nodiscard]] std::optional<Fact> poll_fact() noexcept;

    /// When wake() must be called at the latest.
    [[nodiscard]] Instant next_wake() const noexcept;
    void wake(Instant now) noexcept;

    [[nodiscard]] State state() const noexcept { return state_; }
    [[nodiscard]] const Deadlines& deadlines() const noexcept { return due_; }
    [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
    [[nodiscard]] std::uint64_t cwnd_bytes() const noexcept { return cubic_.cwnd_bytes(); }
    [[nodiscard]] std::uint64_t ssthresh_bytes() const noexcept { return cubic_.ssthresh_bytes(); }
    [[nodiscard]] std::uint64_t in_flight_bytes() const noexcept;
    /// Lent, and not yet sent for the first time.
    [[nodiscard]] std::uint32_t unsent_bytes() const noexcept;
    [[nodiscard]] std::uint32_t mss_bytes() const noexcept { return snd_.mss; }
    [[nodiscard]] std::uint32_t mtu_bytes() const noexcept { return path_mtu_.mtu_bytes(); }
    [[nodiscard]] Duration srtt() const noexcept { return rto_.srtt(); }
    [[nodiscard]] Duration rto() const noexcept { return rto_.rto(); }
    [[nodiscard]] std::uint32_t held_frames() const noexcept { return receive_.held_frames(); }
    [[nodiscard]] Seq snd_una() const noexcept { return snd_.una; }
    [[nodiscard]] Seq snd_nxt() const noexcept { return snd_.nxt; }
    [[nodiscard]] Seq rcv_nxt() const noexcept { return rcv_.nxt; }

private:
    /// Where the sender stands with losses.
    enum class Phase : std::uint8_t {
        Open,      ///< Nothing is known to be lost.
        Recovery,  ///< Fast recovery: PRR paces what is sent.
        Loss,      ///< After a retransmission time-out, in slow start.
    };
    enum class AckDue : std::uint8_t { None, Delayed, Now };
    /// What one ACK brought.
    struct AckNews {
        std::uint64_t acked_bytes = 0;      ///< By the cumulative number.
        std::uint64_t delivered_bytes = 0;  ///< By number or SACK, each byte once.
        bool sacked_more = false;
        bool delivered_original = false;  ///< A segment that was sent only once.
        bool moved_window = false;
        bool has_payload = false;
        std::optional<SackBlock> dsack{};
        std::optional<Duration> rtt{};  ///< Of an unambiguous segment.
        std::optional<std::uint32_t> echo{};
    };

    // connection.cc
    void end(EndReason reason) noexcept;
    void report(Fact::Kind kind, EndReason reason = EndReason::Closed) noexcept;
    void enter_time_wait(Instant now) noexcept;
    [[nodiscard]] bool is_synchronized() const noexcept;
    [[nodiscard]] bool may_receive_data() const noexcept;
    [[nodiscard]] std::uint32_t timestamp_at(Instant at) const noexcept;
    [[nodiscard]] std::uint32_t header_bytes() const noexcept;
    void update_mss() noexcept;
    [[nodiscard]] std::uint32_t own_mss() const noexcept;
    [[nodiscard]] std::uint64_t free_window_bytes() const noexcept;
    void on_delayed_ack(Instant now) noexcept;
    void judge_user_timeout(Instant now) noexcept;

    // arrive.cc
    [[nodiscard]] std::uint32_t arrive_syn_sent(Instant now, const wire::TcpHeader& header,
                                                std::span<const Arrival> pieces) noexcept;
    void take_syn_options(const wire::TcpHeader& header) noexcept;
    void on_up(Instant now) noexcept;
    [[nodiscard]] bool passes_paws(Instant now, const wire::TcpHeader& header) const noexcept;
    [[nodiscard]] bool is_acceptable(const wire::TcpHeader& header,
                                     std::uint32_t bytes) const noexcept;
    void answer_unacceptable(Instant now, const wire::TcpHeader& header,
                             std::uint32_t bytes) noexcept;
    void on_rst(Instant now, const wire::TcpHeader& header) noexcept;
    void challenge(Instant now) noexcept;
    [[nodiscard]] bool judge_ack(Instant now, const wire::TcpHeader& header) noexcept;
    [[nodiscard]] std::uint32_t take_text(Instant now, const wire::TcpHeader& header,
                                          std::span<const Arrival> pieces) noexcept;
    [[nodiscard]] std::uint32_t insert_pieces(Seq seq, std::span<const Arrival> pieces,
                                              std::uint32_t bytes, Placed& sum) noexcept;
    void on_peer_fin(Instant now) noexcept;
    void note_timestamp(Instant now, const wire::TcpHeader& header) noexcept;
    void on_fin_acknowledged(Instant now) noexcept;
    void schedule_ack(Instant now, const Placed& placed, std::uint32_t bytes) noexcept;

    // acknowledge.cc
    void on_ack(Instant now, const wire::TcpHeader& header, std::uint32_t payload_bytes) noexcept;
    void update_window(const wire::TcpHeader& header, AckNews& news) noexcept;
    void take_cumulative(Instant now, Seq ack, AckNews& news) noexcept;
    void take_sacks(Instant now, const wire::TcpHeader& header, AckNews& news) noexcept;
    void take_sack_block(Instant now, SackBlock block, AckNews& news) noexcept;
    void deliver(Instant now, const SentSegment& segment, AckNews& news) noexcept;
    void take_round_trip(Instant now, Seq ack, const AckNews& news) noexcept;
    void restart_timers(Instant now, const AckNews& news) noexcept;
    void on_window_open(Instant now) noexcept;

    // recovery.cc
    void judge_losses(Instant now, const AckNews& news) noexcept;
    void detect_by_time(Instant now) noexcept;
    void count_duplicate(Instant now, const AckNews& news) noexcept;
    void on_partial_ack() noexcept;
    void on_mtu_reduced(Instant now) noexcept;
    [[nodiscard]] bool note_lost(SentSegment& segment) noexcept;
    [[nodiscard]] std::uint32_t payload_of(const SentSegment& segment) const noexcept;
    void pace(std::uint64_t delivered) noexcept;
    void enter_recovery(Instant now) noexcept;
    void leave_recovery() noexcept;
    void judge_undo(const AckNews& news) noexcept;
    void judge_spurious_timeout(const AckNews& news) noexcept;
    void undo() noexcept;
    void judge_tail_probe(const AckNews& news) noexcept;
    void grow_window(Instant now, const AckNews& news) noexcept;
    void on_rto(Instant now) noexcept;
    void on_syn_timeout(Instant now) noexcept;
    void mark_losses_on_timeout(Instant now) noexcept;
    void on_tail_probe_due(Instant now) noexcept;
    void schedule_tail_probe(Instant now) noexcept;
    [[nodiscard]] bool is_recovering() const noexcept { return loss_.phase != Phase::Open; }

    // transmit.cc
    [[nodiscard]] std::optional<Outgoing> output_syn(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_tail_probe(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_window_probe(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_data(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_lost(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_new(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_fin(Instant now) noexcept;
    [[nodiscard]] std::optional<Outgoing> output_ack(Instant now) noexcept;
    [[nodiscard]] Outgoing send_new(Instant now, std::uint32_t bytes, bool is_mtu_probe) noexcept;
    [[nodiscard]] Outgoing resend(Instant now, SentSegment& segment) noexcept;
    [[nodiscard]] Outgoing make(Instant now, Seq seq, std::uint32_t payload_bytes) noexcept;
    [[nodiscard]] static Outgoing make_reset(Seq seq, std::optional<Seq> ack) noexcept;
    /// A RST that the peer asked for: one at a time, so that it cannot fill the queue.
    void answer_with_reset(Seq seq, std::optional<Seq> ack) noexcept;
    void add_sacks(Outgoing& out) noexcept;
    void on_fin_sent() noexcept;
    [[nodiscard]] std::uint16_t window_field() noexcept;
    [[nodiscard]] Seq window_edge() const noexcept;
    [[nodiscard]] bool is_window_update_due() const noexcept;
    [[nodiscard]] std::uint32_t new_segment_bytes() const noexcept;
    [[nodiscard]] std::uint32_t mtu_probe_payload() const noexcept;
    [[nodiscard]] bool has_room_in_cwnd(std::uint32_t bytes) const noexcept;
    [[nodiscard]] std::uint32_t usable_window() const noexcept;
    void on_transmitted(Instant now, std::uint32_t bytes, bool is_resend) noexcept;
    void judge_persist(Instant now) noexcept;
    void on_persist_due(Instant now) noexcept;

    /// RFC 9293 section 3.3.1, the send side.
    struct Sender {
        Seq iss{};
        Seq una{};
        Seq nxt{};
        std::uint32_t wnd = 0;  ///< Scaled.
        Seq wl1{};
        Seq wl2{};
        std::uint32_t wnd_max = 0;  ///< The largest that the peer has ever offered.
        std::uint8_t shift = 0;
        std::uint32_t peer_mss = 536;  ///< Section 3.7.1: what holds without the option.
        std::uint32_t mss = 536;       ///< Payload of a full segment now.
        bool syn_due = false;
        bool syn_resent = false;
        bool close_wanted = false;
        bool fin_sent = false;           ///< Then nxt is behind it.
        bool persist_fires = false;      ///< The next output() may override the window.
        bool tail_probe_fires = false;   ///< The next output() may send a segment beyond cwnd.
        bool is_probing_window = false;  ///< What is in flight lies beyond the window.
        bool is_cwnd_limited = false;    ///< cwnd kept data back since the last ACK.
        Instant last_progress{};         ///< Something was acknowledged, or a window confirmed.
        Instant last_sent_at{};
        unsigned silent_timeouts = 0;  ///< Time-outs and probes since last_progress.
    };
    /// The receive side.
    struct Receiver {
        Seq nxt{};
        Seq edge{};  ///< Right edge of the window as advertised; never goes back.
        std::uint8_t shift = 0;
        std::uint32_t peer_segment = 0;  ///< The largest payload that the peer has sent.
        std::optional<Seq> peer_fin{};
        bool is_fin_taken = false;
        AckDue ack_due = AckDue::None;
        std::uint32_t unacked_bytes = 0;  ///< Received since the last ACK went out.
        std::optional<SackBlock> dsack_due{};
        Seq last_ack_sent{};
    };
    /// What both ends agreed on. RFC 7323, RFC 2018.
    struct Agreed {
        bool is_v6 = false;
        bool sack = false;
        bool timestamps = false;
        std::uint32_t timestamp_offset = 0;
        std::uint32_t ts_recent = 0;
        Instant ts_recent_at{};
    };
    struct Losses {
        Phase phase = Phase::Open;
        Seq begin{};  ///< SND.UNA when it began.
        Seq end{};    ///< SND.NXT when it began: "recover" of RFC 6582.
        bool was_ever = false;
        std::uint32_t duplicate_acks = 0;   ///< Without SACK only: RFC 6582.
        std::uint32_t resent_in_doubt = 0;  ///< Sent again, and not yet told by DSACK to be idle.
        bool can_undo = false;
        bool may_be_spurious = false;  ///< F-RTO, RFC 5682, is judging the time-out.
        bool prefers_new = false;      ///< F-RTO wants new data to go first: RFC 5682 (2b).
        bool front_due = false;        ///< The first lost segment goes out whatever cwnd says.
        Seq rtt_due{};                 ///< The next sample is taken when this is acknowledged.
        FixedVector<SackBlock, wire::TcpOptions::kSacksMax> last_sacks{};
    };

    Options options_;
    State state_ = State::Closed;
    Deadlines due_;
    Sender snd_;
    Receiver rcv_;
    Agreed agreed_;
    Losses loss_;
    TailProbe tail_probe_;
    Rack rack_;
    RtoEstimator rto_;
    Cubic cubic_;
    Prr prr_;
    PathMtu path_mtu_;
    AckLimiter limiter_;
    SendBuffer send_;
    SentQueue sent_;
    ReceiveQueue receive_;
    FixedQueue<Outgoing, 2> resets_;
    FixedQueue<Fact, 4> facts_;
    Counters counters_;
};

}  // namespace holdfast::netpath::tcp
