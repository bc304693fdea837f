#include "watchdog/supervise/pair.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace holdfast::watchdog {

namespace {

// The signals by which a process ends itself: abort(), the fuse, a bad access, the kernel's filter.
// The numbers are those of Linux on every architecture but Alpha, MIPS, PA-RISC and SPARC.
constexpr std::array kCrashSignals{4, 5, 6, 7, 8, 11, 31};

PairStep stay(PairState state) noexcept {
    return {.state = state};
}

/// Somebody serves next: the one who stands by, or one that is made for it.
PairStep succeed(PairState state) noexcept {
    if (state.standby == StandbySeat::Standing)
        return {.state = {.active = ActivePhase::TakingOver, .standby = StandbySeat::Empty},
                .order = PairOrder::TakeOver};
    return {.state = {.active = ActivePhase::TakingOver, .standby = state.standby},
            .order = PairOrder::Succeed};
}

PairStep end(PairState state) noexcept {
    return {.state = {.active = ActivePhase::Ended, .standby = state.standby},
            .order = PairOrder::End};
}

std::optional<PairStep> on_death(PairState state, bool is_allowed) noexcept {
    switch (state.active) {
    case ActivePhase::Opening: return end(state);
    case ActivePhase::Serving:
    case ActivePhase::TakingOver:
        if (is_allowed) return succeed(state);
        return PairStep{.state = {.active = ActivePhase::Holding, .standby = state.standby},
                        .order = PairOrder::Hold};
    case ActivePhase::Holding:
    case ActivePhase::Ended: return {};
    }
    return {};
}

/// Only beside an active that serves: before, it is not known that anybody will, and a takeover
/// needs the memory itself.
bool may_make_standby(PairState state) noexcept {
    return state.active == ActivePhase::Serving && state.standby == StandbySeat::Empty;
}

std::optional<PairStep> with_standby(PairState state, StandbySeat seat, bool is_legal) noexcept {
    if (!is_legal) return {};
    return stay({.active = state.active, .standby = seat});
}

}  // namespace

std::optional<PairStep> step(PairState state, PairEvent event) noexcept {
    using enum ActivePhase;
    switch (event) {
    case PairEvent::ActiveServes:
        if (state.active != Opening && state.active != TakingOver) return {};
        return stay({.active = Serving, .standby = state.standby});
    case PairEvent::ActiveLeft:
        if (state.active == Holding || state.active == Ended) return {};
        return end(state);
    case PairEvent::ActiveDied: return on_death(state, true);
    case PairEvent::ActiveDiedTooOften: return on_death(state, false);
    case PairEvent::HoldIsOver:
        if (state.active != Holding) return {};
        return succeed(state);
    case PairEvent::SuccessorNotStarted:
        if (state.active != TakingOver) return {};
        return PairStep{.state = {.active = Holding, .standby = state.standby},
                        .order = PairOrder::Hold};
    case PairEvent::StandbyDue:
        if (!may_make_standby(state)) return stay(state);
        return PairStep{.state = state, .order = PairOrder::MakeStandby};
    case PairEvent::StandbyMade:
        return with_standby(state, StandbySeat::Warming, may_make_standby(state));
    case PairEvent::StandbyStands:
        return with_standby(state, StandbySeat::Standing, state.standby == StandbySeat::Warming);
    case PairEvent::StandbyDied:
        return with_standby(state, StandbySeat::Empty, state.standby != StandbySeat::Empty);
    }
    return {};
}

Death death_by_signal(int signal) noexcept {
    const bool is_crash = std::ranges::find(kCrashSignals, signal) != kCrashSignals.end();
    return is_crash ? Death::Crashed : Death::Killed;
}

PairOrder Pair::advance(PairEvent event) noexcept {
    const auto next = step(state_, event);
    if (!next) return PairOrder::None;
    if (state_.active == ActivePhase::TakingOver && next->state.active == ActivePhase::Serving)
        ++takeovers_;
    state_ = next->state;
    return next->order;
}

PairOrder Pair::on_active_gone(Instant own, Death death) noexcept {
    HF_ASSERT(state_.active != ActivePhase::Holding && state_.active != ActivePhase::Ended);
    if (death == Death::Left) return advance(PairEvent::ActiveLeft);
    last_death_ = death;
    if (state_.active == ActivePhase::Opening) return advance(PairEvent::ActiveDied);
    Allowance& allowance = death == Death::Killed ? kills_ : crashes_;
    if (allowance.try_take(own)) return advance(PairEvent::ActiveDied);
    hold_until_ = allowance.next();
    return advance(PairEvent::ActiveDiedTooOften);
}

PairOrder Pair::on_successor_not_started(Instant own) noexcept {
    hold_until_ = own + kKillInterval;
    return advance(PairEvent::SuccessorNotStarted);
}

void Pair::on_standby_made() noexcept {
    const PairOrder order = advance(PairEvent::StandbyMade);
    HF_ASSERT(order == PairOrder::None && state_.standby == StandbySeat::Warming);
}

void Pair::on_standby_stands() noexcept {
    static_cast<void>(advance(PairEvent::StandbyStands));
}

void Pair::on_standby_gone(Instant own) noexcept {
    HF_ASSERT(state_.standby != StandbySeat::Empty);
    standby_due_ =
        state_.standby == StandbySeat::Standing ? own + kStandbySoon : own + kStandbyPause;
    static_cast<void>(advance(PairEvent::StandbyDied));
}

PairOrder Pair::on_look(Instant own, bool wants_standby) noexcept {
    if (state_.active == ActivePhase::Holding) {
        if (own < hold_until_) return PairOrder::None;
        // The try uses up what has come back to the allowance meanwhile.
        Allowance& allowance = last_death_ == Death::Killed ? kills_ : crashes_;
        static_cast<void>(allowance.try_take(own));
        return advance(PairEvent::HoldIsOver);
    }
    if (!wants_standby || own < standby_due_) return PairOrder::None;
    return advance(PairEvent::StandbyDue);
}

}  // namespace holdfast::watchdog
