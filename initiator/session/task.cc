#include "initiator/session/task.h"

namespace holdfast::initiator {

void TaskTable::choose_connection(Task& task) noexcept {
    std::uint8_t best = 0;
    bool is_chosen = false;
    for (std::uint8_t i = 0; i < kConnectionsMax; ++i) {
        if (!is_usable(i) || (is_chosen && load_[i] >= load_[best])) continue;
        best = i;
        is_chosen = true;
        if (is_probe(task)) break;
    }
    task.conn = best;  // The first, when there is none: see move_ready().
    ++load_[best];
}

/// Whatever waits for a connection that is not there waits for one that is.
void TaskTable::move_ready() noexcept {
    if (usable_ == 0) return;
    for (Task& task : ready) {
        if (is_usable(task.conn)) continue;
        --load_[task.conn];
        choose_connection(task);
    }
}

void TaskTable::use_connection(std::uint8_t conn) noexcept {
    HF_ASSERT(conn < kConnectionsMax);
    usable_ |= 1U << conn;
    move_ready();
}

void TaskTable::stop_using(std::uint8_t conn) noexcept {
    HF_ASSERT(conn < kConnectionsMax);
    usable_ &= ~(1U << conn);
    move_ready();
}

void TaskTable::move_sent(Task& task, std::uint8_t conn) noexcept {
    HF_ASSERT(task.state == TaskState::Sent);
    --load_[task.conn];
    task.conn = conn;
    ++load_[conn];
}

void TaskTable::restart_clock(Task& task, Instant now) noexcept {
    HF_ASSERT(task.state == TaskState::Sent);
    TaskList& list = task.is_patient ? sent_patient : sent_short;
    list.erase(list.iterator_to(task));
    list.push_back(task);
    task.sent_at = now;
    task.timed_out = false;
}

void TaskTable::use_leading_only() noexcept {
    usable_ = 1;
    for (Task& task : ready) {
        --load_[task.conn];
        task.conn = 0;
        ++load_[0];
    }
}

void TaskTable::unlink(Task& task) noexcept {
    if (task.state == TaskState::Ready || task.state == TaskState::Sent) {
        HF_ASSERT(load_[task.conn] > 0);
        --load_[task.conn];
    }
    switch (task.state) {
    case TaskState::Ready: ready.erase(ready.iterator_to(task)); break;
    case TaskState::Resting: resting.erase(resting.iterator_to(task)); break;
    case TaskState::Sent: {
        TaskList& list = task.is_patient ? sent_patient : sent_short;
        list.erase(list.iterator_to(task));
        HF_ASSERT(sent_count_ > 0);
        --sent_count_;
        ++task.generation;  // Whatever still comes for the old tag is stale.
        break;
    }
    case TaskState::Free:
    case TaskState::Ending:
    case TaskState::Ended: break;
    }
}

void TaskTable::set_state(Task& task, TaskState to) noexcept {
    HF_ASSERT(task.state != to);
    unlink(task);
    task.state = to;
    switch (to) {
    case TaskState::Ready:
        choose_connection(task);
        ready.push_back(task);
        break;
    case TaskState::Resting: resting.push_back(task); break;
    case TaskState::Sent:
        ++load_[task.conn];
        (task.is_patient ? sent_patient : sent_short).push_back(task);
        ++sent_count_;
        break;
    case TaskState::Free:
        // The probe's parameters are in its slot, and stay there: may_send() waits for them.
        HF_ASSERT(task.loans == 0 || is_probe(task));
        break;
    case TaskState::Ending:
    case TaskState::Ended: break;
    }
}

void TaskTable::set_ready_in_order(Task& task) noexcept {
    HF_ASSERT(task.state != TaskState::Ready);
    unlink(task);
    task.state = TaskState::Ready;
    choose_connection(task);
    auto place = ready.begin();
    while (place != ready.end() && place->order <= task.order) ++place;
    ready.insert(place, task);
}

}  // namespace holdfast::initiator
