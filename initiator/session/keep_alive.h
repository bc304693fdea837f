/// Is the target still there? RFC 7143 sections 7.14, 10.3, 11.18 and 11.19.
///
/// Idle-based: every byte received counts as life. After `interval` of silence one ping goes out;
/// after `timeout` more of silence the connection is dead. While the ping still waits behind data
/// that the transport is taking, that progress counts as well, because a slow uplink is not death.
/// Pure. Deadlines: wake_at(), either of the two.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace holdfast::initiator {

class KeepAlive {
public:
    /// A connection enters full feature phase. An interval of 0 or Duration::max() turns pings off.
    constexpr void start(Instant now, Duration interval, Duration timeout) noexcept {
        *this = KeepAlive{};
        interval_ = interval > Duration{} ? interval : Duration::max();
        timeout_ = timeout;
        heard_ = now;
        is_on_ = true;
    }
    constexpr void stop() noexcept { is_on_ = false; }

    constexpr void on_received(Instant now) noexcept { heard_ = now; }
    constexpr void on_send_progress(Instant now) noexcept {
        if (state_ == State::Wanted) since_ = now;
    }
    /// The ping of this state went to the transport.
    constexpr void on_ping_sent(Instant now) noexcept {
        state_ = State::Out;
        since_ = now;
    }
    /// Its answer came, or a Reject of it: the next one is due after a full interval.
    constexpr void on_ping_over() noexcept { state_ = State::None; }
    /// Somebody else needs a sign of life and of the window now (conformance SEQ-08).
    constexpr void want_ping(Instant now) noexcept {
        if (!is_on_ || state_ != State::None) return;
        state_ = State::Wanted;
        since_ = now;
    }

    [[nodiscard]] constexpr bool wants_ping() const noexcept { return state_ == State::Wanted; }
    [[nodiscard]] constexpr bool ping_is_out() const noexcept { return state_ == State::Out; }
    [[nodiscard]] constexpr Instant ping_sent_at() const noexcept { return since_; }
    [[nodiscard]] constexpr Instant heard_at() const noexcept { return heard_; }

    [[nodiscard]] constexpr Instant wake_at() const noexcept {
        if (!is_on_) return Instant::never();
        return state_ == State::None ? heard_ + interval_ : dead_at();
    }
    /// When silence means death; never while no ping is due.
    [[nodiscard]] constexpr Instant dead_at() const noexcept {
        if (!is_on_ || state_ == State::None) return Instant::never();
        return std::max(since_, heard_) + timeout_;
    }
    /// True when the interval of silence is over and a ping must go out.
    [[nodiscard]] constexpr bool is_silent(Instant now) const noexcept {
        return is_on_ && state_ == State::None && heard_ + interval_ <= now;
    }

private:
    enum class State : std::uint8_t { None, Wanted, Out };
    Duration interval_ = Duration::max();
    Duration timeout_{};
    Instant heard_{};
    Instant since_{};
    State state_ = State::None;
    bool is_on_ = false;
};

}  // namespace holdfast::initiator
