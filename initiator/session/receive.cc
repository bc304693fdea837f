// Session: PDUs in. Every number and length is judged here before anything believes it.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "initiator/scsi/sense.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// Reject 06h: the target takes no more immediate requests for the moment. Resend after this.
constexpr Duration kImmediateAgain = Duration::from_ms(500);

}  // namespace

std::span<std::span<std::byte>> Session::rx_spaces(Connection& conn,
                                                   std::span<std::span<std::byte>> out) noexcept {
    if (!conn.listens()) return {};
    return conn.framer.spaces(out);
}

void Session::rx_filled(Connection& conn, Instant now, std::size_t bytes) noexcept {
    if (!conn.listens()) return;
    if (bytes == 0) return;
    conn.keep_alive.on_received(now);
    granted_ = Duration{};
    conn.framer.filled(bytes);
    take_in(conn, now);
    counters_.command_window = window_.open_count();
    on_departure_progress(now);
}

void Session::take_in(Connection& conn, Instant now) noexcept {
    while (conn.listens()) {
        const Framed framed = conn.framer.next();
        record(conn, framed);
        switch (framed) {
        case Framed::NeedsBytes: return;
        case Framed::Header: on_header(conn, now); break;
        case Framed::Pdu: on_pdu(conn, now); break;
        case Framed::HeaderDigestWrong:
            ++counters_.digest_errors;
            note(NoticeKind::DigestError, 0);
            return lose_connection(conn, now, LossReason::HeaderDigest);
        case Framed::DataDigestWrong:
            ++counters_.digest_errors;
            note(NoticeKind::DigestError, 1, u8_at<0>(conn.framer.header()));
            if (is_sabotaged(Sabotage::IgnoreDataDigest)) {
                on_pdu(conn, now);
                break;
            }
            if (!may_repair(conn)) return lose(now, LossReason::DataDigest);
            on_discarded(conn, now);
            break;
        case Framed::Violation: return on_violation(conn, now, conn.framer.violation());
        }
    }
}

/// Each header once, when it is whole.
void Session::record(const Connection& conn, Framed framed) noexcept {
    using Judged = Recorder::Judged;
    if (framed == Framed::Header)
        return recorder_.on_received(conn.index.raw(), conn.framer.header(), conn.digests,
                                     Judged::Good);
    if (framed == Framed::HeaderDigestWrong || framed == Framed::Violation)
        recorder_.on_received(conn.index.raw(), conn.framer.header(), conn.digests, Judged::Broken);
}

void Session::on_violation(Connection& conn, Instant now, Violation violation) noexcept {
    ++counters_.violations;
    note(NoticeKind::PeerViolation, static_cast<std::uint64_t>(violation),
         u8_at<0>(conn.framer.header()));
    lose(now, LossReason::PeerViolation);
}

void Session::on_header(Connection& conn, Instant now) noexcept {
    const auto opcode = opcode_of(conn.framer.header());
    HF_ASSERT(opcode.has_value());  // The framer has judged it.
    if (*opcode == TargetOpcode::DataIn && conn.state != ConnState::InLogin) {
        if (const auto wrong = place_data_in(conn)) on_violation(conn, now, *wrong);
        return;
    }
    const std::size_t kept =
        std::min<std::size_t>(conn.framer.payload_bytes(), conn.control.size());
    conn.framer.place_payload(conn.control.first(kept));
}

void Session::on_pdu(Connection& conn, Instant now) noexcept {
    conn.receiving.reset();
    if (conn.state == ConnState::InLogin) return on_login_pdu(conn, now);
    const auto opcode = opcode_of(conn.framer.header());
    HF_ASSERT(opcode.has_value());
    if (const auto wrong = dispatch(conn, now, *opcode)) on_violation(conn, now, *wrong);
}

std::optional<Violation> Session::dispatch(Connection& conn, Instant now,
                                           TargetOpcode opcode) noexcept {
    switch (opcode) {
    case TargetOpcode::DataIn: return on_data_in(conn, now);
    case TargetOpcode::ScsiResponse: return on_scsi_response(conn, now);
    case TargetOpcode::ReadyToTransfer: return on_r2t(conn, now);
    case TargetOpcode::NopIn: return on_nop_in(conn, now);
    case TargetOpcode::TaskManagementResponse: return on_task_management(conn, now);
    case TargetOpcode::LogoutResponse: return on_logout_response(conn, now);
    case TargetOpcode::AsyncMessage: return on_async(conn, now);
    case TargetOpcode::Reject: return on_reject(conn, now);
    case TargetOpcode::LoginResponse:
    case TargetOpcode::TextResponse: break;  // We sent no request that they could answer.
    }
    return Violation::PhaseWrong;
}

void Session::take_window(const TargetNumbers& numbers) noexcept {
    window_.on_target_numbers(numbers.expected_cmd_sn, numbers.max_cmd_sn);
}

/// A StatSN that counts. An earlier number is a duplicate and its PDU is dropped; a gap is asked
/// for again, or a violation where the recovery level has no means for that (STA-05).
Session::StatusTaken Session::take_status(Connection& conn, Instant now,
                                          const TargetNumbers& numbers) noexcept {
    switch (conn.status.order_of(numbers.stat_sn)) {
    case StatusOrder::Due:
        take_window(numbers);
        conn.status.advance();
        conn.repair.on_status_taken(conn.status.expected());
        return {.is_due = true};
    case StatusOrder::Seen: return {};
    case StatusOrder::Missing:
        if (!may_repair(conn)) break;
        take_window(numbers);
        ask_for_status(conn, now, numbers.stat_sn.next(), false);
        return {};
    case StatusOrder::Absurd: break;
    }
    return {.violation = Violation::StatusNumberWrong};
}

/// True for a tag that we may have given out: its slot exists. Only those can be stale.
bool Session::is_plausible(Itt itt) const noexcept {
    const std::uint16_t slot = TaskTable::slot_of(itt);
    return tasks_.is_slot(slot) || (slot >= kAuxiliaryFirst && itt != kIttReserved);
}

/// An answer to a ping or to a task management function must not name a command, nor what we never
/// gave out. RFC 7143 section 4.2.5.3. A stale tag of ours passes.
std::optional<Violation> Session::judge_auxiliary_tag(Itt itt) const noexcept {
    if (!is_plausible(itt)) return Violation::TaskTagUnknown;
    if (TaskTable::slot_of(itt) < kAuxiliaryFirst) return Violation::TaskWrongKind;
    return {};
}

std::optional<Violation> Session::on_scsi_response(Connection& conn, Instant now) noexcept {
    const auto view = ScsiResponseView::parse(conn.framer.header());
    if (!view) return view.error();
    if (!is_plausible(view->task_tag())) return Violation::TaskTagUnknown;
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task != nullptr && !task->is_allegiant_to(conn.index.raw())) {
        return Violation::TaskWrongConnection;
    }
    // Some targets leave ExpDataSN 0 (RED-02); R2Ts of a write are the target's own business.
    const DataSn counted = view->expected_data_sn();
    const EarlyStatus early{.stat_sn = view->numbers().stat_sn,
                            .data_count = counted,
                            .is_good = view->is_completed() && view->status() == ScsiStatus::Good};
    if (task != nullptr && is_status_early(conn, now, *task, early)) return {};
    const auto taken = take_status(conn, now, view->numbers());
    if (!taken.is_due) return taken.violation;
    if (task == nullptr) return {};
    const bool is_counted = view->is_completed() && task->direction == DataDirection::Read &&
                            counted != DataSn{} && task->gap == Gap::None;
    if (is_counted && counted != task->next_data_sn) return Violation::DataNumberWrong;
    const Residual residual = view->residual();
    on_answer(now, *task,
              {.response = view->response(),
               .status = static_cast<scsi::Status>(view->status()),
               .residual = residual_of(residual),
               .residual_bytes = residual.count,
               .data_segment = conn.framer.placed()});
    return {};
}

/// RFC 7143 section 11.8. What it asks for is bounded by our own command, whatever MaxBurstLength
/// says: a longer one is honoured as it stands (R2T-03).
std::optional<Violation> Session::on_r2t(Connection& conn, Instant now) noexcept {
    const auto view = R2tView::parse(conn.framer.header());
    if (!view) return view.error();
    take_window(view->numbers());
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task == nullptr) {
        if (!is_plausible(view->task_tag())) return Violation::TaskTagUnknown;
        return {};
    }
    if (!task->is_allegiant_to(conn.index.raw())) return Violation::TaskWrongConnection;
    if (task->direction != DataDirection::Write) return Violation::R2tForRead;
    if (view->lun() != config_.lun) return Violation::LunMismatch;
    if (std::exchange(task->renumbers_r2t, false)) task->next_r2t_sn = view->r2t_sn();
    switch (place_of(view->r2t_sn().raw(), task->next_r2t_sn.raw())) {
    case Place::Due: task->gap = Gap::None; break;
    case Place::Seen:  // A duplicate (R2T-08).
        if (is_sabotaged(Sabotage::R2tTwice)) break;
        return {};
    case Place::Ahead:
        if (!may_repair(conn)) return Violation::R2tNumberWrong;
        if (task->gap == Gap::None) ask_for_task(conn, now, *task);
        return {};
    case Place::Absurd: return Violation::R2tNumberWrong;
    }
    const std::uint64_t end = std::uint64_t{view->buffer_offset()} + view->desired_bytes();
    if (end > task->transfer_bytes) return Violation::R2tBeyondTransfer;
    if (task->r2ts_waiting >= std::min(agreed_.max_outstanding_r2t, kR2tsMax)) {
        return Violation::R2tTooMany;
    }
    ++task->r2ts_waiting;
    task->next_r2t_sn = task->next_r2t_sn.next();
    Connection& its = is_sabotaged(Sabotage::StrayData) ? leading() : conn;
    its.out_queue.push({.itt = view->task_tag(),
                        .ttt = view->transfer_tag(),
                        .offset = view->buffer_offset(),
                        .left_bytes = view->desired_bytes()});
    return {};
}

std::optional<Violation> Session::on_nop_in(Connection& conn, Instant now) noexcept {
    const auto view = NopInView::parse(conn.framer.header());
    if (!view) return view.error();
    if (!view->is_answer()) {
        // Its StatSN is announced, not counted. Ahead of ours: a response was lost (NOP-05).
        const StatusOrder order = conn.status.order_of(view->numbers().stat_sn);
        const bool is_ahead = order == StatusOrder::Missing;
        if (order == StatusOrder::Absurd || (is_ahead && !may_repair(conn))) {
            return Violation::StatusNumberWrong;
        }
        if (is_ahead) ask_for_status(conn, now, view->numbers().stat_sn, false);
        take_window(view->numbers());
        if (!view->wants_answer()) return {};
        // A flood is answered as far as the queue goes; the target's own limits judge the rest.
        const bool is_kept = !is_denied(Pool::NopAnswers) &&
                             conn.nop_answers.try_push({view->transfer_tag(), view->lun()});
        if (!is_kept) ++counters_.violations;
        return {};
    }
    if (const auto wrong = judge_auxiliary_tag(view->task_tag())) return wrong;
    const auto taken = take_status(conn, now, view->numbers());
    if (!taken.is_due) return taken.violation;
    if (view->task_tag() != conn.ping_itt || !conn.keep_alive.ping_is_out()) return {};
    if (view->data_bytes() != 0) return Violation::PingEchoWrong;  // We sent no data.
    const Duration trip = now - conn.keep_alive.ping_sent_at();
    counters_.nop_rtt_last_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(trip.ns(), 0));
    counters_.nop_rtt_max_ns = std::max(counters_.nop_rtt_max_ns, counters_.nop_rtt_last_ns);
    conn.keep_alive.on_ping_over();
    if (stage_ == Stage::Ready) losses_in_row_ = 0;
    return {};
}

std::optional<Violation> Session::on_task_management(Connection& conn, Instant now) noexcept {
    const auto view = TaskManagementResponseView::parse(conn.framer.header());
    if (!view) return view.error();
    if (const auto wrong = judge_auxiliary_tag(view->task_tag())) return wrong;
    const auto taken = take_status(conn, now, view->numbers());
    if (!taken.is_due) return taken.violation;
    if (Task* const task = find_asked(conn, view->task_tag())) {
        on_reassign_answer(conn, now, *task, view->response());
        return {};
    }
    if (rung_ == Rung::None || rung_unsent_ || view->task_tag() != rung_itt_) return {};
    if (view->response() == TaskResponse::FunctionSucceeded) {
        return Violation::TaskResponseNotNegotiated;  // RFC 7144: we never offer level 2.
    }
    note(NoticeKind::TaskManagement, static_cast<std::uint64_t>(function_of(rung_)),
         static_cast<std::uint64_t>(view->response()));
    climb(now, event_of(view->response()));
    return {};
}

std::optional<Violation> Session::on_logout_response(Connection& conn, Instant now) noexcept {
    const auto view = LogoutResponseView::parse(conn.framer.header());
    if (!view) return view.error();
    const auto taken = take_status(conn, now, view->numbers());
    if (!taken.is_due) return taken.violation;
    if (on_recovery_logout(conn, now, view->task_tag(), view->result())) return {};
    if (conn.state != ConnState::InLogout || conn.is_logout_unsent ||
        view->task_tag() != conn.logout_itt) {
        return Violation::PhaseWrong;
    }
    if (view->result() == LogoutResult::Closed || view->result() == LogoutResult::CidNotFound) {
        on_logged_out(conn);
        return {};
    }
    // Only now its Time2Wait means something at this recovery level (LGO-07).
    time2wait_ = std::max(time2wait_, Duration::from_s(view->time2wait_s()));
    lose(now, LossReason::AsyncLogout);
    return {};
}

std::optional<Violation> Session::on_async(Connection& conn, Instant now) noexcept {
    const auto view = AsyncMessageView::parse(conn.framer.header());
    if (!view) return view.error();
    const auto taken = take_status(conn, now, view->numbers());
    if (!taken.is_due) return taken.violation;
    note(NoticeKind::AsyncEvent, view->event_code(), view->parameter1());
    switch (view->event()) {
    case AsyncEvent::ScsiEvent: on_scsi_event(conn, now); return {};
    case AsyncEvent::LogoutRequest:
    // We may answer this one with a logout instead of a Text Request (11.9.1): the new login
    // negotiates everything again.
    case AsyncEvent::NegotiationRequest:
        on_logout_asked(conn, now, Duration::from_s(view->parameter3()));
        return {};
    case AsyncEvent::ConnectionDrop:
        if (is_in_use(Cid{view->parameter1()})) {
            on_drop_announced(Cid{view->parameter1()}, now,
                              {.wait = Duration::from_s(view->parameter2()),
                               .retain = Duration::from_s(view->parameter3())});
        }
        return {};
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
void Session::on_scsi_event(const Connection& conn, Instant now) noexcept {
    const auto bytes = scsi::sense_in_response(conn.framer.placed());
    if (!bytes) return;
    const auto sense = scsi::parse_sense(*bytes);
    if (!sense) return;
    const scsi::Verdict verdict = scsi::verdict_of_sense(*sense, {});
    if (verdict.others_cleared) suspect_others(now);
    const bool is_news = verdict.step == scsi::Step::ReprobeThenRetry;
    if (is_news && stage_ == Stage::Ready && !is_probing_) start_probe(now);
}

std::optional<Violation> Session::on_reject(Connection& conn, Instant now) noexcept {
    const auto view = RejectView::parse(conn.framer.header());
    if (!view) return view.error();
    constexpr std::uint8_t kOpcodeBits = 0x3f;
    auto opcode = InitiatorOpcode::NopOut;
    Itt itt = kIttReserved;
    if (view->has_rejected_header()) {
        const Bhs rejected = conn.framer.placed().first<kBhsBytes>();
        opcode = static_cast<InitiatorOpcode>(u8_at<0>(rejected) & kOpcodeBits);
        itt = task_tag_of(rejected);
    }
    // The Reject of a SNACK stands behind the very gap that the SNACK spoke of.
    const bool is_early = opcode == InitiatorOpcode::SnackRequest && may_repair(conn) &&
                          conn.status.order_of(view->numbers().stat_sn) == StatusOrder::Missing;
    if (!is_early) {
        const auto taken = take_status(conn, now, view->numbers());
        if (!taken.is_due) return taken.violation;
    }
    if (!view->has_rejected_header()) {
        note(NoticeKind::Rejected, static_cast<std::uint64_t>(view->reason()));
        lose(now, LossReason::Rejected);
        return {};
    }
    note(NoticeKind::Rejected, static_cast<std::uint64_t>(view->reason()),
         static_cast<std::uint64_t>(opcode));
    on_rejected(conn, now, view->reason(), opcode, itt);
    return {};
}

/// RFC 7143 sections 7.3 and 11.17.1. The CmdSN of a rejected command was not consumed: the hole is
/// closed by a new session, but for what repair.h says.
void Session::on_rejected(Connection& conn, Instant now, RejectReason reason,
                          InitiatorOpcode opcode, Itt itt) noexcept {
    using enum RejectReason;
    if (reason == TaskInProgress) return;  // Our duplicate; the first one goes on.
    if (reason == WaitingForLogout) {      // Requeued when the connection is gone (ASY-02).
        if (conn.state != ConnState::InLogout) on_logout_asked(conn, now, Duration{});
        return;
    }
    if (opcode == InitiatorOpcode::DataOut && reason == DataDigestError) {
        return;  // The target asks again, or ends the command itself (DIG-12).
    }
    if (opcode == InitiatorOpcode::ScsiCommand && reason == DataDigestError) {
        if (takes_back(conn, itt)) return;
    }
    if (opcode == InitiatorOpcode::SnackRequest) distrust_level();
    const bool is_later = reason == TooManyImmediateCommands || reason == LongOperation;
    if (is_later && opcode == InitiatorOpcode::NopOut) return conn.keep_alive.on_ping_over();
    if (opcode == InitiatorOpcode::TaskManagementRequest && itt == rung_itt_ &&
        rung_ != Rung::None) {
        if (is_later) {
            deadlines_.task_management_again = now + kImmediateAgain;
            return;
        }
        if (reason == CommandNotSupported) return climb(now, RungEvent::Refused);
    }
    if (Task* const task = find_asked(conn, itt)) {
        if (is_later) return ask_later(conn, now, *task);
        distrust_level(kLevelOfConnections - 1);
    }
    if (opcode == InitiatorOpcode::ScsiCommand && reason == CommandNotSupported) {
        Task* const task = tasks_.find_sent(itt);
        if (task != nullptr && !tasks_.is_probe(*task)) complete(*task, Outcome::Unsupported);
    }
    lose(now, LossReason::Rejected);
}

}  // namespace holdfast::initiator
