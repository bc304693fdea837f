// Session: PDUs in. Every number and length is judged here before anything believes it.
#include <algorithm>

#include "base/assert.h"
#include "initiator/scsi/sense.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// Reject 06h: the target takes no more immediate requests for the moment. Resend after this.
constexpr Duration kImmediateAgain = Duration::from_ms(500);

scsi::Residual residual_of(Residual residual) noexcept {
    switch (residual.kind) {
    case ResidualKind::None: return scsi::Residual::None;
    case ResidualKind::Underflow: return scsi::Residual::Underflow;
    case ResidualKind::Overflow: return scsi::Residual::Overflow;
    }
    return scsi::Residual::None;
}

}  // namespace

std::span<std::span<std::byte>> Session::rx_spaces(std::span<std::span<std::byte>> out) noexcept {
    if (stage_ != Stage::LoggingIn && !is_full_feature()) return {};
    return framer_.spaces(out);
}

void Session::rx_filled(Instant now, std::size_t bytes) noexcept {
    if (stage_ != Stage::LoggingIn && !is_full_feature()) return;
    if (bytes == 0) return;
    keep_alive_.on_received(now);
    granted_ = Duration{};
    framer_.filled(bytes);
    take_in(now);
    counters_.command_window = window_.open_count();
    on_departure_progress(now);
}

void Session::take_in(Instant now) noexcept {
    while (stage_ == Stage::LoggingIn || is_full_feature()) {
        const Framed framed = framer_.next();
        record(framed);
        switch (framed) {
        case Framed::NeedsBytes: return;
        case Framed::Header: on_header(now); break;
        case Framed::Pdu: on_pdu(now); break;
        case Framed::HeaderDigestWrong:
            ++counters_.digest_errors;
            note(NoticeKind::DigestError, 0);
            return lose(now, LossReason::HeaderDigest);
        case Framed::DataDigestWrong:
            ++counters_.digest_errors;
            note(NoticeKind::DigestError, 1, u8_at<0>(framer_.header()));
            if (is_sabotaged(Sabotage::IgnoreDataDigest)) {
                on_pdu(now);
                break;
            }
            return lose(now, LossReason::DataDigest);
        case Framed::Violation: return on_violation(now, framer_.violation());
        }
    }
}

/// Each header once, when it is whole.
void Session::record(Framed framed) noexcept {
    using Judged = Recorder::Judged;
    if (framed == Framed::Header)
        return recorder_.on_received(kConn, framer_.header(), digests_, Judged::Good);
    if (framed == Framed::HeaderDigestWrong || framed == Framed::Violation)
        recorder_.on_received(kConn, framer_.header(), digests_, Judged::Broken);
}

void Session::on_violation(Instant now, Violation violation) noexcept {
    ++counters_.violations;
    note(NoticeKind::PeerViolation, static_cast<std::uint64_t>(violation),
         u8_at<0>(framer_.header()));
    lose(now, LossReason::PeerViolation);
}

void Session::on_header(Instant now) noexcept {
    const auto opcode = opcode_of(framer_.header());
    HF_ASSERT(opcode.has_value());  // The framer has judged it.
    if (*opcode == TargetOpcode::DataIn && stage_ != Stage::LoggingIn) {
        if (const auto wrong = place_data_in()) on_violation(now, *wrong);
        return;
    }
    const std::size_t kept = std::min<std::size_t>(framer_.payload_bytes(), control_.size());
    framer_.place_payload(control_.first(kept));
}

/// Decides where a Data-In goes before one byte of it is taken. RFC 7143 section 11.7.
std::optional<Violation> Session::place_data_in() noexcept {
    const auto view = DataInView::parse(framer_.header());
    if (!view) return view.error();
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task == nullptr) {
        if (!is_plausible(view->task_tag())) return Violation::TaskTagUnknown;
        framer_.place_payload({});  // Stale: read and dropped (RED-12).
        return {};
    }
    if (task->direction != DataDirection::Read) return Violation::DataInForWrite;
    if (view->data_sn() != task->next_data_sn) return Violation::DataNumberWrong;
    const std::uint64_t end = std::uint64_t{view->buffer_offset()} + view->data_bytes();
    if (end > task->transfer_bytes) return Violation::DataInBeyondTransfer;
    const bool is_in_order = agreed_.data_pdu_in_order && agreed_.data_sequence_in_order;
    if (is_in_order && view->data_bytes() > 0 &&
        view->buffer_offset() != task->received.contiguous_bytes()) {
        return Violation::DataInOutOfOrder;
    }
    if (!task->received.try_add(view->buffer_offset(), view->data_bytes())) {
        return Violation::DataInOutOfOrder;
    }
    is_receiving_ = true;
    receiving_ = task->index;
    framer_.place_payload(task->in.subspan(view->buffer_offset(), view->data_bytes()));
    return {};
}

void Session::on_pdu(Instant now) noexcept {
    is_receiving_ = false;
    if (stage_ == Stage::LoggingIn) return on_login_pdu(now);
    const auto opcode = opcode_of(framer_.header());
    HF_ASSERT(opcode.has_value());
    if (const auto wrong = dispatch(now, *opcode)) on_violation(now, *wrong);
}

std::optional<Violation> Session::dispatch(Instant now, TargetOpcode opcode) noexcept {
    switch (opcode) {
    case TargetOpcode::DataIn: return on_data_in(now);
    case TargetOpcode::ScsiResponse: return on_scsi_response(now);
    case TargetOpcode::ReadyToTransfer: return on_r2t();
    case TargetOpcode::NopIn: return on_nop_in(now);
    case TargetOpcode::TaskManagementResponse: return on_task_management(now);
    case TargetOpcode::LogoutResponse: return on_logout_response(now);
    case TargetOpcode::AsyncMessage: return on_async(now);
    case TargetOpcode::Reject: return on_reject(now);
    case TargetOpcode::LoginResponse:
    case TargetOpcode::TextResponse: break;  // We sent no request that they could answer.
    }
    return Violation::PhaseWrong;
}

void Session::take_window(const TargetNumbers& numbers) noexcept {
    window_.on_target_numbers(numbers.expected_cmd_sn, numbers.max_cmd_sn);
}

/// A StatSN that counts. At this recovery level a gap cannot be repaired, so it is a violation;
/// an earlier number is a duplicate and its PDU is dropped (STA-05).
Session::StatusTaken Session::take_status(const TargetNumbers& numbers) noexcept {
    switch (status_.order_of(numbers.stat_sn)) {
    case StatusOrder::Due:
        take_window(numbers);
        status_.advance();
        return {.is_due = true};
    case StatusOrder::Seen: return {};
    case StatusOrder::Missing:
    case StatusOrder::Absurd: break;
    }
    return {.violation = Violation::StatusNumberWrong};
}

/// True for a tag that we may have given out: its slot exists. Only those can be stale.
bool Session::is_plausible(Itt itt) const noexcept {
    const std::uint16_t slot = TaskTable::slot_of(itt);
    return slot <= limits_.depth || (slot >= kAuxiliaryFirst && itt != kIttReserved);
}

std::optional<Violation> Session::on_data_in(Instant now) noexcept {
    const auto view = DataInView::parse(framer_.header());
    if (!view) return view.error();
    if (!view->has_status()) {
        take_window(view->numbers());
    } else if (const auto taken = take_status(view->numbers()); !taken.is_due) {
        return taken.violation;
    }
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task == nullptr) return {};
    task->next_data_sn = task->next_data_sn.next();
    if (!view->has_status()) return {};
    const Residual residual = view->residual();
    on_answer(now, *task,
              {.status = static_cast<scsi::Status>(view->status()),
               .residual = residual_of(residual),
               .residual_bytes = residual.count});
    return {};
}

std::optional<Violation> Session::on_scsi_response(Instant now) noexcept {
    const auto view = ScsiResponseView::parse(framer_.header());
    if (!view) return view.error();
    if (!is_plausible(view->task_tag())) return Violation::TaskTagUnknown;
    const auto taken = take_status(view->numbers());
    if (!taken.is_due) return taken.violation;
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task == nullptr) return {};
    // Some targets leave ExpDataSN 0 (RED-02); R2Ts of a write are the target's own business.
    const DataSn counted = view->expected_data_sn();
    const bool is_counted =
        view->is_completed() && task->direction == DataDirection::Read && counted != DataSn{};
    if (is_counted && counted != task->next_data_sn) return Violation::DataNumberWrong;
    const Residual residual = view->residual();
    on_answer(now, *task,
              {.response = view->response(),
               .status = static_cast<scsi::Status>(view->status()),
               .residual = residual_of(residual),
               .residual_bytes = residual.count,
               .data_segment = framer_.placed()});
    return {};
}

/// RFC 7143 section 11.8. What it asks for is bounded by our own command, whatever MaxBurstLength
/// says: a longer one is honoured as it stands (R2T-03).
std::optional<Violation> Session::on_r2t() noexcept {
    const auto view = R2tView::parse(framer_.header());
    if (!view) return view.error();
    take_window(view->numbers());
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task == nullptr) {
        if (!is_plausible(view->task_tag())) return Violation::TaskTagUnknown;
        return {};
    }
    if (task->direction != DataDirection::Write) return Violation::R2tForRead;
    if (view->lun() != config_.lun) return Violation::LunMismatch;
    if (view->r2t_sn().precedes(task->next_r2t_sn)) return {};  // A duplicate (R2T-08).
    if (view->r2t_sn() != task->next_r2t_sn) return Violation::R2tNumberWrong;
    const std::uint64_t end = std::uint64_t{view->buffer_offset()} + view->desired_bytes();
    if (end > task->transfer_bytes) return Violation::R2tBeyondTransfer;
    if (task->r2ts_waiting >= std::min(agreed_.max_outstanding_r2t, kR2tsMax)) {
        return Violation::R2tTooMany;
    }
    ++task->r2ts_waiting;
    task->next_r2t_sn = task->next_r2t_sn.next();
    out_queue_.push({.itt = view->task_tag(),
                     .ttt = view->transfer_tag(),
                     .offset = view->buffer_offset(),
                     .left_bytes = view->desired_bytes()});
    return {};
}

std::optional<Violation> Session::on_nop_in(Instant now) noexcept {
    const auto view = NopInView::parse(framer_.header());
    if (!view) return view.error();
    if (!view->is_answer()) {
        // Its StatSN is announced, not counted. Ahead of ours: a response was lost (NOP-05).
        const StatusOrder order = status_.order_of(view->numbers().stat_sn);
        if (order == StatusOrder::Missing || order == StatusOrder::Absurd) {
            return Violation::StatusNumberWrong;
        }
        take_window(view->numbers());
        if (!view->wants_answer()) return {};
        // A flood is answered as far as the queue goes; the target's own limits judge the rest.
        if (!nop_answers_.try_push({view->transfer_tag(), view->lun()})) ++counters_.violations;
        return {};
    }
    const auto taken = take_status(view->numbers());
    if (!taken.is_due) return taken.violation;
    if (view->task_tag() != ping_itt_ || !keep_alive_.ping_is_out()) return {};
    if (view->data_bytes() != 0) return Violation::PingEchoWrong;  // We sent no data.
    const Duration trip = now - keep_alive_.ping_sent_at();
    counters_.nop_rtt_last_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(trip.ns(), 0));
    counters_.nop_rtt_max_ns = std::max(counters_.nop_rtt_max_ns, counters_.nop_rtt_last_ns);
    keep_alive_.on_ping_over();
    if (stage_ == Stage::Ready) losses_in_row_ = 0;
    return {};
}

std::optional<Violation> Session::on_task_management(Instant now) noexcept {
    const auto view = TaskManagementResponseView::parse(framer_.header());
    if (!view) return view.error();
    const auto taken = take_status(view->numbers());
    if (!taken.is_due) return taken.violation;
    if (rung_ == Rung::None || rung_unsent_ || view->task_tag() != rung_itt_) return {};
    if (view->response() == TaskResponse::FunctionSucceeded) {
        return Violation::TaskResponseNotNegotiated;  // RFC 7144: we never offer level 2.
    }
    note(NoticeKind::TaskManagement, static_cast<std::uint64_t>(function_of(rung_)),
         static_cast<std::uint64_t>(view->response()));
    climb(now, event_of(view->response()));
    return {};
}

std::optional<Violation> Session::on_logout_response(Instant now) noexcept {
    const auto view = LogoutResponseView::parse(framer_.header());
    if (!view) return view.error();
    const auto taken = take_status(view->numbers());
    if (!taken.is_due) return taken.violation;
    if (conn_ != ConnState::InLogout || logout_unsent_ || view->task_tag() != logout_itt_) {
        return Violation::PhaseWrong;
    }
    if (view->result() == LogoutResult::Closed || view->result() == LogoutResult::CidNotFound) {
        on_logged_out();
        return {};
    }
    // Only now its Time2Wait means something at this recovery level (LGO-07).
    time2wait_ = std::max(time2wait_, Duration::from_s(view->time2wait_s()));
    lose(now, LossReason::AsyncLogout);
    return {};
}

std::optional<Violation> Session::on_async(Instant now) noexcept {
    const auto view = AsyncMessageView::parse(framer_.header());
    if (!view) return view.error();
    const auto taken = take_status(view->numbers());
    if (!taken.is_due) return taken.violation;
    note(NoticeKind::AsyncEvent, view->event_code(), view->parameter1());
    switch (view->event()) {
    case AsyncEvent::ScsiEvent: on_scsi_event(now); return {};
    case AsyncEvent::LogoutRequest:
    // We may answer this one with a logout instead of a Text Request (11.9.1): the new login
    // negotiates everything again.
    case AsyncEvent::NegotiationRequest:
        on_logout_asked(now, Duration::from_s(view->parameter3()));
        return {};
    case AsyncEvent::ConnectionDrop:
        if (view->parameter1() != 0) return {};  // Not our only CID.
        [[fallthrough]];
    case AsyncEvent::SessionDrop:
        time2wait_ = Duration::from_s(view->parameter2());
        lose(now, LossReason::AsyncDrop);
        return {};
    case AsyncEvent::TaskTermination: return Violation::AsyncEventNotNegotiated;
    case AsyncEvent::Vendor: return {};
    }
    return {};
}

/// Sense without a command: only news about the unit count.
void Session::on_scsi_event(Instant now) noexcept {
    const auto bytes = scsi::sense_in_response(framer_.placed());
    if (!bytes) return;
    const auto sense = scsi::parse_sense(*bytes);
    if (!sense) return;
    const scsi::Verdict verdict = scsi::verdict_of_sense(*sense, {});
    if (verdict.others_cleared) suspect_others(now);
    const bool is_news = verdict.step == scsi::Step::ReprobeThenRetry;
    if (is_news && stage_ == Stage::Ready && !is_probing_) start_probe(now);
}

std::optional<Violation> Session::on_reject(Instant now) noexcept {
    const auto view = RejectView::parse(framer_.header());
    if (!view) return view.error();
    const auto taken = take_status(view->numbers());
    if (!taken.is_due) return taken.violation;
    if (!view->has_rejected_header()) {
        note(NoticeKind::Rejected, static_cast<std::uint64_t>(view->reason()));
        lose(now, LossReason::Rejected);
        return {};
    }
    const Bhs rejected = framer_.placed().first<kBhsBytes>();
    constexpr std::uint8_t kOpcodeBits = 0x3f;
    const auto opcode = static_cast<InitiatorOpcode>(u8_at<0>(rejected) & kOpcodeBits);
    note(NoticeKind::Rejected, static_cast<std::uint64_t>(view->reason()),
         static_cast<std::uint64_t>(opcode));
    on_rejected(now, view->reason(), opcode, task_tag_of(rejected));
    return {};
}

/// RFC 7143 sections 7.3 and 11.17.1. The CmdSN of a rejected command was not consumed: the hole is
/// closed by a new session, because repairing it belongs to higher recovery levels.
void Session::on_rejected(Instant now, RejectReason reason, InitiatorOpcode opcode,
                          Itt itt) noexcept {
    using enum RejectReason;
    if (reason == TaskInProgress) return;  // Our duplicate; the first one goes on.
    if (reason == WaitingForLogout) {      // Requeued when the connection is gone (ASY-02).
        if (conn_ != ConnState::InLogout) on_logout_asked(now, Duration{});
        return;
    }
    if (opcode == InitiatorOpcode::DataOut && reason == DataDigestError) {
        return;  // The target asks again, or ends the command itself (DIG-12).
    }
    const bool is_later = reason == TooManyImmediateCommands || reason == LongOperation;
    if (is_later && opcode == InitiatorOpcode::NopOut) return keep_alive_.on_ping_over();
    if (opcode == InitiatorOpcode::TaskManagementRequest && itt == rung_itt_ &&
        rung_ != Rung::None) {
        if (is_later) {
            deadlines_.task_management_again = now + kImmediateAgain;
            return;
        }
        if (reason == CommandNotSupported) return climb(now, RungEvent::Refused);
    }
    if (opcode == InitiatorOpcode::ScsiCommand && reason == CommandNotSupported) {
        Task* const task = tasks_.find_sent(itt);
        if (task != nullptr && !tasks_.is_probe(*task)) complete(*task, Outcome::Unsupported);
    }
    lose(now, LossReason::Rejected);
}

}  // namespace holdfast::initiator
