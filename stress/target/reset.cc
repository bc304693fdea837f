#include "stress/target/reset.h"

#include "stress/target/session.h"

namespace holdfast::target {

void carry_out(const ResetOrder& order, Services& services) {
    if (order.scope == ResetScope::None) return;
    const bool one_unit = order.scope == ResetScope::TaskSet || order.scope == ResetScope::Unit;
    const auto lun = one_unit ? std::optional{order.lun} : std::nullopt;
    for (const auto& [id, session] : services.sessions) {
        services.counters.tasks_aborted += session->abort_tasks(lun);
        for (const auto& unit : services.units) {
            const bool told = id != order.by && order.scope != ResetScope::TaskSet;
            if (told && (!lun || unit.first == *lun))
                session->add_unit_attention(unit.first, kBusDeviceReset);
        }
    }
    cancel_held_writes(services, [&](const HeldWrite& held) { return !lun || held.lun == *lun; });
    if (order.scope != ResetScope::TargetAndConnections) return;
    for (const auto& link : services.links) link.second->close_after_flush();
}

}  // namespace holdfast::target
