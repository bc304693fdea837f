#include "netpath/tcp/cubic.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::netpath::tcp {

namespace {

// RFC 9438 section 4.6: beta is 0.7. Section 4.3: alpha is 3 * (1 - beta) / (1 + beta).
constexpr std::uint64_t kBetaTenths = 7;
constexpr std::uint64_t kAlphaThousandths = 529;
/// Past this the window has long been clamped; it keeps the cube within 64 bits.
constexpr std::uint64_t kTimeMaxMs = 100'000;
/// 1 / C = 2.5 s^3 for each segment (section 5.1: C is 0.4), in ms^3.
constexpr std::uint64_t kInverseC = 2'500'000'000;
constexpr std::uint64_t kWindowMax = 1U << 30;  // RFC 7323 section 2.3: no window is larger.

std::uint64_t cube_root(std::uint64_t value) noexcept {
    std::uint64_t root = 0;
    for (std::uint64_t bit = 1U << 20; bit != 0; bit >>= 1) {
        const std::uint64_t trial = root | bit;
        if (trial * trial * trial <= value) root = trial;
    }
    return root;
}

}  // namespace

void Cubic::start(std::uint32_t mss_bytes, std::uint32_t segments) noexcept {
    HF_ASSERT(mss_bytes > 0 && segments > 0);
    mss_ = mss_bytes;
    now_ = {};
    has_undo_ = false;
    // min(10 MSS, max(2 MSS, 14600)): RFC 6928 section 2.
    constexpr std::uint64_t kSegmentBytes = 1460;
    initial_ = std::min(segments * mss_, std::max(2 * mss_, segments * kSegmentBytes));
    now_.cwnd = initial_;
}

void Cubic::set_mss(std::uint32_t mss_bytes) noexcept {
    HF_ASSERT(mss_bytes > 0);
    mss_ = mss_bytes;
    now_.cwnd = std::max(now_.cwnd, mss_);
    now_.epoch = Instant::never();
}

void Cubic::on_ack(Instant now, std::uint64_t acked_bytes, Duration srtt) noexcept {
    if (acked_bytes == 0) return;
    if (is_in_slow_start()) {
        // RFC 5681 section 3.1 by way of RFC 3465: what an ACK covers counts, not the ACK. All of
        // it, as Linux does: a peer that reads much at a time answers thirty segments at once, and
        // a few segments an ACK would be a few a round trip. RFC 9406 section 4.2 allows that to
        // who paces and eight to others; here the places of the driver's ring limit what leaves at
        // once.
        const std::uint64_t growth = std::min(acked_bytes, now_.ssthresh - now_.cwnd);
        now_.cwnd = std::min(now_.cwnd + growth, kWindowMax);
        return;
    }
    avoid_congestion(now, acked_bytes, srtt);
    HF_ASSERT(now_.cwnd >= mss_);
}

void Cubic::begin_epoch(Instant now) noexcept {
    now_.epoch = now;
    now_.credit = 0;
    now_.w_est = now_.cwnd;
    now_.w_est_part = 0;
    if (now_.cwnd >= now_.w_max) {
        now_.w_max = now_.cwnd;  // Section 4.8: after a time-out or on a new path K is 0.
        now_.k_ms = 0;
        return;
    }
    const std::uint64_t segments_256 = (now_.w_max - now_.cwnd) * 256 / mss_;
    now_.k_ms = cube_root(std::min(segments_256, std::uint64_t{1} << 31) * (kInverseC / 256));
}

/// W_cubic of figure 1, bytes, `ms` after the epoch began.
std::uint64_t Cubic::target_at(std::uint64_t ms) const noexcept {
    ms = std::min(ms, kTimeMaxMs);
    const bool is_before = ms < now_.k_ms;
    const std::uint64_t distance =
        std::min(is_before ? now_.k_ms - ms : ms - now_.k_ms, kTimeMaxMs);
    const std::uint64_t cube = distance * distance * distance / kInverseC;  // Segments.
    // What the division dropped, as bytes.
    const std::uint64_t rest = (distance * distance * distance % kInverseC) *
                               std::min<std::uint64_t>(mss_, 65536) / kInverseC;
    const std::uint64_t change = std::min(cube * mss_ + rest, kWindowMax);
    if (!is_before) return now_.w_max + change;
    return now_.w_max > change ? now_.w_max - change : 0;
}

/// Section 4.3, the window that Reno would have.
void Cubic::grow_estimate(std::uint64_t acked) noexcept {
    const std::uint64_t alpha = now_.w_est >= now_.prior_cwnd ? 1000 : kAlphaThousandths;
    now_.w_est_part += alpha * acked * mss_;
    const std::uint64_t unit = 1000 * now_.cwnd;
    now_.w_est = std::min(now_.w_est + now_.w_est_part / unit, kWindowMax);
    now_.w_est_part %= unit;
}

void Cubic::avoid_congestion(Instant now, std::uint64_t acked, Duration srtt) noexcept {
    if (now_.epoch.is_never()) begin_epoch(now);
    grow_estimate(acked);
    // A clock that jumped counts as a very long time, which the clamps below make harmless.
    const std::int64_t passed = std::max<std::int64_t>((now - now_.epoch).ms(), 0);
    const auto ms = static_cast<std::uint64_t>(passed);
    if (target_at(ms) < now_.w_est) {
        now_.cwnd = std::max(now_.cwnd, now_.w_est);
        return;
    }
    // Sections 4.4 and 4.5: the target one round trip on, at most half a window more a round trip.
    const auto rtt_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(srtt.ms(), 0));
    const std::uint64_t target =
        std::clamp(target_at(ms + rtt_ms), now_.cwnd, now_.cwnd + now_.cwnd / 2);
    now_.credit += (target - now_.cwnd) * acked;
    const std::uint64_t growth = now_.credit / now_.cwnd;
    now_.credit %= now_.cwnd;
    now_.cwnd = std::min(now_.cwnd + growth, kWindowMax);
}

void Cubic::reduce(std::uint64_t flight_bytes) noexcept {
    now_.prior_cwnd = now_.cwnd;
    // Section 4.7, fast convergence.
    const bool is_below = now_.cwnd < now_.w_max;
    now_.w_max = is_below ? now_.cwnd * (10 + kBetaTenths) / 20 : now_.cwnd;
    // Section 4.6: flight size, so that a sender that the application limits does not keep a window
    // that it has never used.
    const std::uint64_t base = std::min(flight_bytes, now_.cwnd);
    now_.ssthresh = std::max(base * kBetaTenths / 10, 2 * mss_);
    now_.epoch = Instant::never();
}

void Cubic::on_loss(std::uint64_t flight_bytes) noexcept {
    before_ = now_;
    has_undo_ = true;
    reduce(flight_bytes);
}

void Cubic::on_recovered() noexcept {
    now_.cwnd = now_.ssthresh;
    HF_ASSERT(now_.cwnd >= 2 * mss_ || now_.cwnd > 0);
}

void Cubic::on_timeout(std::uint64_t flight_bytes, bool is_first) noexcept {
    if (is_first) {
        before_ = now_;
        has_undo_ = true;
        reduce(flight_bytes);
    }
    now_.cwnd = mss_;  // The loss window: RFC 5681 section 3.1.
    now_.epoch = Instant::never();
}

bool Cubic::undo() noexcept {
    if (!has_undo_) return false;
    has_undo_ = false;
    const std::uint64_t cwnd = std::max(now_.cwnd, before_.cwnd);
    now_ = before_;
    now_.cwnd = cwnd;
    return true;
}

void Cubic::on_idle() noexcept {
    // RW = min(IW, cwnd).
    now_.cwnd = std::min(now_.cwnd, std::max(initial_, mss_));
    now_.epoch = Instant::never();
}

void Cubic::set_cwnd(std::uint64_t bytes) noexcept {
    now_.cwnd = std::max(bytes, mss_);
}

}  // namespace holdfast::netpath::tcp
