#include "initiator/session/task.h"

namespace holdfast::initiator {

void TaskTable::choose_connection(Task& task) noexcept {
    std::uint8_t best = 0;
    for (std::uint8_t i = 1; i < kConnectionsMax && !is_probe(task); ++i) {
        const bool is_usable = (usable_ & (1U << i)) != 0;
        if (is_usable && load_[i] < load_[best]) best = i;
    }
    task.conn = best;
    ++load_[best];
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
    case TaskState::Free: HF_ASSERT(task.loans == 0); break;
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
    while (place != ready.end() && place->order < task.order) ++place;
    ready.insert(place, task);
}

}  // namespace holdfast::initiator
