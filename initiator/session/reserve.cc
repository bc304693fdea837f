// Session: the persistent reservation, and the fence that it makes. docs/recovery.md; SPC-4
// section 5.13.
//
// A session that was ready leaves its key registered over its initiator port. The next one logs in
// over another port (the ISID's qualifier differs), registers a key of its own, and preempts the
// old one. A port is used again only after its key was preempted.
#include "base/assert.h"
#include "base/bytes.h"
#include "initiator/session/sabotage.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

namespace {

/// Our initiator ports: one for the key in use, one for the session that preempts it, and some for
/// what processes left behind that died in between. They differ in the lowest bits of the ISID.
constexpr std::uint8_t kPortsMax = 8;
/// Of no family: no key of ours.
constexpr scsi::ReservationKey kNobodys{1};

}  // namespace

Isid Session::isid() const noexcept {
    if (!config_.fence_by_reservation) return config_.isid;
    return Isid{config_.isid.raw() ^ port_};
}

/// Before a new session. What was never ready has written nothing, and comes again as it was.
void Session::choose_port() noexcept {
    has_tried_to_reserve_ = false;
    is_reserved_ = false;
    if (!is_key_active_) return;
    is_key_active_ = false;
    is_key_registered_ = false;
    port_ = (port_ + 1U) % kPortsMax;
}

void Session::take_key(const FreshRandom& random) noexcept {
    if (!config_.fence_by_reservation || is_key_registered_) return;
    auto number = be16_at<0>(std::span{random});
    const auto key_of = [this](std::uint16_t of) {
        return scsi::reservation_key(config_.initiator_name.view(), config_.isid, of);
    };
    if (key_of(number) == last_key_) ++number;
    key_ = key_of(number);
}

/// Where every port is taken the fence comes first, in another way; then a key may be replaced.
bool Session::is_reservation_due() const noexcept {
    const bool may_replace = ports_taken_ >= kPortsMax;
    return config_.fence_by_reservation && !has_tried_to_reserve_ &&
           !(may_replace && is_fence_needed_);
}

void Session::start_reservation(Instant now) noexcept {
    HF_ASSERT(!is_probing_ && stage_ == Stage::Fencing);
    has_tried_to_reserve_ = true;
    is_probing_ = true;
    probe_use_ = ProbeUse::Reservation;
    // A session that was ready without a key cannot be ended by one.
    const bool is_unknown = last_key_ == scsi::ReservationKey{} && was_ready_;
    const scsi::ReservationWish wish{
        .key = key_,
        .last = is_unknown ? kNobodys : last_key_,
        .may_replace = is_key_registered_ || ports_taken_ >= kPortsMax,
        .was_reserved = was_reserved_ || (config_.takes_over_device && !was_ready_)};
    reservation_ = scsi::ReservationMachine{config_.lun, wish};
    deadlines_.probe = now + config_.timers.command + config_.timers.command;
    send_probe_commands();
}

void Session::on_reservation_step(Instant now, scsi::ReservationStep step) noexcept {
    const bool is_leaving = probe_use_ == ProbeUse::Leaving;
    if (!is_leaving && reservation_.is_registered()) {
        is_key_registered_ = true;
        key_ = reservation_.key();
    }
    const bool is_cut_short = is_sabotaged(Sabotage::SkipPreempt) && reservation_.is_registered();
    if (step == scsi::ReservationStep::Continue && (!is_cut_short || is_leaving)) {
        return send_probe_commands();
    }
    if (step == scsi::ReservationStep::Wait) {
        deadlines_.probe_again = now + reservation_.wait();
        return;
    }
    stop_probe();
    if (step == scsi::ReservationStep::Violation) {
        return on_violation(connection_of(tasks_.probe()), now, Violation::SenseMalformed);
    }
    if (is_leaving) {
        is_key_active_ = false;
        return on_departure_progress(now);
    }
    if (step == scsi::ReservationStep::PortTaken) return on_port_taken(now);
    if (step == scsi::ReservationStep::Preempted) {
        return on_probe_failed(now, ProbeError::Preempted);
    }
    const bool is_unavailable = step == scsi::ReservationStep::Unavailable && !is_cut_short;
    // It was there before, and without our key the unit refuses our writes.
    if (is_unavailable && was_reserved_) return on_probe_failed(now, ProbeError::NotReady);
    is_reserved_ = !is_unavailable;
    on_reserved(now);
}

/// Or not, where the unit cannot do it.
void Session::on_reserved(Instant now) noexcept {
    HF_ASSERT(stage_ == Stage::Fencing);
    was_reserved_ = was_reserved_ || is_reserved_;
    const bool is_fence_passed = ports_taken_ >= kPortsMax;
    ports_taken_ = 0;
    if (is_fence_passed) return go_ready(now);
    if (!is_fence_needed_) return on_fenced(now, FenceRung::NothingToFence);
    const bool has_ended = reservation_.has_ended_last() || is_sabotaged(Sabotage::SkipPreempt);
    if (is_reserved_ && has_ended) return on_fenced(now, FenceRung::PreemptAndAbort);
    start_fence_rung(now);
}

void Session::on_port_taken(Instant now) noexcept {
    is_key_registered_ = false;
    if (++ports_taken_ < kPortsMax) {
        port_ = (port_ + 1U) % kPortsMax;
        return lose(now, LossReason::PortRegistered);
    }
    has_tried_to_reserve_ = false;
    start_fence(now);
}

/// Before the logout of a session that ends for good: others may have the unit.
void Session::leave_reservation(Instant now) noexcept {
    HF_ASSERT(!is_probing_ && stage_ == Stage::Ready && is_key_active_);
    is_probing_ = true;
    probe_use_ = ProbeUse::Leaving;
    reservation_ = scsi::ReservationMachine::leaving(config_.lun, key_);
    deadlines_.probe = now + config_.timers.command + config_.timers.command;
    send_probe_commands();
}

FenceReliance Session::reliance() const noexcept {
    if (is_reserved_) return FenceReliance::PreemptAndAbort;
    if (!config_.owns_unit_alone) return FenceReliance::Wait;
    const Told told = has_reset_unit_ == Told::Nothing ? facts_.unit_reset : has_reset_unit_;
    if (told == Told::No) return FenceReliance::TargetResetUntried;
    return told == Told::Yes ? FenceReliance::UnitReset : FenceReliance::UnitResetUntried;
}

}  // namespace holdfast::initiator
