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
    IgnoreLateness,     ///< Gives the target no grace when our own loop was late.
    ForgetLoginTimer,   ///< Waits for ever for a connection or a login.
    R2tTwice,           ///< Sends data again for a duplicate of an R2T.
    StaleTag,         ///< Takes an answer to an earlier command of the slot for the present one's.
    TrustGood,        ///< Ends a read at GOOD, whatever has arrived of it.
    ConsumeOnDenial,  ///< Takes a CmdSN, and then finds no room for the command.
    SkipPreempt,      ///< Registers a key, and leaves that of the lost session alone.
    ExcuseClogs,      ///< Judges nobody while the transport takes nothing.
};

/// What the engine acquires while it works, and may be refused. docs/simulation.md lists the rest,
/// which cannot be.
enum class Pool : std::uint8_t { TransmitRing, Notices, NopAnswers, DataAcks, None };

#if defined(HF_SABOTAGE)
/// Refuses the acquisitions of one pool: from number `first` on, `count` of them.
struct Denial {
    Pool pool = Pool::None;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::uint64_t seen = 0;
    std::uint64_t denied = 0;
};
extern Denial planted_denial;
[[nodiscard]] inline bool is_denied(Pool pool) noexcept {
    Denial& denial = planted_denial;
    if (denial.pool != pool) return false;
    const std::uint64_t number = denial.seen++;
    if (number < denial.first || number - denial.first >= denial.count) return false;
    ++denial.denied;
    return true;
}
extern Sabotage planted_sabotage;
[[nodiscard]] inline bool is_sabotaged(Sabotage kind) noexcept {
    return planted_sabotage == kind;
}
#else
[[nodiscard]] constexpr bool is_denied(Pool) noexcept {
    return false;
}
[[nodiscard]] constexpr bool is_sabotaged(Sabotage) noexcept {
    return false;
}
#endif

}  // namespace holdfast::initiator
