// Session: Data-In. Where it goes is decided before one byte is taken; what it says of its status
// is judged afterwards. RFC 7143 sections 7.1.4.1 and 11.7.
#include "base/assert.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

/// Decides where a Data-In goes before one byte of it is taken. RFC 7143 section 11.7.
std::optional<Violation> Session::place_data_in(Connection& conn) noexcept {
    const auto view = DataInView::parse(conn.framer.header());
    if (!view) return view.error();
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task == nullptr) {
        if (!is_plausible(view->task_tag())) return Violation::TaskTagUnknown;
        conn.framer.place_payload({});  // Stale: read and dropped (RED-12).
        return {};
    }
    if (!task->is_allegiant_to(conn.index.raw())) return Violation::TaskWrongConnection;
    if (task->direction != DataDirection::Read) return Violation::DataInForWrite;
    const Place place = place_of(view->data_sn().raw(), task->next_data_sn.raw());
    if (place != Place::Due) {
        if (place == Place::Absurd || !may_repair(conn)) return Violation::DataNumberWrong;
        conn.framer.place_payload({});  // Dropped: a duplicate, or beyond a gap.
        return {};
    }
    const std::uint64_t end = std::uint64_t{view->buffer_offset()} + view->data_bytes();
    if (end > task->transfer_bytes) return Violation::DataInBeyondTransfer;
    const bool is_in_order = agreed_.data_pdu_in_order && agreed_.data_sequence_in_order;
    if (is_in_order && view->data_bytes() > 0 &&
        view->buffer_offset() != task->received.contiguous_bytes()) {
        return Violation::DataInOutOfOrder;
    }
    if (!task->received.has_room_for(view->buffer_offset(), view->data_bytes())) {
        return Violation::DataInOutOfOrder;
    }
    conn.receiving = task->index;
    conn.framer.place_payload(task->in.subspan(view->buffer_offset(), view->data_bytes()));
    return {};
}

std::optional<Violation> Session::on_data_in(Connection& conn, Instant now) noexcept {
    const auto view = DataInView::parse(conn.framer.header());
    if (!view) return view.error();
    Task* const task = tasks_.find_sent(view->task_tag());
    if (task != nullptr && view->data_sn() != task->next_data_sn) {
        return on_misplaced_data(conn, now, *task, *view);
    }
    bool is_status_due = false;
    if (!view->has_status()) {
        take_window(view->numbers());
    } else {
        const StatusOrder order = conn.status.order_of(view->numbers().stat_sn);
        const auto taken = take_status(conn, now, view->numbers());
        is_status_due = taken.is_due;
        // Where an earlier status is missing, this one is asked for again with it. The data is as
        // good as any: asked for again, it would come with this very status.
        const bool is_kept = taken.is_due || order == StatusOrder::Missing;
        if (taken.violation || !is_kept || !conn.is_full_feature()) return taken.violation;
    }
    if (task == nullptr) return {};
    const bool is_added = task->received.try_add(view->buffer_offset(), view->data_bytes());
    HF_ASSERT(is_added);  // Judged before the payload was placed.
    task->next_data_sn = task->next_data_sn.next();
    if (task->gap != Gap::None) conn.repair.is_unanswered = false;
    task->gap = Gap::None;
    if (is_status_due) on_data_status(now, *task, *view);
    if (!view->has_status()) take_acknowledgement_wish(conn, *task, *view);
    return {};
}

/// The A bit. One that finds no room is left out: the target asks again.
void Session::take_acknowledgement_wish(Connection& conn, const Task& task,
                                        const DataInView& view) noexcept {
    const bool is_asked =
        view.wants_acknowledgement() && may_repair(conn) && view.transfer_tag() != kTttReserved;
    if (!is_asked || is_denied(Pool::DataAcks)) return;
    static_cast<void>(conn.repair.data_acks.try_push(
        {view.task_tag(), view.transfer_tag(), view.lun(), task.next_data_sn}));
}

/// The status that came with the last data of a command.
void Session::on_data_status(Instant now, Task& task, const DataInView& view) noexcept {
    const Residual residual = view.residual();
    on_answer(now, task,
              {.status = static_cast<scsi::Status>(view.status()),
               .residual = residual_of(residual),
               .residual_bytes = residual.count});
}

/// Its payload was dropped. A gap is asked for once; what lies beyond it comes again. The replica
/// of the last Data-In is how a status that came with it comes again.
std::optional<Violation> Session::on_misplaced_data(Connection& conn, Instant now, Task& task,
                                                    const DataInView& view) noexcept {
    const bool is_ahead = task.next_data_sn.precedes(view.data_sn());
    const bool is_last = task.gap == Gap::None && view.data_sn().next() == task.next_data_sn;
    if (!is_ahead && view.has_status() && is_last) {
        const auto taken = take_status(conn, now, view.numbers());
        if (taken.is_due) on_data_status(now, task, view);
        return taken.violation;
    }
    take_window(view.numbers());
    // Where nothing can be asked for it was a violation; but our logout may have gone out since,
    // while the payload was coming in.
    if (!may_repair(conn)) return {};
    if (is_ahead && task.gap == Gap::None) ask_for_task(conn, now, task);
    if (!is_ahead || !view.has_status() || !may_repair(conn)) return {};
    const StatusOrder order = conn.status.order_of(view.numbers().stat_sn);
    if (order == StatusOrder::Absurd) return Violation::StatusNumberWrong;
    if (order != StatusOrder::Seen) {
        ask_for_status(conn, now, view.numbers().stat_sn.next(), order == StatusOrder::Due);
    }
    return {};
}

}  // namespace holdfast::initiator
