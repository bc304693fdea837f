/// How the attachments are cared for: what the supervisor may tell those who watch itself.
///
/// Limit: kBuryLimit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"
#include "watchdog/supervise/pair.h"

namespace holdfast::watchdog {

/// Ordered: the later, the worse.
enum class Care : std::uint8_t {
    Served,  ///< A process serves, and shows life.
    Held,    ///< Requests wait for something that comes: a login, a successor, the next allowance.
    Lost,    ///< Nothing that we can do brings it back.
};
inline constexpr std::uint8_t kCareCount = 3;

/// A process that was killed is gone within this own time; one that is not hangs in the kernel.
inline constexpr Duration kBuryLimit = Duration::from_s(60);

/// What care_of() judges.
struct CareFacts {
    PairState state;
    bool was_killed = false;  ///< By us, for silence, and its end has not come yet.
    Duration since_kill{};    ///< Own time.
    bool can_make = true;     ///< New processes can be made.
};

/// Pure: the same facts always give the same judgement.
[[nodiscard]] constexpr Care care_of(const CareFacts& facts) noexcept {
    if (facts.was_killed) return facts.since_kill < kBuryLimit ? Care::Held : Care::Lost;
    switch (facts.state.active) {
    case ActivePhase::Serving: return Care::Served;
    case ActivePhase::Opening:
    case ActivePhase::TakingOver:
    case ActivePhase::Ended: return Care::Held;
    case ActivePhase::Holding: break;
    }
    const bool has_heir = facts.state.standby != StandbySeat::Empty;
    return has_heir || facts.can_make ? Care::Held : Care::Lost;
}

[[nodiscard]] constexpr Care worse(Care a, Care b) noexcept {
    return std::max(a, b);
}

}  // namespace holdfast::watchdog
