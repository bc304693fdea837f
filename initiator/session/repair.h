/// What one connection asks its target to send again, at error recovery level 1 and above.
/// RFC 7143 sections 7.1.4, 7.8, 7.9 and 11.16.
///
/// Nothing that came too early is kept: what lies beyond a gap is dropped, and everything from the
/// gap on is asked for in one SNACK (RunLength 0). So a gap takes no memory, whatever the peer
/// sends, and what is taken in stays in order. Data first: a status is not acknowledged before its
/// data is in place, because acknowledging it lets the target forget the data.
///
/// A command whose immediate data reached the target broken is rejected, and its CmdSN is a hole:
/// it is sent again as it was (sections 7.2.1 and 7.8).
///
/// Pure. Timer: answer_by, lenient. Limits: kTriesMax SNACKs without progress, kSnacksOfTaskMax for
/// one command, kDataAcksMax acknowledgements and kRejectedMax commands that wait; beyond them the
/// session is dropped, as at level 0, or the acknowledgement left out, which the target asks for
/// again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// One gap: in the statuses of a connection, in the data or R2Ts of a command.
enum class Gap : std::uint8_t {
    None,
    Due,    ///< Its SNACK waits to go out.
    Asked,  ///< Its SNACK is out.
};

/// A Data-In with the A bit was taken in: what goes back. Section 11.16.2.
struct DataAck {
    Itt itt{};
    Ttt ttt{};
    Lun lun{};
    DataSn next{};  ///< The first DataSN that is not acknowledged.
};

struct Repair {
    static constexpr std::uint8_t kTriesMax = 4;
    static constexpr std::uint8_t kSnacksOfTaskMax = 8;
    static constexpr std::size_t kDataAcksMax = 16;
    static constexpr std::size_t kRejectedMax = 64;

    /// Statuses in front of `until` exist and were not taken. `is_first` says that the one that is
    /// due has just been dropped, so that an earlier SNACK did not help. False: too many tries.
    [[nodiscard]] bool on_status_missing(StatSn until, bool is_first) noexcept {
        if (status == Gap::None || status_until.precedes(until)) status_until = until;
        const bool is_new = status == Gap::None || (status == Gap::Asked && is_first);
        return !is_new || try_again();
    }
    /// The SNACK for statuses must go out again. False: too many tries.
    [[nodiscard]] bool try_again() noexcept {
        status = Gap::Due;
        return ++status_tries <= kTriesMax;
    }
    /// The status that was due was taken; `expected` is due now.
    void on_status_taken(StatSn expected) noexcept {
        status_tries = 0;
        if (status != Gap::None) is_unanswered = false;
        if (status_until.precedes_or_is(expected)) status = Gap::None;
    }

    Gap status = Gap::None;
    StatSn status_until{};  ///< One beyond the newest status that is known to exist.
    std::uint8_t status_tries = 0;
    bool has_data_gaps = false;  ///< Some command of the connection may have one.
    bool is_unanswered = false;  ///< A SNACK is out, and nothing came of it so far.
    FixedQueue<DataAck, kDataAcksMax> data_acks;
    FixedQueue<Itt, kRejectedMax> rejected;  ///< To be sent again as they were.
    Instant answer_by = Instant::never();    ///< What was asked for is asked for again.
};

}  // namespace holdfast::initiator
