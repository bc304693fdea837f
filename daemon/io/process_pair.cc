#include "daemon/io/process_pair.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "daemon/io/child.h"
#include "daemon/io/driver.h"
#include "daemon/io/io_config.h"
#include "daemon/io/io_process.h"
#include "daemon/io/maker.h"
#include "daemon/io/nbd_export.h"
#include "daemon/io/unit_lock.h"
#include "daemon/shared/flight_reader.h"

namespace holdfast::daemon {

using enum std::memory_order;
using watchdog::ActivePhase;
using watchdog::Death;
using watchdog::HeartbeatWatch;
using watchdog::PairOrder;
using watchdog::StandbySeat;

std::array<char, 32> ublk_path(std::int32_t id) noexcept {
    constexpr std::string_view kPrefix = "/dev/ublkb";
    std::array<char, 32> path{};
    std::ranges::copy(kPrefix, path.begin());
    const auto rest = std::span{path}.subspan(kPrefix.size());
    std::to_chars(&rest.front(), &rest.back(), id);
    return path;
}

OrErrno<void> ProcessPair::open(AttachmentId id, const AttachSpec& spec, GateFiles gate) noexcept {
    HF_ASSERT(!is_used_);
    gate_ = std::move(gate);
    const bool hears_reclaim = static_cast<bool>(std::span{gate_.all}[GateFiles::kEvents]);
    if (gate_.has_any() && !hears_reclaim) {
        auto table = netpath::classifier::ClassifierTable::map(
            std::span{gate_.all}[GateFiles::kShared].get());
        if (!table) return std::unexpected(table.error());
        gate_table_ = *std::move(table);
    }
    is_used_ = true;
    id_ = id;
    spec_ = spec;
    is_stopping_ = is_upgrading_ = uses_program_ = false;
    pair_ = watchdog::Pair{};
    active_ = standby_ = Process{};
    device_ = -1;
    died_at_ = Instant::never();
    // First, because a process that was left behind has the same listener's path, too.
    auto lock = lock_unit(spec);
    if (!lock) return std::unexpected(lock.error());
    lock_ = *std::move(lock);
    auto area = make_shared_area(flight_shape_of(spec));
    if (!area) return std::unexpected(area.error());
    area_ = *std::move(area);
    auto mapped = SharedMapping::map(area_.get());
    if (!mapped) return std::unexpected(mapped.error());
    shared_ = *std::move(mapped);
    shared_.keep_from_children();
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return std::unexpected(Errno::last());
    control_end_ = UniqueFd{ends[0]};
    io_end_ = UniqueFd{ends[1]};
    order_ = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!order_) return std::unexpected(Errno::last());
    if (spec.exported.kind != ExportKind::Nbd) return {};
    auto listening = listen_for_nbd(spec.exported.nbd_socket_path.view());
    if (!listening) return std::unexpected(listening.error());
    listener_ = *std::move(listening);
    return {};
}

OrErrno<void> ProcessPair::start(const PairContext& context) noexcept {
    HF_ASSERT(is_used_ && active_.pid == 0);
    const auto pid = make_io(context, false, false);
    if (!pid) return std::unexpected(pid.error());
    active_ = {.pid = *pid};
    publish();
    return {};
}

void ProcessPair::forget() noexcept {
    if (standby_.pid > 0) ::kill(standby_.pid, SIGKILL);
    is_used_ = false;
    settling_pid_ = 0;
    shared_ = SharedMapping{};
    for (UniqueFd* const fd : {&area_, &control_end_, &io_end_, &listener_, &order_, &lock_})
        fd->reset();
    gate_ = GateFiles{};
    gate_table_ = netpath::classifier::ClassifierTable{};
}

/// The first claim counts: no later one can point at another device.
std::int32_t ProcessPair::learn_device() noexcept {
    if (device_ < 0) device_ = block().device_id.load(acquire);
    return device_;
}

bool ProcessPair::needs_kernel_reserve() const noexcept {
    return daemon::needs_kernel_reserve(spec_, block().is_zero_copy.load(acquire) != 0);
}

bool ProcessPair::wants_standby() const noexcept {
    return !is_stopping_ && (is_upgrading_ || (spec_.flags & kAttachWithoutStandby) == 0);
}

// New processes.

OrErrno<pid_t> ProcessPair::make_io(const PairContext& context, bool stands_by,
                                    bool succeeds) noexcept {
    HF_ASSERT(context.maker != nullptr);
    MakeRequest request{.kind = MakeKind::IoProcess};
    request.succeeds = succeeds ? 1 : 0;
    request.is_of_program = uses_program_ && stands_by ? 1 : 0;
    request.device = succeeds ? device_ : -1;
    request.attachment = id_.raw();
    request.kernel_reserve = context.kernel_reserve;
    request.spec = spec_;
    std::array<int, kMakeFdsMax> fds{area_.get(), io_end_.get(), listener_.get(), lock_.get(),
                                     stands_by ? order_.get() : -1};
    std::ranges::transform(gate_.all, std::span{fds}.last<GateFiles::kCount>().begin(),
                           [](const UniqueFd& fd) { return fd.get(); });
    return context.maker->make(request, fds);
}

// Ends.

Death ProcessPair::death_of(const Process& process, int status) const noexcept {
    // What is told to end may end in any way.
    if (is_stopping_) return Death::Left;
    if (process.was_silent) return Death::Hung;
    if (WIFSIGNALED(status)) return watchdog::death_by_signal(WTERMSIG(status));
    if (WEXITSTATUS(status) == kIoExitDetached) return Death::Left;
    // A successor that failed: where requests wait for ever, another one is worth a try.
    const bool waits_for_ever = spec_.session.timers.replacement == Duration::max();
    const bool succeeds = pair_.state().active == ActivePhase::TakingOver;
    return succeeds && waits_for_ever ? Death::Crashed : Death::Left;
}

bool ProcessPair::on_exit(pid_t pid, int status, Instant own, const PairContext& context) noexcept {
    HF_ASSERT(owns(pid));
    if (pid == standby_.pid) {
        if (standby_.is_new) fail_upgrade();
        standby_ = Process{};
        pair_.on_standby_gone(own);
        publish();
        return false;
    }
    died_at_ = Driver::clock();
    block().died_at_ns.store(died_at_.ns(), relaxed);
    static_cast<void>(learn_device());
    const Death death = death_of(active_, status);
    active_ = Process{};
    if (!is_upgrading_) {  // Which kills it by our order.
        block().last_death.store(static_cast<std::uint32_t>(death), relaxed);
        block().last_signal.store(WIFSIGNALED(status) ? WTERMSIG(status) : 0, relaxed);
    }
    const PairOrder order = pair_.on_active_gone(own, death);
    carry_out(order, own, context);
    return order == PairOrder::End;
}

void ProcessPair::carry_out(PairOrder order, Instant own, const PairContext& context) noexcept {
    switch (order) {
    case PairOrder::None:
    case PairOrder::End: break;  // forget() ends the standby.
    case PairOrder::MakeStandby: make_standby(own, context); break;
    case PairOrder::TakeOver: hand_over(own); break;
    case PairOrder::Succeed: succeed(own, context); break;
    case PairOrder::Hold:
        put_lines("holdfastd: ");
        put_lines(spec_.name.view());
        put_lines(": too many deaths of its I/O process; requests wait, see holdfast status\n");
        break;
    }
    publish();
}

void ProcessPair::make_standby(Instant own, const PairContext& context) noexcept {
    const auto pid = make_io(context, true, false);
    if (!pid) return;  // The next look tries again.
    standby_ = {.pid = *pid, .is_new = uses_program_};
    standby_.watch.begin(own, HeartbeatWatch::kWarmUpLimit, block().standby_beats.load(relaxed));
    pair_.on_standby_made();
}

void ProcessPair::hand_over(Instant own) noexcept {
    block().order_device.store(device_, relaxed);
    block().order_pid.store(standby_.pid, release);
    constexpr std::uint64_t kOne = 1;
    const ssize_t written = ::write(order_.get(), &kOne, sizeof(kOne));
    HF_ASSERT(written == sizeof(kOne));
    active_ = std::exchange(standby_, Process{});
    active_.watch.begin(own, HeartbeatWatch::kTakeoverLimit, active_beats());
}

void ProcessPair::succeed(Instant own, const PairContext& context) noexcept {
    const auto pid = make_io(context, false, true);
    if (!pid) {
        carry_out(pair_.on_successor_not_started(own), own, context);
        return;
    }
    active_ = {.pid = *pid};
    active_.watch.begin(own, HeartbeatWatch::kWarmUpLimit, active_beats());
}

// Looks.

std::uint64_t ProcessPair::active_beats() const noexcept {
    return StatusReader{shared_.area().status}.heartbeat();
}

void ProcessPair::judge(Process& process, const watchdog::Look& look,
                        std::uint64_t beats) noexcept {
    if (process.pid <= 0 || process.was_silent || !process.watch.is_silent(look, beats)) return;
    process.was_silent = true;
    process.killed_at = look.at;
    block().hangs.fetch_add(1, relaxed);
    ::kill(process.pid, SIGKILL);
}

void ProcessPair::take_claims(const watchdog::Look& look) noexcept {
    if (active_.pid > 0 && block().serving_pid.load(acquire) == active_.pid &&
        pair_.state().active != ActivePhase::Serving) {
        static_cast<void>(pair_.on_active_serves());
        active_.watch.begin(look.at, HeartbeatWatch::kLoopLimit, active_beats());
        if (!died_at_.is_never()) {
            const Instant since = Instant::from_ns(block().serving_since_ns.load(relaxed));
            const std::int64_t took = (since - died_at_).ns();
            block().takeover_last_ns.store(took, relaxed);
            judge_upgrade(took);
            block().takeover_worst_ns.store(std::max(took, block().takeover_worst_ns.load(relaxed)),
                                            relaxed);
        }
        publish();
    }
    if (standby_.pid > 0 && block().standing_pid.load(acquire) == standby_.pid &&
        pair_.state().standby == StandbySeat::Warming) {
        pair_.on_standby_stands();
        standby_.watch.begin(look.at, HeartbeatWatch::kLoopLimit,
                             block().standby_beats.load(relaxed));
        if (is_upgrading_ && standby_.is_new) replace_active();
        publish();
    }
}

void ProcessPair::on_look(const watchdog::Look& look, const PairContext& context) noexcept {
    HF_ASSERT(is_used_);
    static_cast<void>(learn_device());
    take_claims(look);
    // Before it has served control decides how long to wait for it.
    if (pair_.state().active != ActivePhase::Opening && !is_stopping_)
        judge(active_, look, active_beats());
    if (standby_.pid > 0) judge(standby_, look, block().standby_beats.load(relaxed));
    if (is_stopping_) return;
    const PairOrder order = pair_.on_look(look.at, wants_standby());
    if (order != PairOrder::None) carry_out(order, look.at, context);
}

void ProcessPair::publish() const noexcept {
    watchdog::WatchBlock& told = block();
    told.active_phase.store(static_cast<std::uint32_t>(pair_.state().active), relaxed);
    told.standby_seat.store(static_cast<std::uint32_t>(pair_.state().standby), relaxed);
    told.active_pid.store(active_.pid, relaxed);
    told.standby_pid.store(standby_.pid, relaxed);
    told.wants_standby.store(wants_standby() ? 1 : 0, relaxed);
    told.takeovers.store(pair_.takeovers(), relaxed);
    told.is_upgrading.store(is_upgrading_ ? 1 : 0, relaxed);
}

// Upgrade: a death that we order, behind which a standby of the new program stands.

void ProcessPair::begin_upgrade() noexcept {
    if (is_upgrading_ || is_stopping_) return;
    is_upgrading_ = uses_program_ = true;
    active_.is_new = standby_.is_new = false;  // Whatever an earlier upgrade made of them.
    if (standby_.pid > 0) ::kill(standby_.pid, SIGKILL);
    publish();
}

void ProcessPair::replace_active() noexcept {
    if (active_.pid > 0) ::kill(active_.pid, SIGKILL);
}

/// A takeover has come to its end; whose it was shows what serves.
void ProcessPair::judge_upgrade(std::int64_t pause_ns) noexcept {
    if (!is_upgrading_) return;
    if (!active_.is_new) return fail_upgrade();
    is_upgrading_ = false;
    block().upgrade_pause_ns.store(pause_ns, relaxed);
    block().upgrades.fetch_add(1, release);
}

/// The old program goes on.
void ProcessPair::fail_upgrade() noexcept {
    if (!std::exchange(is_upgrading_, false)) return;
    uses_program_ = false;
    block().upgrades_failed.fetch_add(1, release);
}

// Shutdown.

void ProcessPair::order_detach(bool hurry) noexcept {
    is_stopping_ = true;
    ControlMessage message{.header = {.kind = MessageKind::Detach, .attachment = id_}};
    message.hurry = hurry ? 1 : 0;
    if (!send_message(control_end_.get(), bytes_of(message)) && hurry) kill_all();
}

void ProcessPair::kill_all() const noexcept {
    for (const Process* const process : {&active_, &standby_})
        if (process->pid > 0) ::kill(process->pid, SIGKILL);
}

/// Mounted, or swap: an exclusive open says so.
bool ProcessPair::is_in_use() const noexcept {
    if (device_ < 0) return false;
    const auto path = ublk_path(device_);
    const UniqueFd fd{::open(path.data(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC)};
    return !fd && errno == EBUSY;
}

}  // namespace holdfast::daemon
