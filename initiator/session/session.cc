#include "initiator/session/session.h"

#include <algorithm>

#include "base/assert.h"
#include "initiator/session/sabotage.h"

namespace holdfast::initiator {

namespace {

/// Lateness of our own loop below this is ordinary scheduling and buys the target nothing.
constexpr Duration kLatenessOrdinary = Duration::from_ms(10);
/// How much grace a silent target can collect from a host that is late again and again.
constexpr Duration kGraceMax = Duration::from_s(60);
/// The first attach goes on trying for this many login time-outs.
constexpr int kAttachLogins = 4;

}  // namespace

void Session::add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept {
    plan.add_objects<Session>("session", 1, "state of one session");
    plan.add_objects<Completion>("completions", limits.depth, "one a tag");
    TaskTable::add_to_plan(plan, limits.depth);
    Connection::add_to_plan(plan, limits);
    plan.add({.name = "probe data",
              .count = 1,
              .each = ByteCount{scsi::ProbeRun::kAnswersBytes},
              .reason = "an answer to each command of the probe"});
}

Session::Session(const SessionConfig& config, const EngineLimits& limits, reserve::Region& region,
                 Recorder& recorder) noexcept
    : config_(config),
      limits_(limits),
      recorder_(recorder),
      completions_(region.carve<Completion>(limits.depth)),
      tasks_(region, limits.depth),
      probe_(config.lun,
             region.carve_bytes(scsi::ProbeRun::kAnswersBytes, alignof(std::max_align_t))),
      reservation_(config.lun, {}),
      send_limit_(limits.depth) {
    HF_ASSERT(limits.depth >= 1 && limits.depth <= 256);
    HF_ASSERT(limits.connections >= 1 && limits.connections <= EngineLimits::kConnectionsMax);
    for (std::uint8_t i = 0; i < limits.connections; ++i) {
        conns_.push(&region.make<Connection>(region, limits, ConnIndex{i}));
    }
    config_.wish.max_connections = limits.connections;
    HF_ASSERT(!config.portals.empty());
    HF_ASSERT(config.wish.max_outstanding_r2t <= kR2tsMax);
    HF_ASSERT(config.wish.error_recovery_level <= OperationalWish::kErrorRecoveryLevelMax);
}

Session::~Session() {
    for (Connection* const conn : conns_) conn->~Connection();
}

void Session::note(NoticeKind kind, std::uint64_t a, std::uint64_t b) noexcept {
    recorder_.on_notice({kind, a, b});
    const bool is_kept = !is_denied(Pool::Notices) && notices_.try_push({kind, a, b});
    if (!is_kept) ++counters_.notices_dropped;
}

void Session::order(OrderKind kind) noexcept {
    orders_.push({.kind = kind, .conn = ConnIndex{0}, .portal = {}});
}

void Session::order(Connection& conn, OrderKind kind) noexcept {
    Order wanted{.kind = kind, .conn = conn.index, .portal = {}};
    if (kind == OrderKind::Connect) wanted.portal = session_portal_;
    orders_.push(wanted);
}

void Session::start(Instant now) noexcept {
    HF_ASSERT(stage_ == Stage::Idle);
    deadlines_.attach = now;
    for (int i = 0; i < kAttachLogins; ++i) {
        deadlines_.attach = deadlines_.attach + config_.timers.login;
    }
    if (config_.takes_over_device) {  // Requests wait in the device, as long as the profile says.
        deadlines_.attach = std::max(deadlines_.attach, now + config_.timers.replacement);
        is_fence_needed_ = true;
        fence_from_ = now;
    }
    lost_at_ = now;
    connect(leading(), now);
}

Submitted Session::submit(Instant now, const Request& request) noexcept {
    if (stage_ == Stage::Ended || departure_ == Departure::Stopping) return Submitted::Stopped;
    HF_ASSERT(request.tag < limits_.depth);
    Task& task = tasks_.at(request.tag);
    if (task.state != TaskState::Free) return Submitted::Full;
    if (!was_ready_ || !is_in_range(request)) return Submitted::OutOfRange;
    task.request = request;
    task.part = TaskPart::Main;
    task.counts = {};
    task.short_answers = 0;
    task.order = next_order_++;
    task.submitted = now;
    ++counters_.requests_in_flight;
    const bool is_refused =
        (config_.read_only || facts_.read_only) && changes_the_unit(request.kind);
    if (is_refused) {
        complete(task, Outcome::ReadOnly);
    } else if (request.kind == RequestKind::Flush && !facts_.write_cache) {
        complete(task, Outcome::Done);
    } else if (is_failing_fast_) {
        complete(task, is_other_device_ ? Outcome::Gone : Outcome::TimedOut);
    } else {
        tasks_.set_state(task, TaskState::Ready);
    }
    return Submitted::Accepted;
}

bool Session::is_in_range(const Request& request) const noexcept {
    const std::uint64_t blocks = request.blocks.raw();
    const std::uint64_t lba = request.lba.raw();
    if (request.kind == RequestKind::Flush) return request.data.empty();
    if (lba > facts_.blocks || blocks > facts_.blocks - lba || blocks == 0) return false;
    const bool has_data = request.kind == RequestKind::Read || request.kind == RequestKind::Write;
    if (!has_data) return request.data.empty() && blocks <= 0xffff'ffffU;
    return request.data.size() <= limits_.request_bytes_max &&
           blocks <= limits_.request_bytes_max / facts_.block_bytes &&
           request.data.size() == blocks * facts_.block_bytes;
}

void Session::complete(Task& task, Outcome outcome) noexcept {
    HF_ASSERT(!tasks_.is_probe(task));
    HF_ASSERT(task.state != TaskState::Ending && task.state != TaskState::Ended);
    task.outcome = outcome;
    tasks_.set_state(task, TaskState::Ending);
    if (task.loans == 0) finish(task);
}

void Session::finish(Task& task) noexcept {
    HF_ASSERT(task.loans == 0 && !connection_of(task).receives_for(task.index));
    tasks_.set_state(task, TaskState::Ended);
    if (task.outcome == Outcome::Done) {
        ++counters_.requests_done;
        if (task.request.kind == RequestKind::Read)
            counters_.read_bytes += task.request.data.size();
        if (task.request.kind == RequestKind::Write) {
            counters_.written_bytes += task.request.data.size();
        }
    } else {
        ++counters_.requests_failed;
    }
    HF_ASSERT(completions_size_ < completions_.size());
    completions_[(completions_head_ + completions_size_) % completions_.size()] = {
        .tag = task.index, .outcome = task.outcome};
    ++completions_size_;
}

std::optional<Completion> Session::poll_completion() noexcept {
    if (completions_size_ == 0) return {};
    const Completion next = completions_[completions_head_];
    completions_head_ = (completions_head_ + 1) % completions_.size();
    --completions_size_;
    tasks_.set_state(tasks_.at(next.tag), TaskState::Free);
    --counters_.requests_in_flight;
    return next;
}

std::optional<Order> Session::poll_order() noexcept {
    if (orders_.empty()) return {};
    return orders_.pop();
}

std::optional<Notice> Session::poll_notice() noexcept {
    if (notices_.empty()) return {};
    return notices_.pop();
}

void Session::return_loan(std::uint16_t owner) noexcept {
    if (!tasks_.is_slot(owner)) return;
    Task& task = tasks_.at(owner);
    HF_ASSERT(task.loans > 0);
    --task.loans;
    if (task.loans == 0 && task.state == TaskState::Ending) finish(task);
}

/// Everything that waits without having been sent, or between two tries, fails.
void Session::fail_waiting(Outcome outcome) noexcept {
    for (Task& task : tasks_.requests()) {
        const bool waits = task.state == TaskState::Ready || task.state == TaskState::Resting;
        if (!waits) continue;
        note(NoticeKind::RequestFailed, static_cast<std::uint64_t>(outcome));
        complete(task, outcome);
    }
}

bool Session::is_settled() const noexcept {
    return tasks_.sent_count() == 0 && tasks_.ready.empty() && tasks_.resting.empty();
}

bool Session::has_transport() const noexcept {
    return stage_ == Stage::Connecting || stage_ == Stage::LoggingIn || is_full_feature();
}

bool Session::is_full_feature() const noexcept {
    return stage_ == Stage::Probing || stage_ == Stage::Fencing || stage_ == Stage::Ready;
}

SessionPhase Session::phase() const noexcept {
    switch (stage_) {
    case Stage::Idle: return SessionPhase::Idle;
    case Stage::Connecting: return SessionPhase::Connecting;
    case Stage::LoggingIn: return SessionPhase::LoggingIn;
    case Stage::Probing: return SessionPhase::Probing;
    case Stage::Fencing: return SessionPhase::Fencing;
    case Stage::Ready:
        if (!is_any_working()) return SessionPhase::Waiting;
        return departure_ == Departure::None ? SessionPhase::Ready : SessionPhase::LoggingOut;
    case Stage::Leaving:
        return departure_ == Departure::Stopping ? SessionPhase::LoggingOut : SessionPhase::Waiting;
    case Stage::Waiting: return SessionPhase::Waiting;
    case Stage::Ended: return SessionPhase::Ended;
    }
    return SessionPhase::Ended;
}

Instant Session::next_own_deadline() const noexcept {
    Instant next = deadlines_.reconnect;
    for (const Instant at :
         {deadlines_.probe_again, deadlines_.fence, deadlines_.task_management_again,
          deadlines_.replacement, deadlines_.settle}) {
        next = earlier(next, at);
    }
    for (const Task& task : tasks_.resting) next = earlier(next, task.retry_at);
    for (const Connection* const conn : conns_) {
        if (may_add(*conn)) next = earlier(next, conn->add_at);
        next = earlier(next, earlier(conn->reinstatement.at, conn->reinstatement.retain_until));
        if (conn->keep_alive.dead_at().is_never()) next = earlier(next, conn->keep_alive.wake_at());
    }
    return next;
}

Instant Session::next_command_deadline() const noexcept {
    Instant next = Instant::never();
    const auto is_untold = [](const Task& task) { return !task.timed_out; };
    const auto first = std::ranges::find_if(tasks_.sent_short, is_untold);
    if (first != tasks_.sent_short.end()) next = first->sent_at + config_.timers.command;
    const auto patient = std::ranges::find_if(tasks_.sent_patient, is_untold);
    if (patient != tasks_.sent_patient.end()) {
        next = earlier(next, patient->sent_at + config_.timers.flush);
    }
    return next;
}

Instant Session::next_target_deadline() const noexcept {
    if (!has_transport()) return Instant::never();
    Instant next = rung_ == Rung::None ? next_command_deadline() : deadlines_.task_management;
    next = earlier(next, earlier(deadlines_.probe, deadlines_.window));
    for (const Connection* const conn : conns_) {
        for (const Instant at : {conn->login_by, conn->logout_by, conn->keep_alive.dead_at(),
                                 conn->repair.answer_by, conn->reinstatement.answer_by}) {
            next = earlier(next, at);
        }
    }
    return next;
}

Instant Session::next_wake() const noexcept {
    if (stage_ == Stage::Ended || stage_ == Stage::Idle) return Instant::never();
    const Instant target = next_target_deadline();
    const Instant own = next_own_deadline();
    return target.is_never() ? own : earlier(own, std::max(target, lenient_until_));
}

/// Our own host was so late: the target gets as much time again.
/// One pause is told of twice, by the wake-up that came late and by what was sent late: it counts
/// once.
void Session::grant(Instant now, Duration late) noexcept {
    if (late < kLatenessOrdinary || granted_ >= kGraceMax) return;
    if (is_sabotaged(Sabotage::IgnoreLateness)) return;
    const Duration fresh = std::min(late, std::max(now - granted_at_, Duration{}));
    const Duration grace = std::min(fresh, kGraceMax - granted_);
    granted_at_ = now;
    granted_ = granted_ + grace;
    lenient_until_ = std::max(lenient_until_, now + grace);
}

void Session::wake(Instant now, Duration late) noexcept {
    if (stage_ == Stage::Ended || stage_ == Stage::Idle) return;
    grant(now, late);
    judge_own_deadlines(now);
    const auto is_lent = [](const Connection* conn) { return !conn->lent_at.is_never(); };
    if (is_sabotaged(Sabotage::ExcuseClogs) && std::ranges::any_of(conns_, is_lent)) return;
    if (now >= lenient_until_ && has_transport()) judge_target(now);
    on_departure_progress(now);
}

void Session::wake_resting(Instant now) noexcept {
    auto at = tasks_.resting.begin();
    while (at != tasks_.resting.end()) {
        Task& task = *at;
        ++at;
        if (task.retry_at <= now) tasks_.set_ready_in_order(task);
    }
}

void Session::judge_own_deadlines(Instant now) noexcept {
    wake_resting(now);
    for (Connection* const conn : conns_) {
        if (conn->keep_alive.is_silent(now)) conn->keep_alive.want_ping(now);
    }
    if (deadlines_.task_management_again <= now) {
        deadlines_.task_management_again = Instant::never();
        rung_unsent_ = rung_ != Rung::None;
    }
    if (deadlines_.probe_again <= now) {
        deadlines_.probe_again = Instant::never();
        if (probe_use_ == ProbeUse::Facts) probe_.on_waited();
        send_probe_commands();
    }
    if (deadlines_.replacement <= now) {
        deadlines_.replacement = Instant::never();
        is_failing_fast_ = true;
        fail_waiting(is_other_device_ ? Outcome::Gone : Outcome::TimedOut);
        if (stage_ == Stage::Ready) lose(now, LossReason::ReinstatementFailed);
    }
    if (deadlines_.fence <= now) {
        deadlines_.fence = Instant::never();
        on_fenced(now, FenceRung::WaitedOut);
    }
    if (deadlines_.reconnect <= now) {
        deadlines_.reconnect = Instant::never();
        connect(leading(), now);
    }
    for (Connection* const conn : conns_) {
        if (!judge_reinstatement(*conn, now)) return;
    }
    add_connections(now);
}

/// False: the connection has failed, and the session with it.
bool Session::judge_connection(Connection& conn, Instant now) noexcept {
    if (conn.login_by <= now && is_being_added(conn)) drop_added(conn, now);
    if (conn.keep_alive.dead_at() <= now) {
        ++counters_.nop_timeouts;
        note(NoticeKind::NopTimeout,
             static_cast<std::uint64_t>((now - conn.keep_alive.heard_at()).ms()),
             static_cast<std::uint64_t>(granted_.ms()));
        lose_connection(conn, now, LossReason::NopTimeout);
    } else if (conn.login_by <= now) {
        note(NoticeKind::ConnectFailed, losses_in_row_ + 1U);
        lose(now, LossReason::LoginFailed);
    } else if (conn.logout_by <= now) {
        lose(now, LossReason::AsyncLogout);
    } else if (conn.reinstatement.answer_by <= now) {
        lose(now, LossReason::ReinstatementFailed);
    } else {
        return conn.repair.answer_by > now || judge_repair(conn, now);
    }
    return false;
}

void Session::judge_target(Instant now) noexcept {
    for (Connection* const conn : conns_) {
        if (!judge_connection(*conn, now)) return;
    }
    if (deadlines_.probe <= now) return on_probe_failed(now, ProbeError::NotReady);
    judge_window(now);
    if (rung_ != Rung::None) {
        if (deadlines_.task_management <= now) climb(now, RungEvent::NoAnswer);
        return;
    }
    const auto is_untold = [](const Task& task) { return !task.timed_out; };
    const auto first = std::ranges::find_if(tasks_.sent_short, is_untold);
    if (first != tasks_.sent_short.end() && first->sent_at + config_.timers.command <= now) {
        return on_command_timeout(now, *first);
    }
    const auto patient = std::ranges::find_if(tasks_.sent_patient, is_untold);
    if (patient != tasks_.sent_patient.end() && patient->sent_at + config_.timers.flush <= now) {
        on_command_timeout(now, *patient);
    }
}

/// A window that stays closed with nothing outstanding will never open by an answer. First a ping,
/// whose answer carries the window; then the session is dropped (conformance SEQ-08).
void Session::judge_window(Instant now) noexcept {
    const bool is_stuck = stage_ == Stage::Ready && !window_.is_open() &&
                          tasks_.sent_count() == 0 && !tasks_.ready.empty();
    if (!is_stuck) {
        deadlines_.window = Instant::never();
        return;
    }
    if (deadlines_.window.is_never()) {
        deadlines_.window = now + config_.timers.command;
        working().keep_alive.want_ping(now);
    } else if (deadlines_.window <= now) {
        lose(now, LossReason::WindowStuck);
    }
}

}  // namespace holdfast::initiator
