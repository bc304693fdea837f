// Session: commands whose connection was lost go on over another one. RFC 7143
// sections 7.2, 11.5, 11.6.1 and 11.14.
//
// The old connection has been logged out for recovery, so the target has discarded what it had not
// acknowledged, and holds the rest. A command that was acknowledged (its CmdSN is below ExpCmdSN)
// is taken over with TASK REASSIGN. One that was not is sent again as it was, with its task tag and
// CmdSN, which closes the hole that it left. Neither can be executed twice.
#include <algorithm>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// TASK REASSIGNs at once: targets bound the immediate requests that they take.
constexpr std::uint16_t kReassignsMax = 4;
/// "Still allegiant", or one immediate request too many: asked again after this.
constexpr Duration kReassignAgain = Duration::from_ms(200);

}  // namespace

/// A command of the connection that is to be sent or asked for again. Empty: none is due.
Task* Session::next_lost(const Connection& conn, bool is_acknowledged) noexcept {
    const Reinstatement& its = conn.reinstatement;
    if (its.unsettled == its.asked) return nullptr;
    HF_ASSERT(conn.is_full_feature() && its.unsettled > its.asked);
    return tasks_.find_out(conn.index.raw(), [&](const Task& task) {
        return task.allegiance == Allegiance::Lost &&
               task.cmd_sn.precedes(window_.expected()) == is_acknowledged;
    });
}

bool Session::put_reassign(Connection& conn, Instant now) noexcept {
    Reinstatement& its = conn.reinstatement;
    if (its.asked >= kReassignsMax || !its.at.is_never()) return false;
    Task* const task = next_lost(conn, true);
    if (task == nullptr) return false;
    task->allegiance = Allegiance::Asked;
    task->reassign_itt = next_auxiliary_itt(kManagementSlot);
    ++its.asked;
    its.answer_by = now + config_.timers.abort_task;
    ++counters_.tmf_sent;
    // What is acknowledged need not come again: all data in front of the next due, and no R2T.
    DataSn expected{};
    if (task->direction == DataDirection::Read) expected = task->next_data_sn;
    if (is_sabotaged(Sabotage::ReassignWrong)) expected = expected.next();
    write(conn.ring.next_header(), TaskManagementHeader{.function = TaskFunction::TaskReassign,
                                                        .itt = task->reassign_itt,
                                                        .referenced_itt = TaskTable::itt_of(*task),
                                                        .cmd_sn = window_.current(),
                                                        .expected_stat_sn = acknowledged(conn),
                                                        .expected_data_sn = expected});
    return true;
}

/// A command that the target has never taken in, as it was; the window was open for it before.
bool Session::put_lost_command(Connection& conn, Instant now) noexcept {
    if (!conn.out_queue.empty()) return false;
    Task* const task = next_lost(conn, false);
    if (task == nullptr) return false;
    ++counters_.tasks_resent;
    reset_progress(*task);
    settle(conn, now, *task);
    write_command(conn, *task);
    return true;
}

/// The command is the connection's from now on.
void Session::settle(Connection& conn, Instant now, Task& task) noexcept {
    HF_ASSERT(task.conn == conn.index.raw());
    task.allegiance = Allegiance::Settled;
    task.gap = Gap::None;
    task.snacks = 0;
    task.r2ts_waiting = 0;  // Old transfer tags are void (ER2-09).
    tasks_.restart_clock(task, now);
    HF_ASSERT(conn.reinstatement.unsettled > 0);
    --conn.reinstatement.unsettled;
    on_settled(conn);
}

/// Fewer commands are unsettled than before.
void Session::on_settled(Connection& conn) noexcept {
    Reinstatement& its = conn.reinstatement;
    if (its.unsettled == 0 && its.step == Comeback::None) {
        its.retain_until = Instant::never();
        its.at = Instant::never();
    }
    if (is_any_working() && !has_unsettled()) deadlines_.replacement = Instant::never();
}

/// A command ends by our own decision while nobody owns it.
void Session::forget_unsettled(const Task& task) noexcept {
    if (task.state != TaskState::Sent || task.allegiance == Allegiance::Settled) return;
    Connection& conn = connection_of(task);
    HF_ASSERT(conn.reinstatement.unsettled > 0);
    --conn.reinstatement.unsettled;
    Reinstatement& its = conn.reinstatement;
    if (task.allegiance == Allegiance::Asked) its.end_asked(its.answer_by);
    on_settled(conn);
}

/// The command whose TASK REASSIGN over this connection has the tag, or none.
Task* Session::find_asked(const Connection& conn, Itt itt) noexcept {
    if (conn.reinstatement.asked == 0) return nullptr;
    return tasks_.find_out(conn.index.raw(), [itt](const Task& task) {
        return task.allegiance == Allegiance::Asked && task.reassign_itt == itt;
    });
}

/// Neither taken nor refused: it is asked for again a little later.
void Session::ask_later(Connection& conn, Instant now, Task& task) noexcept {
    HF_ASSERT(task.allegiance == Allegiance::Asked);
    task.allegiance = Allegiance::Lost;
    Reinstatement& its = conn.reinstatement;
    its.end_asked(now + config_.timers.abort_task);
    its.at = now + kReassignAgain;
}

void Session::on_reassign_answer(Connection& conn, Instant now, Task& task,
                                 TaskResponse response) noexcept {
    note(NoticeKind::TaskManagement, static_cast<std::uint64_t>(TaskFunction::TaskReassign),
         static_cast<std::uint64_t>(response));
    switch (response) {
    case TaskResponse::Complete:
        ++counters_.tasks_reassigned;
        conn.reinstatement.end_asked(now + config_.timers.abort_task);
        task.renumbers_r2t = true;
        return settle(conn, now, task);
    case TaskResponse::TaskStillAllegiant: return ask_later(conn, now, task);
    case TaskResponse::ReassignmentNotSupported:
    case TaskResponse::FunctionNotSupported:
    case TaskResponse::AuthorizationFailed:
    case TaskResponse::FunctionRejected: distrust_level(kLevelOfConnections - 1); break;
    // The target had acknowledged the command, and we have no status of it: what became of it
    // nobody can tell any more.
    case TaskResponse::TaskDoesNotExist:
    case TaskResponse::LunDoesNotExist:
    case TaskResponse::FunctionSucceeded: break;
    }
    lose(now, LossReason::ReinstatementFailed);
}

}  // namespace holdfast::initiator
