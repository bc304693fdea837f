/// Faults planted on purpose, so that the simulation can show that it would notice them. Only the
/// simulation's own build defines HF_SABOTAGE; everywhere else is_sabotaged() is the constant false
/// and nothing of this is compiled.
#pragma once

#include <cstdint>

namespace holdfast::netpath::tcp {

enum class Sabotage : std::uint8_t {
    None,
    ForgetPersist,  ///< Waits for a window update that may have been lost.
    ForgetResend,   ///< Takes a time-out for an answer.
    IgnoreWindow,   ///< Sends whatever the peer's window is.
    ShrinkWindow,   ///< Takes back what was advertised.
    LeakFrame,      ///< Loses one in a hundred received frames.
    IgnoreGap,      ///< Takes data behind a gap for the next.
    WrongPlace,     ///< Sends the first part again instead of the second one.
};

#if defined(HF_SABOTAGE)
extern Sabotage planted_sabotage;
[[nodiscard]] inline bool is_sabotaged(Sabotage kind) noexcept {
    return planted_sabotage == kind;
}
#else
[[nodiscard]] constexpr bool is_sabotaged(Sabotage) noexcept {
    return false;
}
#endif

}  // namespace holdfast::netpath::tcp
