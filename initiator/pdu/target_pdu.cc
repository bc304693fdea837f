#include "initiator/pdu/target_pdu.h"

#include <optional>

namespace holdfast::initiator {

namespace {

/// What is common to all views; empty when nothing is wrong.
std::optional<Violation> judge_head(Bhs bhs, TargetOpcode due) noexcept {
    const auto opcode = opcode_of(bhs);
    if (!opcode) return opcode.error();
    if (*opcode != due) return Violation::OpcodeUnexpected;
    return {};
}

/// The same for a PDU that answers a task of ours.
std::optional<Violation> judge_task_head(Bhs bhs, TargetOpcode due) noexcept {
    if (const auto wrong = judge_head(bhs, due)) return wrong;
    if (task_tag_of(bhs) == kIttReserved) return Violation::TaskTagReserved;
    return {};
}

/// O and U, which stand at the same bits of a SCSI Response and of a Data-In. Section 11.4.1.
constexpr std::uint8_t kOverflowBit = 0x04;
constexpr std::uint8_t kUnderflowBit = 0x02;
/// o and u of a SCSI Response.
constexpr std::uint8_t kReadOverflowBit = 0x10;
constexpr std::uint8_t kReadUnderflowBit = 0x08;

bool has_both(std::uint8_t flags, std::uint8_t a, std::uint8_t b) noexcept {
    return (flags & a) != 0 && (flags & b) != 0;
}

Residual residual_from(std::uint8_t overflow, std::uint8_t underflow,
                       std::uint32_t count) noexcept {
    if (overflow != 0) return {ResidualKind::Overflow, count};
    if (underflow != 0) return {ResidualKind::Underflow, count};
    return {};
}

bool wraps(std::uint32_t offset, std::uint32_t length) noexcept {
    return std::uint64_t{offset} + length > 0xffff'ffffULL;
}

}  // namespace

std::expected<ScsiResponseView, Violation> ScsiResponseView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_task_head(bhs, TargetOpcode::ScsiResponse)) {
        return std::unexpected{*wrong};
    }
    const ScsiResponseView view{bhs};
    if (view.response() >= 0x02 && view.response() <= 0x7f) {
        return std::unexpected{Violation::ResponseCodeReserved};
    }
    if (!view.is_completed()) return view;  // 11.4.3: status and flags MUST be ignored.
    const std::uint8_t flags = u8_at<1>(bhs);
    if (has_both(flags, kOverflowBit, kUnderflowBit) ||
        has_both(flags, kReadOverflowBit, kReadUnderflowBit)) {
        return std::unexpected{Violation::ResidualBothWays};
    }
    constexpr std::uint32_t kSenseLengthBytes = 2;
    if (view.status() == ScsiStatus::CheckCondition && view.data_bytes() < kSenseLengthBytes) {
        return std::unexpected{Violation::CheckConditionWithoutSense};
    }
    return view;
}

ScsiStatus ScsiResponseView::status() const noexcept {
    return is_completed() ? static_cast<ScsiStatus>(u8_at<3>(bhs_)) : ScsiStatus::Good;
}

Residual ScsiResponseView::residual() const noexcept {
    if (!is_completed()) return {};
    const std::uint8_t flags = u8_at<1>(bhs_);
    return residual_from(flags & kOverflowBit, flags & kUnderflowBit, be32_at<44>(bhs_));
}

Residual ScsiResponseView::bidirectional_read_residual() const noexcept {
    if (!is_completed()) return {};
    const std::uint8_t flags = u8_at<1>(bhs_);
    return residual_from(flags & kReadOverflowBit, flags & kReadUnderflowBit, be32_at<40>(bhs_));
}

std::expected<TaskManagementResponseView, Violation> TaskManagementResponseView::parse(
    Bhs bhs) noexcept {
    if (const auto wrong = judge_task_head(bhs, TargetOpcode::TaskManagementResponse)) {
        return std::unexpected{*wrong};
    }
    const TaskManagementResponseView view{bhs};
    const std::uint8_t code = u8_at<2>(bhs);
    if (code > 7 && code != 255) return std::unexpected{Violation::TaskResponseReserved};
    if (data_segment_bytes(bhs) != 0) return std::unexpected{Violation::DataNotAllowed};
    return view;
}

std::expected<LoginResponseView, Violation> LoginResponseView::parse(Bhs bhs) noexcept {
    using enum LoginStage;
    if (const auto wrong = judge_head(bhs, TargetOpcode::LoginResponse)) {
        return std::unexpected{*wrong};
    }
    const LoginResponseView view{bhs};
    if (u8_at<36>(bhs) > 3) return std::unexpected{Violation::LoginStatusReserved};
    if (view.status_class() != LoginStatusClass::Success) return view;
    if (view.status_detail() != 0) return std::unexpected{Violation::LoginStatusReserved};
    if (view.is_transit() && view.is_continued()) {
        return std::unexpected{Violation::LoginTransitWithContinue};
    }
    const LoginStage current = view.current_stage();
    if (current != Security && current != Operational) {
        return std::unexpected{Violation::LoginStageReserved};
    }
    if (!view.is_transit()) return view;
    const LoginStage next = view.next_stage();
    if (next != Security && next != Operational && next != FullFeature) {
        return std::unexpected{Violation::LoginStageReserved};
    }
    if (next <= current) return std::unexpected{Violation::LoginStageBackwards};
    return view;
}

std::expected<TextResponseView, Violation> TextResponseView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_task_head(bhs, TargetOpcode::TextResponse)) {
        return std::unexpected{*wrong};
    }
    const TextResponseView view{bhs};
    if (view.is_final() && view.is_continued()) {
        return std::unexpected{Violation::TextFinalWithContinue};
    }
    if (!view.is_final() && view.transfer_tag() == kTttReserved) {
        return std::unexpected{Violation::TextPartialWithoutTag};
    }
    return view;
}

std::expected<DataInView, Violation> DataInView::parse(Bhs bhs) noexcept {
    using enum ScsiStatus;
    if (const auto wrong = judge_task_head(bhs, TargetOpcode::DataIn)) {
        return std::unexpected{*wrong};
    }
    const DataInView view{bhs};
    if (wraps(view.buffer_offset(), view.data_bytes())) {
        return std::unexpected{Violation::DataInOffsetWraps};
    }
    if (!view.has_status()) return view;
    if (!view.is_final()) return std::unexpected{Violation::DataInStatusWithoutFinal};
    if (has_both(u8_at<1>(bhs), kOverflowBit, kUnderflowBit)) {
        return std::unexpected{Violation::ResidualBothWays};
    }
    const ScsiStatus status = view.status();
    const bool good = status == Good || status == ConditionMet || status == Intermediate ||
                      status == IntermediateConditionMet;
    if (!good) return std::unexpected{Violation::DataInStatusNotGood};
    return view;
}

Residual DataInView::residual() const noexcept {
    if (!has_status()) return {};
    const std::uint8_t flags = u8_at<1>(bhs_);
    return residual_from(flags & kOverflowBit, flags & kUnderflowBit, be32_at<44>(bhs_));
}

std::expected<LogoutResponseView, Violation> LogoutResponseView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_task_head(bhs, TargetOpcode::LogoutResponse)) {
        return std::unexpected{*wrong};
    }
    if (u8_at<2>(bhs) > 3) return std::unexpected{Violation::LogoutResponseReserved};
    if (data_segment_bytes(bhs) != 0) return std::unexpected{Violation::DataNotAllowed};
    return LogoutResponseView{bhs};
}

std::expected<R2tView, Violation> R2tView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_task_head(bhs, TargetOpcode::ReadyToTransfer)) {
        return std::unexpected{*wrong};
    }
    const R2tView view{bhs};
    if (data_segment_bytes(bhs) != 0) return std::unexpected{Violation::DataNotAllowed};
    if (view.transfer_tag() == kTttReserved) {
        return std::unexpected{Violation::R2tWithoutTransferTag};
    }
    if (view.desired_bytes() == 0) return std::unexpected{Violation::R2tWantsNothing};
    if (wraps(view.buffer_offset(), view.desired_bytes())) {
        return std::unexpected{Violation::R2tOffsetWraps};
    }
    return view;
}

std::expected<AsyncMessageView, Violation> AsyncMessageView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_head(bhs, TargetOpcode::AsyncMessage)) {
        return std::unexpected{*wrong};
    }
    const AsyncMessageView view{bhs};
    const std::uint8_t code = view.event_code();
    if (code > 5 && code < 248) return std::unexpected{Violation::AsyncEventUnassigned};
    return view;
}

AsyncEvent AsyncMessageView::event() const noexcept {
    const std::uint8_t code = event_code();
    return code >= 248 ? AsyncEvent::Vendor : static_cast<AsyncEvent>(code);
}

std::expected<RejectView, Violation> RejectView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_head(bhs, TargetOpcode::Reject)) return std::unexpected{*wrong};
    const std::uint8_t reason = u8_at<2>(bhs);
    if (reason < 0x02 || reason > 0x0c) return std::unexpected{Violation::RejectReasonReserved};
    return RejectView{bhs};
}

std::expected<NopInView, Violation> NopInView::parse(Bhs bhs) noexcept {
    if (const auto wrong = judge_head(bhs, TargetOpcode::NopIn)) return std::unexpected{*wrong};
    const NopInView view{bhs};
    if (view.is_answer() && view.wants_answer()) return std::unexpected{Violation::NopInBothTags};
    if (!view.is_answer() && view.data_bytes() != 0) {
        return std::unexpected{Violation::NopInUnsolicitedData};
    }
    return view;
}

}  // namespace holdfast::initiator
