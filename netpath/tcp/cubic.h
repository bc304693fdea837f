/// Congestion control: CUBIC, RFC 9438, over the rules of RFC 5681 and the initial window of RFC
/// 6928. Windows are bytes. During fast recovery PRR, prr.h, decides how much is sent.
/// Pure; no timers.
#pragma once

#include <cstdint>
#include <limits>

#include "base/time.h"

namespace holdfast::netpath::tcp {

class Cubic {
public:
    static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

    /// RFC 6928 section 2 with `segments` in the place of ten.
    void start(std::uint32_t mss_bytes, std::uint32_t segments) noexcept;
    /// The path carries another size from now on; the window keeps its bytes.
    void set_mss(std::uint32_t mss_bytes) noexcept;

    [[nodiscard]] std::uint64_t cwnd_bytes() const noexcept { return now_.cwnd; }
    [[nodiscard]] std::uint64_t ssthresh_bytes() const noexcept { return now_.ssthresh; }
    [[nodiscard]] bool is_in_slow_start() const noexcept { return now_.cwnd < now_.ssthresh; }

    /// New data was acknowledged outside of fast recovery, while the window was what limited us.
    /// `srtt` is zero when it is not known.
    void on_ack(Instant now, std::uint64_t acked_bytes, Duration srtt) noexcept;
    /// Fast recovery begins: RFC 9438 sections 4.6 and 4.7. Remembers how it was.
    void on_loss(std::uint64_t flight_bytes) noexcept;
    /// Fast recovery ended.
    void on_recovered() noexcept;
    /// The retransmission timer expired: RFC 5681 section 3.1, RFC 9438 section 4.8.
    /// `is_first`: not another time for the same data.
    void on_timeout(std::uint64_t flight_bytes, bool is_first) noexcept;
    /// The last loss was none: sections 4.9.1 and 4.9.2. False when there is nothing to undo.
    [[nodiscard]] bool undo() noexcept;
    /// What undo() would go back to is no longer of use.
    void forget_undo() noexcept { has_undo_ = false; }
    /// Nothing was sent for longer than the RTO: RFC 5681 section 4.1.
    void on_idle() noexcept;
    /// What PRR allows.
    void set_cwnd(std::uint64_t bytes) noexcept;

private:
    struct State {
        std::uint64_t cwnd = 0;
        std::uint64_t ssthresh = kUnlimited;
        std::uint64_t w_max = 0;
        std::uint64_t prior_cwnd = 0;  ///< cwnd_prior of section 4.3.
        std::uint64_t w_est = 0;       ///< Section 4.3.
        std::uint64_t w_est_part = 0;  ///< Of one byte of w_est, in 1 / (1000 cwnd).
        std::uint64_t k_ms = 0;
        std::uint64_t credit = 0;  ///< Part of a byte of cwnd, in 1 / cwnd.
        Instant epoch = Instant::never();
    };

    void reduce(std::uint64_t flight_bytes) noexcept;
    void begin_epoch(Instant now) noexcept;
    void avoid_congestion(Instant now, std::uint64_t acked, Duration srtt) noexcept;
    void grow_estimate(std::uint64_t acked) noexcept;
    [[nodiscard]] std::uint64_t target_at(std::uint64_t ms) const noexcept;

    State now_;
    State before_;
    bool has_undo_ = false;
    std::uint64_t mss_ = 536;
    std::uint64_t initial_ = 0;
};

}  // namespace holdfast::netpath::tcp
