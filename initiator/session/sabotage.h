/// Faults planted on purpose, so that the simulator can show that it would notice them. Only the
/// simulator's own build of the engine defines HF_SABOTAGE; everywhere else is_sabotaged() is the
/// constant false and nothing of this is compiled.
#pragma once

#include <cstdint>

namespace holdfast::initiator {

enum class Sabotage : std::uint8_t {
    None,
    SkipFence,          ///< Sends requests again without proving the end of the old ones.
    RetryWhileOut,      ///< Sends a timed-out request again without aborting it.
    AcknowledgeEarly,   ///< ExpStatSN one ahead.
    IgnoreDataDigest,   ///< Takes payloads whose digest is wrong.
    CompleteOnLoss,     ///< Reports writes as done when the session is lost.
    SkipFirstFence,     ///< A process that takes over a device logs in without a fence.
    SnackWrong,         ///< Asks for what comes after the gap.
    StatusBeforeData,   ///< Acknowledges a status whose data is still missing.
    StrayData,          ///< Sends data over the leading connection, wherever its command went.
    ReassignWrong,      ///< Acknowledges one Data-In too many when a command is reassigned.
    RetryBeforeLogout,  ///< Sends a lost connection's commands again, over whatever lives.
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

}  // namespace holdfast::initiator
