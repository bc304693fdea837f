/// One Text Request and what follows from it, in full feature phase. RFC 7143 sections 6.4, 11.10
/// and 11.11. Our text always fits one request, so each request has F=1 and C=0.
///
/// Timers: none; the caller bounds the time, counts the answers it is ready to take, and forgets
/// the exchange when its connection fails: a text task is never reassigned (TXT-07).
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "initiator/pdu/initiator_pdu.h"
#include "initiator/pdu/target_pdu.h"
#include "initiator/pdu/types.h"
#include "initiator/pdu/violation.h"

namespace holdfast::initiator {

/// What follows a Text Response.
enum class TextStep : std::uint8_t {
    SendNext,       ///< The target has more to say: next_request(), with answers or empty.
    SendNextEmpty,  ///< Its text continues (C=1): next_request() without data.
    Done,           ///< The exchange is over.
};

/// See the file comment.
class TextExchange {
public:
    TextExchange(Itt itt, Delivery delivery) noexcept : itt_(itt), delivery_(delivery) {}

    /// The header of the next request; the first opens a new negotiation (TTT reserved), the others
    /// carry the target's tag and LUN back. `data_bytes` is at most the target's
    /// MaxRecvDataSegmentLength. One request is outstanding at most.
    void next_request(BhsOut out, CmdSn cmd_sn, StatSn expected_stat_sn,
                      std::uint32_t data_bytes) noexcept;

    /// Judges the response; its data belongs to the caller.
    [[nodiscard]] std::expected<TextStep, Violation> on_response(
        const TextResponseView& response) noexcept;

    [[nodiscard]] bool is_outstanding() const noexcept { return is_outstanding_; }

private:
    Itt itt_;
    Delivery delivery_;
    Ttt ttt_ = kTttReserved;
    Lun lun_{};
    bool is_outstanding_ = false;
    bool must_be_empty_ = false;
};

}  // namespace holdfast::initiator
