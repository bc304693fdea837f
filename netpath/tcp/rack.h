/// Loss detection by time: RACK, and the tail loss probe. RFC 8985. What is lost is decided in
/// recovery.cc over the scoreboard; here is the state that decides it.
/// Pure. Timers, in Deadlines of the connection: reorder and tail_probe.
#pragma once

#include <optional>

#include "base/time.h"
#include "netpath/tcp/sent_queue.h"
#include "netpath/tcp/seq.h"

namespace holdfast::netpath::tcp {

/// The smallest round trip of the last five to ten minutes. RFC 8985 section 6.2, step 1.
class MinRtt {
public:
    static constexpr Duration kHalfWindow = Duration::from_s(300);

    void on_sample(Instant now, Duration rtt) noexcept {
        if (now >= half_end_) {
            older_ = now >= half_end_ + kHalfWindow ? Duration::max() : newer_;
            newer_ = Duration::max();
            half_end_ = now + kHalfWindow;
        }
        if (rtt < newer_) newer_ = rtt;
    }
    /// Duration::max() without a sample.
    [[nodiscard]] Duration get() const noexcept { return newer_ < older_ ? newer_ : older_; }

private:
    Duration newer_ = Duration::max();
    Duration older_ = Duration::max();
    Instant half_end_{};
};

/// What the choice of the reordering window depends on: section 6.2, step 4.
struct ReorderContext {
    bool is_recovering = false;
    std::uint32_t sacked_count = 0;
    Duration srtt{};
};

class Rack {
public:
    static constexpr std::uint32_t kDupThresh = 3;

    /// True when `a` was sent after `b`: RACK_sent_after of section 6.2.
    [[nodiscard]] static bool is_sent_after(Instant a, Seq a_end, Instant b, Seq b_end) noexcept {
        return a > b || (a == b && b_end.precedes(a_end));
    }

    /// Steps 1 to 3 for one segment that was delivered just now. `echo_is_older`: the ACK's
    /// timestamp tells that it answers an earlier transmission. False when the segment says
    /// nothing, because which copy arrived is not known.
    bool on_delivered(Instant now, const SentSegment& segment, bool echo_is_older) noexcept {
        detect_reordering(segment);
        const Duration rtt = now - segment.sent_at;
        if (segment.was_resent() && (echo_is_older || rtt < min_rtt_.get())) return false;
        min_rtt_.on_sample(now, rtt);
        if (has_delivery_ && !is_sent_after(segment.sent_at, segment.end(), sent_at_, end_)) {
            return true;
        }
        has_delivery_ = true;
        rtt_ = rtt;
        sent_at_ = segment.sent_at;
        end_ = segment.end();
        return true;
    }
    /// A round trip that no segment of the scoreboard has measured, such as the SYN's.
    void on_round_trip(Instant now, Duration rtt) noexcept { min_rtt_.on_sample(now, rtt); }

    /// Step 4, before every ACK: a DSACK widens the window once a round trip.
    void on_ack(bool has_dsack, Seq una, Seq next) noexcept {
        if (dsack_round_ && dsack_round_->precedes_or_is(una)) dsack_round_.reset();
        if (!has_dsack || dsack_round_) return;
        dsack_round_ = next;
        if (multiplier_ < kMultiplierMax) ++multiplier_;
        recoveries_to_keep_ = kRecoveriesToKeep;
    }
    /// Step 4: a recovery ended without one.
    void on_recovered() noexcept {
        if (recoveries_to_keep_ > 0) --recoveries_to_keep_;
        if (recoveries_to_keep_ == 0) multiplier_ = 1;
    }
    /// Step 4: for how long a segment may be late.
    [[nodiscard]] Duration reorder_window(const ReorderContext& context) const noexcept {
        if (!reordering_seen_ && (context.is_recovering || context.sacked_count >= kDupThresh))
            return {};
        if (min_rtt_.get() == Duration::max()) return {};
        const Duration window = Duration::from_ns(min_rtt_.get().ns() / 4) * multiplier_;
        return window < context.srtt ? window : context.srtt;
    }

    /// True when something that was sent after `segment` has arrived.
    [[nodiscard]] bool is_overtaken(const SentSegment& segment) const noexcept {
        return has_delivery_ && is_sent_after(sent_at_, end_, segment.sent_at, segment.end());
    }
    /// Whether anything sent at `at` or earlier can have been overtaken.
    [[nodiscard]] bool has_delivery_since(Instant at) const noexcept {
        return has_delivery_ && at <= sent_at_;
    }
    /// Round trip of the segment that was sent last among the delivered ones.
    [[nodiscard]] Duration rtt() const noexcept { return rtt_; }
    [[nodiscard]] Duration min_rtt() const noexcept { return min_rtt_.get(); }
    [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_; }

private:
    static constexpr std::int64_t kMultiplierMax = 255;
    static constexpr unsigned kRecoveriesToKeep = 16;

    void detect_reordering(const SentSegment& segment) noexcept {
        if (!furthest_ || furthest_->precedes(segment.end())) {
            furthest_ = segment.end();
        } else if (segment.end().precedes(*furthest_) && !segment.was_resent()) {
            reordering_seen_ = true;
        }
    }

    MinRtt min_rtt_;
    bool has_delivery_ = false;
    bool reordering_seen_ = false;
    Duration rtt_{};
    Instant sent_at_{};                 // RACK.xmit_ts
    Seq end_{};                         // RACK.end_seq
    std::optional<Seq> furthest_{};     // RACK.fack
    std::optional<Seq> dsack_round_{};  // RACK.dsack_round
    std::int64_t multiplier_ = 1;       // RACK.reo_wnd_mult
    unsigned recoveries_to_keep_ = 0;   // RACK.reo_wnd_persist
};

/// The tail loss probe that is out, if one is: section 7.4.
struct TailProbe {
    std::optional<Seq> end{};  ///< TLP.end_seq; SND.NXT when it was sent.
    bool is_resend = false;    ///< TLP.is_retrans
};

}  // namespace holdfast::netpath::tcp
