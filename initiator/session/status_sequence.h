/// StatSN of one connection: what arrived, and what we acknowledge. RFC 7143 section 4.2.2.2.
/// Pure; no timers.
#pragma once

#include <cstdint>

#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// How a StatSN stands to the one that is due.
enum class StatusOrder : std::uint8_t {
    Due,      ///< The next one.
    Seen,     ///< An earlier one: a duplicate, to be discarded (STA-05).
    Missing,  ///< Later ones: at least one response was lost (STA-05).
    Absurd,   ///< Further away than kStatusSpreadMax (STA-06).
};

/// A target that is further ahead or behind than this has lost count. RFC 7143 asks for some
/// constant below 2^31; responses in flight never come near it.
inline constexpr std::uint32_t kStatusSpreadMax = 1U << 16;

class StatusSequence {
public:
    /// `next` is the number after that of the last login response. Any value is legal (LOG-09).
    constexpr void start(StatSn next) noexcept { due_ = next; }

    [[nodiscard]] constexpr StatusOrder order_of(StatSn got) const noexcept {
        if (got == due_) return StatusOrder::Due;
        if (due_.precedes(got)) {
            return got.since(due_) <= kStatusSpreadMax ? StatusOrder::Missing : StatusOrder::Absurd;
        }
        return due_.since(got) <= kStatusSpreadMax ? StatusOrder::Seen : StatusOrder::Absurd;
    }
    /// The due one was taken in, and all data that belongs to it is in place (STA-04).
    constexpr void advance() noexcept { due_ = due_.next(); }
    /// What every PDU of ours carries as ExpStatSN.
    [[nodiscard]] constexpr StatSn expected() const noexcept { return due_; }

private:
    StatSn due_;
};

}  // namespace holdfast::initiator
