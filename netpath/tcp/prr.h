/// Proportional rate reduction, with the slow-start reduction bound. RFC 6937. Bytes. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.h"

namespace holdfast::netpath::tcp {

class Prr {
public:
    /// Fast recovery begins with `flight_bytes` between SND.UNA and SND.NXT.
    void start(std::uint64_t flight_bytes, std::uint64_t ssthresh_bytes) noexcept {
        flight_ = std::max<std::uint64_t>(flight_bytes, 1);
        ssthresh_ = ssthresh_bytes;
        delivered_ = 0;
        out_ = 0;
    }
    /// One ACK delivered `delivered` bytes, cumulatively or by SACK, and leaves `pipe` in flight.
    /// What it gives is the congestion window until the next one.
    [[nodiscard]] std::uint64_t on_ack(std::uint64_t delivered, std::uint64_t pipe,
                                       std::uint64_t mss) noexcept {
        HF_ASSERT(flight_ > 0);
        delivered_ += delivered;
        std::uint64_t count = 0;
        if (pipe > ssthresh_) {
            const std::uint64_t due = (delivered_ * ssthresh_ + flight_ - 1) / flight_;
            count = due > out_ ? due - out_ : 0;
        } else {
            const std::uint64_t owed = delivered_ > out_ ? delivered_ - out_ : 0;
            count = std::min(ssthresh_ - pipe, std::max(owed, delivered) + mss);
        }
        // The fast retransmit itself: section 3, and the first line of the pseudo code of RFC 9937.
        if (out_ == 0) count = std::max(count, mss);
        return pipe + count;
    }
    void on_sent(std::uint64_t bytes) noexcept { out_ += bytes; }

private:
    std::uint64_t flight_ = 1;  // RecoverFS.
    std::uint64_t ssthresh_ = 0;
    std::uint64_t delivered_ = 0;  // prr_delivered.
    std::uint64_t out_ = 0;        // prr_out.
};

}  // namespace holdfast::netpath::tcp
