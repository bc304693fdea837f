#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>

#include "tests/sim/allocation_guard.h"
#include "tests/sim/coverage.h"

namespace holdfast::sim {

using initiator::Engine;
using initiator::EngineLimits;
using initiator::OrderKind;
using initiator::SessionPhase;

namespace {

constexpr std::uint32_t kBlocks = 48;
/// Everything must be over within this, once the faults have stopped.
constexpr Micros kLimitQuiet = 400 * kSecond;
/// Lateness that the loop notices, and in which an answer comes that was held up by it alone.
constexpr Micros kStallShows = 50'000;
constexpr std::uint64_t kTurnsMax = 400'000;

Instant instant(Micros at) {
    return Instant::from_ns(at * 1000);
}

void say_line(const char* line) {
    std::printf("%10.6f %s\n", static_cast<double>(*tap().now_us) / 1e6, line);
}

Happening happening_of(OrderKind kind) {
    return static_cast<Happening>(static_cast<unsigned>(Happening::OrderConnect) +
                                  static_cast<unsigned>(kind));
}

}  // namespace

World::World(std::uint64_t seed, bool is_traced)
    : random_(seed), is_traced_(is_traced), disk_(kBlocks), oracle_(kBlocks) {
    tap().now_us = &now_;
    tap().say = is_traced ? say_line : nullptr;
    choose_life();
    choose_temper();
    target_.emplace(random_, disk_, parameters_);
    target_->faults = faults_;
    target_->window = 1 + static_cast<std::uint32_t>(random_.below(16));
    target_->cache_mode = has_volatile_cache_ ? 0x04 : 0x00;
    if (random_.one_in(2)) target_->cache_mode |= 0x10;
    target_->knows_reservations = knows_reservations_;
    make_engine();
    jobs_.resize(depth_);
    buffers_.assign(
        depth_,
        std::vector<std::byte>(std::size_t{request_blocks_max_} * kSimBlockBytes, std::byte{0xa5}));
}

void World::make_engine() {
    const EngineLimits limits{.depth = depth_,
                              .request_bytes_max = request_blocks_max_ * kSimBlockBytes,
                              .connections = connections_,
                              .stage_bytes = 4096};
    reserve::MemoryPlan plan;
    Engine::add_to_plan(plan, limits);
    memory_.assign(plan.total().raw() + reserve::kCarveUnitBytes, std::byte{});
    region_.emplace(memory_);
    engine_.emplace(config_, limits, *region_);
    tap().engine = &*engine_;
    tap().conn_states = {};
}

void World::start_engine() {
    tap().saw(Happening::Start);
    const EngineScope scope;
    engine_->start(instant(now_));
}

void World::stop_engine() {
    tap().saw(is_stopping_ ? Happening::StopAgain : Happening::Stop);
    if (!is_stopping_) stopped_at_ = now_;
    is_stopping_ = true;
    const EngineScope scope;
    engine_->stop(instant(now_));
}

/// The process dies between two instructions; its successor finds the device, and the requests that
/// were out come again once it is ready.
void World::kill_process() {
    trace("killed");
    for (auto& link : links_) {
        if (link) drop_link(*link);
    }
    tap().engine = nullptr;
    engine_.reset();
    config_.takes_over_device = true;
    make_engine();
    is_ready_ = false;
    asked_ = kNever;
    start_engine();
}

void World::on_device_ready() {
    is_ready_ = true;
    has_device_ = true;
    for (const Job& job : jobs_) {
        if (job.is_out) submit(job);
    }
}

void World::choose_life() {
    const auto dice = [this](std::uint64_t bound) { return random_.below(bound); };
    depth_ = static_cast<std::uint16_t>(1 + dice(12));
    request_goal_ = 60 + dice(120);
    connections_ = static_cast<std::uint8_t>(dice(2) == 0 ? 1 : 2 + dice(3));
    config_.initiator_name.assign_cut("iqn.2026-01.sim:initiator");
    config_.target_name.assign_cut("iqn.2026-01.sim:target");
    initiator::Portal portal;
    portal.host.assign_cut("192.0.2.1");
    config_.portals.push(portal);
    config_.isid = initiator::Isid{0x4000'0000'0001ULL};
    config_.lun = initiator::Lun{kSimLun};
    config_.first_cmd_sn = static_cast<std::uint32_t>(dice(3) == 0 ? 0xfffffff0U + dice(16) : 1);
    config_.owns_unit_alone = dice(4) != 0;
    config_.wish.data_pdu_in_order = true;
    config_.wish.max_recv_data_segment_bytes = static_cast<std::uint32_t>(512 << dice(6));
    auto& timers = config_.timers;
    timers.login = Duration::from_s(30);
    timers.nop_interval = Duration::from_s(1);
    timers.nop_timeout = Duration::from_s(2);
    timers.command = Duration::from_s(5);
    timers.flush = Duration::from_s(8);
    timers.abort_task = timers.lun_reset = timers.target_reset = Duration::from_s(3);
    timers.logout = Duration::from_s(5);
    timers.fence_wait = Duration::from_s(12);
    if (dice(6) == 0)
        timers.replacement = Duration::from_s(static_cast<std::int64_t>(4 + dice(20)));
    has_volatile_cache_ = dice(3) == 0;
    parameters_.header_digest = dice(3) != 0;
    parameters_.data_digest = dice(3) != 0;
    parameters_.max_recv_bytes = static_cast<std::uint32_t>(512 << dice(5));
    parameters_.max_burst_bytes = static_cast<std::uint32_t>(512 << dice(5));
    parameters_.first_burst_bytes =
        std::min(parameters_.max_burst_bytes, static_cast<std::uint32_t>(512 << dice(4)));
    parameters_.initial_r2t = dice(2) == 0;
    parameters_.immediate_data = dice(3) != 0;
    parameters_.max_connections = static_cast<std::uint16_t>(1 + dice(4));
    parameters_.error_recovery_level = static_cast<std::uint8_t>(dice(3));
    config_.wish.error_recovery_level = static_cast<std::uint8_t>(dice(4) == 0 ? dice(2) : 2);
    survives_cuts_ =
        parameters_.error_recovery_level == 2 && config_.wish.error_recovery_level == 2;
    parameters_.time2wait_s = static_cast<std::uint16_t>(dice(3) == 0 ? 1 + dice(3) : 0);
    faults_until_ = now_ + static_cast<Micros>(dice(90)) * kSecond;
    next_fault_ = now_ + 2 * kSecond;
    // Some lives know one kind of fault, some know all.
    const auto rate = [&](std::uint64_t usual) { return dice(3) == 0 ? usual : 0; };
    faults_.busy = rate(12);
    faults_.attention = rate(20);
    faults_.hold = rate(25);
    faults_.silent = rate(60);
    faults_.violation = rate(150);
    faults_.corrupt = rate(150);
    faults_.corrupt_data = rate(40);
    faults_.lose = rate(60);
    faults_.refuse_data = rate(20);
    faults_.acknowledge = rate(3);
    faults_.refuse_snack = rate(10);
    faults_.reject = rate(80);
    faults_.ping = rate(8);
    faults_.async = rate(80);
    faults_.login_busy = rate(5);
    faults_.redirect = rate(4);
    faults_.split_session = rate(3);
    faults_.deaf_management = rate(3);
    faults_.refuse_management = rate(3);
    faults_.refuse_recovery = rate(6);
    faults_.lie = rate(120);
    faults_.twice = rate(40);
    faults_.late = rate(100);
    faults_.cut = rate(60);
    faults_.ghost = rate(2);
    config_.fence_by_reservation = dice(3) == 0;
    knows_reservations_ = dice(4) != 0;
    // Where the fence is a wait, nothing may linger longer than that.
    const bool is_reset_sure = faults_.deaf_management == 0 && faults_.refuse_management == 0;
    const bool is_fenced_by_reset = config_.owns_unit_alone && is_reset_sure;
    const bool is_fenced_by_key = config_.fence_by_reservation && knows_reservations_;
    faults_.hold_max = is_fenced_by_reset || is_fenced_by_key ? 40 * kSecond : 11 * kSecond;
}

void World::fail(const std::string& what) {
    if (failure_.empty()) failure_ = "at " + std::to_string(now_) + " us: " + what;
    trace("FAILED " + what);
}

void World::trace(const std::string& what) const {
    if (is_traced_) std::printf("%10.6f %s\n", static_cast<double>(now_) / 1e6, what.c_str());
}

Instant World::next_wake() {
    const EngineScope scope;
    return engine_->next_wake();
}

void World::step_time() {
    if (is_paused()) return step_paused();
    Micros next =
        std::min({next_wire_event(), target_->next_event(), link_up_at_, restart_done_at_});
    const Instant wake = next_wake();
    if (!wake.is_never()) next = std::min(next, (wake.ns() + 999) / 1000);
    if (faults_on_) next = std::min(next, next_fault_);
    if (is_ready_ && !is_stopping_ && submitted_ < request_goal_) {
        next = std::min(next, next_submit_);
    }
    if (next == kNever) return fail("nothing will ever happen again");
    // A stall of everything that ends about when a time-out does: the loop was not late, and the
    // target had no time. Nobody can tell that from a dead one, so it ends a little later.
    const bool is_hidden = asked_ != kNever && stall_until_ > now_ &&
                           stall_until_ > asked_ - kStallShows &&
                           stall_until_ < asked_ + kStallShows;
    if (is_hidden) stall_until_ = asked_ + kStallShows;
    now_ = std::max(now_ + 1, next);
    now_ = std::max(now_, stall_until_);
}

/// As the driver does it: late is what passed since the time that was asked for before the loop
/// went to sleep.
void World::wake_engine() {
    const Micros late = std::max<Micros>(now_ - std::max<Micros>(asked_, 0), 0);
    if (asked_ != kNever && late >= 10'000) tap().saw(Happening::LateWake);
    const EngineScope scope;
    engine_->wake(instant(now_), asked_ < now_ ? Duration::from_ns(late * 1000) : Duration{});
}

void World::turn() {
    target_->run(now_);
    if (is_paused()) return carry_on_without_us();
    move_wire();
    if (!failure_.empty()) return;
    submit_some();
    wake_engine();
    while (const auto order = polled(&Engine::poll_order)) {
        tap().saw(happening_of(order->kind));
        if (is_traced_) {
            const auto what = static_cast<std::size_t>(happening_of(order->kind));
            trace(std::string{event_name(Table::Phase, what)} + " " +
                  std::to_string(order->conn.raw()));
        }
        mix(static_cast<std::uint64_t>(order->kind));
        if (order->kind == OrderKind::Connect) open_link(order->conn);
        if (order->kind == OrderKind::DeviceReady) on_device_ready();
        if (order->kind == OrderKind::Stopped) is_over_ = true;
        if (order->kind == OrderKind::GaveUp) is_over_ = true;
        const bool is_leaving = order->kind == OrderKind::Reset || order->kind == OrderKind::Close;
        auto& link = links_.at(order->conn.raw());
        if (is_leaving && link) {
            link->is_leaving = true;
            link->gone_at = now_ + delay();
        }
    }
    while (const auto notice = polled(&Engine::poll_notice)) {
        judge_notice(*notice);
    }
    while (const auto completion = polled(&Engine::poll_completion)) on_completion(*completion);
    lend_spans();
    const Instant wake = next_wake();
    asked_ = wake.is_never() ? kNever : (wake.ns() + 999) / 1000;
    maybe_pause();
}

Verdict World::live() {
    start_engine();
    std::uint64_t turns = 0;
    Micros quiet_since = 0;
    while (!is_over_ && failure_.empty()) {
        maybe_fault();
        turn();
        if (!target_->complaint().empty()) fail(target_->complaint());
        if (engine_allocations() != 0) fail("the engine allocated memory");
        if (!faults_on_ && quiet_since == 0) quiet_since = now_;
        const bool is_idle = submitted_ == request_goal_ && completed_ == submitted_;
        if (is_idle && !is_stopping_ && is_ready_) {
            if (faults_on_) stop_faults();
            check_idle_buffers();
            stop_engine();
            turn();
        }
        if (quiet_since != 0 && now_ - quiet_since > kLimitQuiet) fail("no liveness");
        if (++turns > kTurnsMax) fail("too many turns");
        if (!is_over_ && failure_.empty()) step_time();
    }
    if (failure_.empty()) {
        check_idle_buffers();
        check_disk();
        if (engine_->counters().requests_in_flight != 0) fail("a slot is not home");
        if (is_ready_ && completed_ != submitted_) fail("a request was forgotten");
        // A host that was paused meanwhile may have given up.
        const bool is_quick = is_calm_ && now_ - stopped_at_ < kSecond;
        if (is_quick && target_->registrations() != 0) fail("a reservation key was left behind");
        if (engine_->phase() != SessionPhase::Ended) fail("stopped, but not ended");
    }
    return {.failure = failure_,
            .hash = hash_,
            .requests = completed_,
            .sessions = engine_->counters().sessions_established,
            .late_executions = target_->late_executions(),
            .taken_over = engine_->counters().tasks_reassigned + engine_->counters().tasks_resent,
            .lived = now_};
}

}  // namespace holdfast::sim
