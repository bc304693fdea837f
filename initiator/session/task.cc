#include "initiator/session/task.h"

namespace holdfast::initiator {

void TaskTable::unlink(Task& task) noexcept {
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
    case TaskState::Ready: ready.push_back(task); break;
    case TaskState::Resting: resting.push_back(task); break;
    case TaskState::Sent:
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
    auto place = ready.begin();
    while (place != ready.end() && place->order < task.order) ++place;
    ready.insert(place, task);
}

}  // namespace holdfast::initiator
