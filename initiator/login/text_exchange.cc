#include "initiator/login/text_exchange.h"

#include "base/assert.h"

namespace holdfast::initiator {

void TextExchange::next_request(BhsOut out, CmdSn cmd_sn, StatSn expected_stat_sn,
                                std::uint32_t data_bytes) noexcept {
    HF_ASSERT(!is_outstanding_);
    HF_ASSERT(!must_be_empty_ || data_bytes == 0);
    write(out, TextRequestHeader{.delivery = delivery_,
                                 .is_final = true,
                                 .lun = lun_,
                                 .itt = itt_,
                                 .ttt = ttt_,
                                 .cmd_sn = cmd_sn,
                                 .expected_stat_sn = expected_stat_sn,
                                 .data_bytes = data_bytes});
    is_outstanding_ = true;
}

std::expected<TextStep, Violation> TextExchange::on_response(
    const TextResponseView& response) noexcept {
    if (!is_outstanding_) return std::unexpected{Violation::TextAnswerUnexpected};
    if (response.task_tag() != itt_) return std::unexpected{Violation::TaskTagUnknown};
    is_outstanding_ = false;
    if (response.is_final()) {
        ttt_ = kTttReserved;
        return TextStep::Done;
    }
    ttt_ = response.transfer_tag();
    lun_ = response.lun();
    must_be_empty_ = response.is_continued();
    return must_be_empty_ ? TextStep::SendNextEmpty : TextStep::SendNext;
}

}  // namespace holdfast::initiator
