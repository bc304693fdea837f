// Session: recovery within a command and within a connection. RFC 7143 sections 7.1.4.1, 7.1.4.2.
#include <algorithm>

#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// A gap wider than this is no loss but a target that has lost count.
constexpr std::uint32_t kDataGapMax = 1U << 16;

}  // namespace

/// A logout is the last thing that is sent, so nothing is asked for after it.
bool Session::may_repair(const Connection& conn) const noexcept {
    return agreed_.error_recovery_level > 0 && conn.is_full_feature() &&
           conn.state != ConnState::InLogout;
}

/// Where a DataSN or R2TSN stands to the one that is due.
Session::Place Session::place_of(std::uint32_t got, std::uint32_t due) noexcept {
    if (got == due) return Place::Due;
    if (got - due <= kDataGapMax) return Place::Ahead;
    return due - got <= kDataGapMax ? Place::Seen : Place::Absurd;
}

/// A command's data or R2Ts are asked for again, from the first that is missing on.
void Session::ask_for_task(Connection& conn, Instant now, Task& task) noexcept {
    HF_ASSERT(task.state == TaskState::Sent && may_repair(conn));
    if (task.gap == Gap::Due) return;
    if (++task.snacks > Repair::kSnacksOfTaskMax) return on_repair_failed(conn, now);
    task.gap = Gap::Due;
    conn.repair.has_data_gaps = true;
}

/// Statuses in front of `until` exist. `is_first`: the one that is due was dropped just now.
void Session::ask_for_status(Connection& conn, Instant now, StatSn until, bool is_first) noexcept {
    HF_ASSERT(may_repair(conn));
    if (!conn.repair.on_status_missing(until, is_first)) on_repair_failed(conn, now);
}

/// The data segment's digest was wrong: the PDU is dropped, and asked for again. Its header is
/// trusted, because it has a digest of its own, or none was wished for.
void Session::on_discarded(Connection& conn, Instant now) noexcept {
    conn.receiving.reset();
    const auto opcode = opcode_of(conn.framer.header());
    HF_ASSERT(opcode.has_value());
    bool is_counted = true;
    if (*opcode == TargetOpcode::DataIn) {
        const auto view = DataInView::parse(conn.framer.header());
        if (!view) return on_violation(conn, now, view.error());
        is_counted = view->has_status();
        Task* task = tasks_.find_sent(view->task_tag());
        if (task != nullptr && !task->is_allegiant_to(conn.index.raw())) task = nullptr;
        const bool is_due = task != nullptr && view->data_sn() == task->next_data_sn;
        const bool is_new = task != nullptr && task->gap == Gap::None &&
                            task->next_data_sn.precedes(view->data_sn());
        if (is_due || is_new) ask_for_task(conn, now, *task);
    } else if (*opcode == TargetOpcode::NopIn) {
        is_counted = task_tag_of(conn.framer.header()) != kIttReserved;
    }
    if (!is_counted || !may_repair(conn)) return;
    const StatSn got = target_numbers(conn.framer.header()).stat_sn;
    const StatusOrder order = conn.status.order_of(got);
    if (order == StatusOrder::Due || order == StatusOrder::Missing) {
        ask_for_status(conn, now, got.next(), order == StatusOrder::Due);
    }
}

/// A GOOD status whose data is not all there waits at the target until it is. True: it was dropped.
bool Session::is_status_early(Connection& conn, Instant now, Task& task,
                              const EarlyStatus& early) noexcept {
    const bool is_read = task.direction == DataDirection::Read && early.is_good;
    const bool has_gap = task.gap != Gap::None || task.next_data_sn.precedes(early.data_count);
    if (!is_read || !has_gap || !may_repair(conn)) return false;
    const StatusOrder order = conn.status.order_of(early.stat_sn);
    if (order != StatusOrder::Due) return false;
    if (task.gap == Gap::None) ask_for_task(conn, now, task);
    if (!may_repair(conn)) return true;  // That was one time too many.
    if (is_sabotaged(Sabotage::StatusBeforeData)) {
        conn.status.advance();
        return true;
    }
    ask_for_status(conn, now, early.stat_sn.next(), true);
    return true;
}

/// Takes the next SNACK that is due. Data before status; see repair.h.
bool Session::next_snack(Connection& conn, SnackHeader& snack) noexcept {
    Repair& repair = conn.repair;
    while (!repair.data_acks.empty()) {
        const DataAck ack = repair.data_acks.pop();
        // Its status is here: acknowledging that one acknowledges the data.
        if (tasks_.find_sent(ack.itt) == nullptr) continue;
        snack = {.type = SnackType::DataAck, .lun = ack.lun, .ttt = ack.ttt};
        snack.first = ack.next.raw();
        return true;
    }
    bool is_asked = false;
    if (repair.has_data_gaps) {
        Task* const task = tasks_.find_out(conn.index.raw(), [&](const Task& out) {
            is_asked = is_asked || out.gap == Gap::Asked;
            return out.gap == Gap::Due;
        });
        if (task != nullptr) {
            task->gap = Gap::Asked;
            snack = {.type = SnackType::DataOrR2t, .itt = TaskTable::itt_of(*task)};
            snack.first = task->direction == DataDirection::Read ? task->next_data_sn.raw()
                                                                 : task->next_r2t_sn.raw();
            return true;
        }
        repair.has_data_gaps = is_asked;
    }
    if (is_asked || repair.status != Gap::Due) return false;
    repair.status = Gap::Asked;
    snack = {.type = SnackType::Status};
    snack.first = conn.status.expected().raw();
    return true;
}

bool Session::put_snack(Connection& conn, Instant now) noexcept {
    if (!may_repair(conn)) return false;
    SnackHeader snack{};
    if (!next_snack(conn, snack)) return false;
    if (snack.type != SnackType::DataAck) {
        conn.repair.answer_by = now + config_.timers.nop_timeout;
        conn.repair.is_unanswered = true;
        if (is_sabotaged(Sabotage::SnackWrong)) ++snack.first;
    }
    snack.expected_stat_sn = acknowledged(conn);
    ++counters_.snacks_sent;
    write(conn.ring.next_header(), snack);
    return true;
}

/// What was asked for and did not come is asked for again. False: too often, the session is lost.
bool Session::judge_repair(Connection& conn, Instant now) noexcept {
    conn.repair.answer_by = Instant::never();
    if (!may_repair(conn)) return true;
    const bool has_failed = tasks_.find_out(conn.index.raw(), [&](Task& task) {
        if (task.gap != Gap::Asked) return false;
        ask_for_task(conn, now, task);
        return !may_repair(conn);
    }) != nullptr;
    if (has_failed) return false;
    if (conn.repair.status != Gap::Asked || conn.repair.try_again()) return true;
    on_repair_failed(conn, now);
    return false;
}

/// The target has discarded the command for the digest of its data. True: it is sent again, with
/// its tag and CmdSN, so that it fills its hole and cannot be executed twice.
bool Session::takes_back(Connection& conn, Itt itt) noexcept {
    Task* const task = tasks_.find_sent(itt);
    if (!may_repair(conn) || task == nullptr || !task->is_allegiant_to(conn.index.raw())) {
        return false;
    }
    const bool is_hole = !task->cmd_sn.precedes(window_.expected());
    if (!is_hole || task->direction != DataDirection::Write) return false;
    if (++task->snacks > Repair::kSnacksOfTaskMax) return false;
    return conn.repair.rejected.try_push(itt);
}

bool Session::put_rejected_command(Connection& conn) noexcept {
    if (!conn.out_queue.empty() || conn.state == ConnState::InLogout) return false;
    while (!conn.repair.rejected.empty()) {
        Task* const task = tasks_.find_sent(conn.repair.rejected.pop());
        if (task == nullptr || !task->is_allegiant_to(conn.index.raw())) continue;
        ++counters_.tasks_resent;
        const std::uint8_t tries = task->snacks;
        reset_progress(*task);
        task->snacks = tries;
        write_command(conn, *task);
        return true;
    }
    return false;
}

void Session::on_repair_failed(const Connection& conn, Instant now) noexcept {
    if (conn.repair.is_unanswered) distrust_level();
    lose(now, LossReason::RepairFailed);
}

/// The target agreed to a level that it does not live up to: the next session asks for `most`.
void Session::distrust_level(std::uint8_t most) noexcept {
    std::uint8_t& wish = config_.wish.error_recovery_level;
    wish = std::min(wish, most);
}

}  // namespace holdfast::initiator
