// World: what goes wrong, and when. The target's own faults are drawn by ModelTarget.
#include <algorithm>

#include "initiator/session/sabotage.h"
#include "tests/sim/coverage.h"
#include "tests/sim/world.h"

namespace holdfast::sim {

using initiator::Notice;
using initiator::NoticeKind;

/// One life in eight is calm: target and wire are faultless, so that whatever the engine holds
/// against them is its own host's lateness.
void World::choose_temper() {
    is_calm_ = random_.one_in(8);
    initiator::planted_denial = {};
    if (!is_calm_) return choose_denial();
    const auto ping = faults_.ping;
    faults_ = TargetFaults{};
    faults_.ping = ping;
}

/// One of the engine's pools refuses its n-th acquisition, or all from the n-th on.
void World::choose_denial() {
    using initiator::Pool;
    if (!random_.one_in(4)) return;
    const auto pool = static_cast<Pool>(random_.below(static_cast<std::uint64_t>(Pool::None)));
    const std::uint64_t most = pool == Pool::TransmitRing ? 1000 : 20;
    initiator::planted_denial = {
        .pool = pool, .first = random_.below(most), .count = random_.one_in(2) ? 1 : UINT64_MAX};
}

void World::maybe_fault() {
    end_outages();
    if (!faults_on_ || now_ < next_fault_) return;
    if (now_ >= faults_until_) return stop_faults();
    next_fault_ = now_ + static_cast<Micros>(random_.below((survives_cuts_ ? 3 : 8) * kSecond));
    strike();
}

void World::end_outages() {
    if (restart_done_at_ <= now_) {
        restart_done_at_ = kNever;
        target_->is_up = true;
    }
    if (link_up_at_ <= now_) {
        link_up_at_ = kNever;
        is_link_down_ = false;
        trace("link up");
    }
}

void World::strike() {
    const std::uint64_t dice = random_.below(16);
    if ((dice <= 2 || (survives_cuts_ && dice >= 13)) && !is_calm_) return cut_one();
    if (dice == 3 && !is_calm_) return take_link_down();
    if (dice == 4 && !is_calm_) return restart_target();
    if (dice == 5 && !is_calm_) return leave_half_open();
    if (dice <= 7 && !is_calm_) return clog_one();
    if (dice == 8 && !is_calm_) return stop_early();
    if (dice == 9 && has_device_ && !is_stopping_) return kill_process();
    if (dice == 10) {
        stall_until_ = now_ + static_cast<Micros>(random_.below(15 * kSecond));
        trace("everything stalls");
    } else if (dice <= 12 || (is_calm_ && dice <= 8)) {
        pause_for_ = static_cast<Micros>(random_.below(15 * kSecond));
        // At once, or when the most is at stake.
        if (random_.one_in(3)) {
            paused_until_ = now_ + pause_for_;
            pause_for_ = 0;
            trace("host is paused");
        }
    }
}

void World::take_link_down() {
    is_link_down_ = true;
    link_up_at_ = now_ + static_cast<Micros>(random_.below(12 * kSecond));
    trace("link down");
    // TCP would send again what is lost; here the connection never delivers anything more.
    for (auto& link : links_) {
        if (!link) continue;
        link->has_gap = true;
        link->to_us.clear();
        link->to_target.clear();
        if (link->is_up) link->peer_closed_at = link_up_at_ + kSecond;
    }
}

void World::restart_target() {
    trace("target restarts");
    if (has_volatile_cache_ && random_.one_in(2)) {
        trace("and loses its cache");
        disk_.lose_power(random_);
        oracle_.lose_power();
        for (Job& job : jobs_) job.may_be_lost = true;
    }
    target_->restart();
    target_->is_up = false;
    restart_done_at_ = now_ + static_cast<Micros>(random_.below(6 * kSecond));
    for (auto& link : links_) {
        if (!link || !link->is_up) continue;
        link->is_dead_for_target = true;
        link->peer_closed_at = now_ + delay();
    }
}

void World::cut_one() {
    auto& link = links_.at(random_.below(connections_));
    if (!link || !link->is_up) return;
    link->peer_closed_at = now_ + delay();
    trace("cut " + std::to_string(link->index.raw()));
}

/// The peer is gone and nobody tells us: nothing comes back, not even a reset.
void World::leave_half_open() {
    auto& link = links_.at(random_.below(connections_));
    if (!link || !link->is_up) return;
    link->has_gap = true;
    link->to_us.clear();
    link->to_target.clear();
    link->peer_closed_at = kNever;
    trace("half open " + std::to_string(link->index.raw()));
}

/// One direction of one connection stands still for a while; then all of it comes, in order. Or for
/// ever: the peer's window is closed and stays so.
void World::clog_one() {
    auto& link = links_.at(random_.below(connections_));
    if (!link || !link->is_up) return;
    const Micros until = now_ + static_cast<Micros>(random_.below(10 * kSecond));
    const bool is_to_us = random_.one_in(2);
    link->is_tight = random_.one_in(2);
    const bool is_for_ever = !is_to_us && link->is_tight && random_.one_in(2);
    (is_to_us ? link->clog_to_us_until : link->clog_to_target_until) = is_for_ever ? kNever : until;
    trace(std::string{is_to_us ? "clog to us " : "clog to target "} +
          std::to_string(link->index.raw()));
}

/// The operator stops in the midst of it, now and then without patience.
void World::stop_early() {
    if (!is_ready_ || !random_.one_in(is_stopping_ ? 2 : 6)) return;
    trace("stop");
    stop_engine();
}

void World::stop_faults() {
    trace("faults stop");
    faults_on_ = false;
    target_->faults = TargetFaults{};
    link_up_at_ = std::min(link_up_at_, now_);
    restart_done_at_ = std::min(restart_done_at_, now_);
    pause_for_ = 0;
    initiator::planted_denial.pool = initiator::Pool::None;
    end_outages();
}

/// A pause between the loan and the sending: the engine's clock for these PDUs runs, and the target
/// has not seen them.
void World::maybe_pause() {
    if (pause_for_ == 0) return;
    const bool is_at_stake = std::ranges::any_of(
        links_, [](const auto& link) { return link && !link->tx_lent.empty(); });
    if (!is_at_stake) return;
    paused_until_ = now_ + std::exchange(pause_for_, 0);
    trace("host is paused, with something to send");
}

void World::carry_on_without_us() {
    for (auto& link : links_) {
        if (!link || !link->is_up) continue;
        deliver_to_target(*link);
        deliver_to_us(*link);
    }
}

void World::step_paused() {
    Micros next = std::min(paused_until_, target_->next_event());
    for (const auto& link : links_) {
        if (link && link->is_up) next = std::min(next, next_delivery_of(*link));
    }
    now_ = std::max(now_ + 1, next);
}

/// What the engine says of a target that did nothing wrong.
void World::judge_notice(const Notice& notice) {
    if (!is_calm_) return;
    const auto reason = static_cast<initiator::LossReason>(notice.a);
    // After a logout the target may hang up before its answer is here.
    const bool is_farewell = is_stopping_ && reason == initiator::LossReason::TransportLost;
    const bool is_port_taken = reason == initiator::LossReason::PortRegistered;
    const bool is_slander =
        notice.kind == NoticeKind::NopTimeout || notice.kind == NoticeKind::CommandTimeout ||
        (notice.kind == NoticeKind::SessionLost && !is_farewell && !is_port_taken) ||
        (notice.kind == NoticeKind::ConnectionLost && !is_stopping_) ||
        notice.kind == NoticeKind::PeerViolation || notice.kind == NoticeKind::ProbeFailed;
    if (!is_slander) return;
    const auto what = static_cast<int>(notice.kind);
    fail("a live target was blamed for our own lateness: notice " + std::to_string(what));
}

}  // namespace holdfast::sim
