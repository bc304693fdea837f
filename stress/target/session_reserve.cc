/// PERSISTENT RESERVE OUT, and what it means for the sessions of others.
#include <algorithm>

#include "stress/target/reset.h"
#include "stress/target/session.h"

namespace holdfast::target {

Outcome Session::reserve(const Task& task, Bytes data_out, Services& services) {
    const auto unit = services.units.find(task.lun);
    if (unit == services.units.end()) return Outcome::check(kNoSuchLun);
    ReservationNews news = unit->second.reservations().out(nexus(), task.cdb, data_out);
    const auto is_in = [](const std::vector<Nexus>& list, const Nexus& nexus) {
        return std::ranges::find(list, nexus) != list.end();
    };
    for (const auto& [id, session] : services.sessions) {
        const Nexus its = session->nexus();
        if (is_in(news.preempted, its)) {
            session->add_unit_attention(task.lun, kRegistrationsPreempted);
            if (news.aborts) services.counters.tasks_preempted += session->abort_tasks(task.lun);
        } else if (is_in(news.released, its)) {
            session->add_unit_attention(task.lun, kReservationsReleased);
        }
    }
    if (news.aborts) {
        cancel_held_writes(services, [&](const HeldWrite& held) {
            return held.lun == task.lun && is_in(news.preempted, held.nexus);
        });
    }
    return std::move(news.outcome);
}

}  // namespace holdfast::target
