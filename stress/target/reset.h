/// Resets that reach beyond one session. RFC 7143 sections 4.2.3 and 11.5.1; SAM-5 section 6.3.
#pragma once

#include <cstdint>

#include "stress/target/services.h"

namespace holdfast::target {

enum class ResetScope : std::uint8_t { None, TaskSet, Unit, Target, TargetAndConnections };

struct ResetOrder {
    ResetScope scope = ResetScope::None;
    std::uint16_t lun = 0;
    /// The session that asked: it is told by the response, the others by a unit attention.
    SessionId by = kNoSession;
};

/// Ends the tasks and the late writes of the units in scope, on every session.
void carry_out(const ResetOrder& order, Services& services);

/// Drops the late writes for which `matches` holds; returns how many.
template <class Predicate>
std::size_t cancel_held_writes(Services& services, Predicate matches) {
    const std::size_t count = std::erase_if(services.later, [&](const auto& entry) {
        const auto* held = std::get_if<HeldWrite>(&entry.second);
        return held != nullptr && matches(*held);
    });
    services.counters.late_writes_cancelled += count;
    return count;
}

}  // namespace holdfast::target
