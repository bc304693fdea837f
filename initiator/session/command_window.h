/// How many commands the target lets us send. RFC 7143 section 4.2.2.1.
/// Pure; no timers. One window for the session, fed from every connection.
#pragma once

#include <cstdint>

#include "base/assert.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// CmdSN, ExpCmdSN and MaxCmdSN as the initiator keeps them. A command gets its number when it goes
/// out and not before, so a request that is cancelled while it waits leaves no hole (SEQ-10), and a
/// number once given never changes (SEQ-09).
class CommandWindow {
public:
    /// A new session: `first` is the CmdSN of the leading login and of the first command after it.
    constexpr void start(CmdSn first) noexcept {
        next_ = first;
        expected_ = first;
        max_ = first.plus(~0U);
    }

    /// Takes the pair that every target PDU carries. Old or absurd pairs change nothing, because
    /// they may arrive late or on another connection. An ExpCmdSN beyond what we have sent is
    /// absurd too.
    constexpr void on_target_numbers(CmdSn expected, CmdSn max) noexcept {
        const CmdSn max_smallest_legal = expected.plus(~0U);  // ExpCmdSN - 1: a closed window.
        if (max.precedes(max_smallest_legal)) return;
        if (max_.precedes(max)) max_ = max;
        if (expected_.precedes(expected) && expected.precedes_or_is(next_)) expected_ = expected;
    }

    /// A closed window blocks commands; immediate ones may pass (SEQ-05).
    [[nodiscard]] constexpr bool is_open() const noexcept { return next_.precedes_or_is(max_); }
    /// Commands the target would take now.
    [[nodiscard]] constexpr std::uint32_t open_count() const noexcept {
        return is_open() ? max_.since(next_) + 1 : 0;
    }
    /// The number for a command that goes out now. Only while open.
    [[nodiscard]] constexpr CmdSn take() noexcept {
        HF_ASSERT(is_open());
        const CmdSn taken = next_;
        next_ = next_.next();
        return taken;
    }
    /// What an immediate PDU carries: the current number, not consumed (SEQ-01).
    [[nodiscard]] constexpr CmdSn current() const noexcept { return next_; }
    /// The first number that the target has not acknowledged.
    [[nodiscard]] constexpr CmdSn expected() const noexcept { return expected_; }
    [[nodiscard]] constexpr CmdSn max() const noexcept { return max_; }

private:
    CmdSn next_;
    CmdSn expected_;
    CmdSn max_{~0U};
};

}  // namespace holdfast::initiator
