/// The decisions about the two I/O processes of one attachment: one serves, one stands by.
///
/// step() is the whole table. Pair adds the limits on takeovers and the times at which a standby is
/// made and a holding pair tries again. The limits and reasons stand in docs/watchdog.md.
///
/// Timers, on the supervisor's own time: standby_due_, when the next standby may be made;
/// hold_until_, when a holding pair tries again.
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.h"
#include "watchdog/supervise/allowance.h"

namespace holdfast::watchdog {

/// The one who serves.
enum class ActivePhase : std::uint8_t {
    Opening,     ///< The first process; it has never served. Its death ends the attachment.
    Serving,     ///< Requests are served.
    TakingOver,  ///< A successor logs in and adopts the device; requests wait.
    Holding,     ///< Nobody: too many died. Requests wait.
    Ended,       ///< Nobody, for good.
};
inline constexpr std::uint8_t kActivePhaseCount = 5;

/// The place of the one who stands by.
enum class StandbySeat : std::uint8_t {
    Empty,
    Warming,   ///< Takes and locks memory; no use yet.
    Standing,  ///< Waits for the order.
};
inline constexpr std::uint8_t kStandbySeatCount = 3;

struct PairState {
    ActivePhase active = ActivePhase::Opening;
    StandbySeat standby = StandbySeat::Empty;
    constexpr bool operator==(const PairState&) const noexcept = default;
};

/// What happened. Those that end a served device say in the name whether a takeover is allowed.
enum class PairEvent : std::uint8_t {
    ActiveServes,         ///< It has armed itself.
    ActiveLeft,           ///< It ended in order: detached, or gave up where it may.
    ActiveDied,           ///< By a signal, or as a successor that failed; a takeover is allowed.
    ActiveDiedTooOften,   ///< The same; the allowance is used up.
    HoldIsOver,           ///< A holding pair may try again.
    StandbyDue,           ///< Time and memory for a standby.
    StandbyMade,          ///< The process exists.
    StandbyStands,        ///< It is ready.
    StandbyDied,          ///< In whatever way.
    SuccessorNotStarted,  ///< The order Succeed could not be carried out: no process.
};
inline constexpr std::uint8_t kPairEventCount = 10;

/// What is to be done.
enum class PairOrder : std::uint8_t {
    None,
    MakeStandby,  ///< Then StandbyMade, or nothing and StandbyDue again later.
    TakeOver,     ///< Tell the standby; it is the active from now on.
    Succeed,      ///< Start a successor cold.
    Hold,         ///< Keep the device, and say why.
    End,          ///< Give the attachment up, and end its standby.
};

struct PairStep {
    PairState state;
    PairOrder order = PairOrder::None;
};

/// One edge of the table. Empty: the event has no meaning in this state, which is our bug in the
/// caller, except for what a mad process may claim in shared memory (ActiveServes,
/// StandbyStands).
[[nodiscard]] std::optional<PairStep> step(PairState state, PairEvent event) noexcept;

/// Why a process ended.
enum class Death : std::uint8_t {
    Left,     ///< In order.
    Crashed,  ///< By its own doing.
    Hung,     ///< By us, for silence.
    Killed,   ///< By somebody else.
};
inline constexpr std::uint8_t kDeathCount = 4;

/// The signal of a process that was not killed by us, as Crashed or Killed.
[[nodiscard]] Death death_by_signal(int signal) noexcept;

/// See the file comment. Thread: the supervisor's.
class Pair {
public:
    static constexpr std::uint32_t kCrashesAtOnce = 5;
    static constexpr Duration kCrashInterval = Duration::from_s(60);
    static constexpr std::uint32_t kKillsAtOnce = 60;
    static constexpr Duration kKillInterval = Duration::from_s(1);
    /// Before the next standby, when the last one had stood.
    static constexpr Duration kStandbySoon = Duration::from_s(1);
    /// The same, when it never came to stand.
    static constexpr Duration kStandbyPause = Duration::from_s(10);

    [[nodiscard]] PairState state() const noexcept { return state_; }
    /// Of the last death of an active that counted.
    [[nodiscard]] Death last_death() const noexcept { return last_death_; }
    /// Successors that came to serve.
    [[nodiscard]] std::uint64_t takeovers() const noexcept { return takeovers_; }

    [[nodiscard]] PairOrder on_active_serves() noexcept { return advance(PairEvent::ActiveServes); }
    [[nodiscard]] PairOrder on_active_gone(Instant own, Death death) noexcept;
    [[nodiscard]] PairOrder on_successor_not_started(Instant own) noexcept;
    void on_standby_made() noexcept;
    void on_standby_stands() noexcept;
    void on_standby_gone(Instant own) noexcept;
    /// At every look: MakeStandby, TakeOver, Succeed or None. `wants_standby`: there is memory, and
    /// the attachment shall have one.
    [[nodiscard]] PairOrder on_look(Instant own, bool wants_standby) noexcept;

private:
    [[nodiscard]] PairOrder advance(PairEvent event) noexcept;

    PairState state_;
    Death last_death_ = Death::Left;
    std::uint64_t takeovers_ = 0;
    Allowance crashes_{kCrashesAtOnce, kCrashInterval};
    Allowance kills_{kKillsAtOnce, kKillInterval};
    Instant standby_due_;
    Instant hold_until_ = Instant::never();
};

}  // namespace holdfast::watchdog
