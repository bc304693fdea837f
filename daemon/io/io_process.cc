#include "daemon/io/io_process.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "daemon/io/driver.h"
#include "daemon/io/flow_guard.h"
#include "daemon/io/io_config.h"
#include "daemon/io/loop.h"
#include "daemon/io/nbd_export.h"
#include "daemon/io/shared_plan.h"
#include "daemon/io/tier.h"
#include "daemon/io/ublk_export.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/rights.h"
#include "daemon/shared/shared_area.h"
#include "reserve/arena.h"
#include "reserve/confinement.h"
#include "reserve/fuse.h"
#include "reserve/heap.h"
#include "reserve/kernel_file.h"
#include "reserve/lockdown.h"
#include "reserve/number_text.h"
#include "reserve/plan.h"
#include "reserve/sandbox.h"

namespace holdfast::daemon {

namespace {

using initiator::NoticeKind;

// Above ordinary threads and most kernel threads' work, below the supervisor.
constexpr std::int32_t kIoPriority = 50;
// Four signs of life a second; see docs/watchdog.md.
constexpr Duration kStandbySleep = Duration::from_ms(250);
// A detach that stopped the export but cannot log out: the target gets this long.
constexpr Duration kLogoutMax = Duration::from_s(30);
// The reserved path. A process that takes over may find the interface down; less than a standby may
// take to warm up.
constexpr Duration kRouteWait = Duration::from_s(30);
constexpr Duration kRouteRetry = Duration::from_ms(250);
// Who had the queues lets go of them in the kernel's own time, some ten milliseconds after its
// death. Less than the silence that a takeover is allowed.
constexpr Duration kQueueWaitAfterDeath = Duration::from_s(8);
constexpr Duration kQueueWait = Duration::from_s(2);
constexpr Duration kQueueRetry = Duration::from_ms(5);

/// For times in which nothing can wake us.
void sleep_for(Duration time) noexcept {
    const timespec left{.tv_sec = 0, .tv_nsec = time.ns()};
    ::nanosleep(&left, nullptr);
}

/// A successor that starts cold needs memory while nothing can be swapped out: it may take what is
/// kept for the likes of it. A refusal shows in protect().
void claim_reserve() noexcept {
    const sched_param priority{.sched_priority = kIoPriority};
    ::sched_setscheduler(0, SCHED_FIFO, &priority);
    ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/// See run_io_process(). An object of static storage: it is large and never destroyed.
class IoProcess {
public:
    IoProcess(const AttachSpec& spec, IoInheritance inheritance) noexcept
        : spec_(spec), inheritance_(std::move(inheritance)) {}

    int run() noexcept {
        if (!prepare()) return kIoExitFailed;
        if (stands_by() && !stand_by()) return kIoExitFailed;
        if (!begin() || !log_in() || !make_export() || !arm())
            return was_told_to_leave() ? kIoExitDetached : kIoExitFailed;
        serve();
        leave();
        return kIoExitDetached;
    }

private:
    [[nodiscard]] bool prepare() noexcept;
    [[nodiscard]] bool take_memory() noexcept;
    [[nodiscard]] bool find_path() noexcept;
    [[nodiscard]] bool take_queues() noexcept;
    [[nodiscard]] bool stand_by() noexcept;
    void await_order() noexcept;
    [[nodiscard]] bool begin() noexcept;
    [[nodiscard]] bool log_in() noexcept;
    [[nodiscard]] bool make_export() noexcept;
    [[nodiscard]] OrErrno<void> begin_export() noexcept;
    [[nodiscard]] OrErrno<UniqueFd> listener() noexcept;
    bool refuse_export(int error) noexcept;
    void protect() noexcept;
    void leave_files() noexcept;
    void enter_sandbox() noexcept;
    [[nodiscard]] bool arm() noexcept;
    void tell_serving(IoPhase phase) noexcept;
    void say_since_death(IoEvent event) noexcept;
    void say_setting(IoEvent event, const reserve::SettingState& setting) noexcept;
    void serve() noexcept;
    void leave() noexcept;
    void finish_telling() noexcept;

    [[nodiscard]] bool stands_by() const noexcept { return inheritance_.order.get() >= 0; }
    [[nodiscard]] bool takes_over() const noexcept { return stands_by() || inheritance_.succeeds; }
    [[nodiscard]] bool was_told_to_leave() const noexcept {
        return loop_->detach() != IoLoop::Detach::No;
    }
    [[nodiscard]] bool is_locked_down() const noexcept {
        return (spec_.flags & kAttachWithoutLockdown) == 0;
    }
    [[nodiscard]] bool is_ublk() const noexcept { return spec_.exported.kind == ExportKind::Ublk; }
    [[nodiscard]] StatusFacts first_facts() const noexcept;
    [[nodiscard]] ControlMessage message(MessageKind kind) const noexcept;
    [[nodiscard]] bool map_gate() noexcept;
    void look_at_gate() noexcept;
    [[nodiscard]] reserve::Protection ring_row() noexcept;
    [[nodiscard]] reserve::Protection path_row() noexcept;
    void publish_row(const reserve::Protection& row) noexcept;
    void publish_rows() noexcept;
    /// Always false.
    bool fail(FailReason reason, std::uint64_t code) noexcept;
    bool fail_early(FailReason reason, std::uint64_t code) noexcept;

    AttachSpec spec_;
    IoInheritance inheritance_;
    SharedMapping shared_;
    DriverConfig config_;
    reserve::MemoryPlan plan_;
    std::optional<reserve::Arena> arena_;
    Driver driver_;
    std::optional<IoLoop> loop_;
    reserve::Protections rows_;
    std::optional<reserve::Sandbox> sandbox_;
    UblkControl ublk_control_;
    std::array<std::byte, 8> order_word_{};  // The eventfd's count.
    std::optional<UblkExport> ublk_;
    NbdExport* nbd_ = nullptr;
    netpath::FileSlot command_slot_{};
    std::uint64_t locked_bytes_ = 0;
    netpath::classifier::ClassifierTable gate_;
    std::optional<FlowGuard> guard_;
    std::optional<reserve::Protection> gate_row_;
    Exporter* exporter_ = nullptr;
};

ControlMessage IoProcess::message(MessageKind kind) const noexcept {
    ControlMessage made{
        .header = {.kind = kind, .attachment = AttachmentId{inheritance_.attachment}}};
    made.pid = ::getpid();
    return made;
}

StatusFacts IoProcess::first_facts() const noexcept {
    StatusFacts facts;
    facts.name = spec_.name;
    facts.profile = spec_.profile;
    facts.pid = ::getpid();
    facts.started = Driver::clock();
    facts.target_name = spec_.session.target_name;
    facts.lun = spec_.session.lun;
    facts.depth = spec_.limits.depth;
    facts.request_bytes_max = spec_.limits.request_bytes_max;
    facts.plan_bytes = plan_.total().raw();
    facts.kernel_reserve_kib = inheritance_.kernel_reserve.value;
    facts.exported.kind = spec_.exported.kind;
    facts.path.kind = spec_.path;
    return facts;
}

bool IoProcess::fail_early(FailReason reason, std::uint64_t code) noexcept {
    if (stands_by()) return false;  // Not control's business: the supervisor makes another one.
    ControlMessage told = message(MessageKind::Failed);
    told.reason = reason;
    told.code = code;
    // Nobody to tell: the exit code says it.
    static_cast<void>(send_message(inheritance_.command.get(), bytes_of(told)));
    return false;
}

bool IoProcess::fail(FailReason reason, std::uint64_t code) noexcept {
    loop_->enter(IoPhase::Failed);
    ControlMessage told = message(MessageKind::Failed);
    told.reason = reason;
    told.code = code;
    told.notice = loop_->last_notice();
    loop_->tell(told);
    finish_telling();
    return false;
}

/// Everything that takes something from the system and does not need the target.
bool IoProcess::prepare() noexcept {
    auto mapped = SharedMapping::map(inheritance_.area.get());
    if (!mapped)
        return fail_early(FailReason::NoProcess, static_cast<std::uint64_t>(mapped.error().code()));
    shared_ = *std::move(mapped);
    if (!map_gate() || !take_memory()) return false;
    const std::uint16_t command_slot = static_cast<std::uint16_t>(
        driver_.first_extra_file().raw() + (is_ublk() ? UblkExport::kFiles : NbdExport::kFiles));
    command_slot_ = netpath::FileSlot{command_slot};
    if (auto placed = driver_.ring().set_file(command_slot_, inheritance_.command.get()); !placed)
        return fail_early(FailReason::IoFailed, static_cast<std::uint64_t>(placed.error().code()));
    return true;
}

bool IoProcess::take_memory() noexcept {
    config_ = driver_config(spec_, takes_over());
    config_.flight = shared_.flight();
    if (!find_path()) return false;
    Driver::add_to_plan(plan_, config_);
    if (!is_ublk()) plan_.add_objects<NbdExport>("NBD clients", 1, "sessions and their stages");
    const ByteCount arena_bytes = plan_.total();
    add_shared_area_to_plan(plan_, spec_);
    reserve::add_image_to_plan(plan_, inheritance_.image, kHeapMore);
    auto arena = reserve::Arena::map(arena_bytes);
    if (!arena)
        return fail_early(FailReason::ArenaFailed,
                          static_cast<std::uint64_t>(arena.error().code()));
    arena_.emplace(*std::move(arena));
    // Now at the latest, before the kernel makes workers for our rings: they inherit it. A refusal
    // shows in protect().
    ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    auto prepared = driver_.prepare_in(config_, arena_->region(), arena_->bytes());
    if (!prepared)
        return fail_early(FailReason::IoFailed,
                          static_cast<std::uint64_t>(prepared.error().code()));
    return true;
}

/// The ways over the interface that control found, which has the classifier.
bool IoProcess::find_path() noexcept {
    if (spec_.path != NetworkPath::Xdp) return true;
    const Instant give_up = Driver::clock() + (takes_over() ? kRouteWait : Duration{});
    auto found = find_reserved_path(config_.session, config_.limits, config_.tcp);
    while (!found && Driver::clock() < give_up) {
        sleep_for(kRouteRetry);
        found = find_reserved_path(config_.session, config_.limits, config_.tcp);
    }
    if (found && found->routes[0].interface_index != spec_.gate.interface_index)
        found = std::unexpected(Errno{EXDEV});
    if (!found)
        return fail_early(FailReason::NoPath, static_cast<std::uint64_t>(found.error().code()));
    const std::span gate{inheritance_.gate.all};
    config_.reserved = *found;
    config_.reserved->table_fd = gate[GateFiles::kShared].get();
    config_.reserved->sockets_fd = gate[GateFiles::kSockets].get();
    config_.reserved->owner = netpath::classifier::FlowOwner{inheritance_.attachment};
    return true;
}

/// The queues of the interface, which only one socket can have at a time. Everything that they need
/// of this process is there.
bool IoProcess::take_queues() noexcept {
    const netpath::xdp::XdpPath* const path = driver_.reserved_path();
    if (path == nullptr) return true;
    const Instant began = Driver::clock();
    const Instant give_up = began + (takes_over() ? kQueueWaitAfterDeath : kQueueWait);
    for (;;) {
        const auto bound = driver_.bind_path(config_.reserved->sockets_fd);
        if (bound) break;
        const bool may_change = takes_over() || bound.error() == Errno{EBUSY};
        if (!may_change || Driver::clock() >= give_up)
            return fail(FailReason::NoPath, static_cast<std::uint64_t>(bound.error().code()));
        sleep_for(kQueueRetry);
        loop_->show_life();
    }
    PathState& state = loop_->facts().path;
    state.interface = spec_.gate.interface;
    state.is_zero_copy = path->is_zero_copy();
    state.queues = path->queue_count();
    // The supervisor hears of it, and lowers the reserve to what others need.
    shared_.area().watch.is_zero_copy.store(state.is_zero_copy ? 1 : 0, std::memory_order_release);
    if (state.is_zero_copy) loop_->facts().kernel_reserve_kib = 0;
    state.packet_bytes = path->packet_bytes();
    loop_->say(LogLevel::Info, IoEvent::QueuesTaken, state.queues,
               static_cast<std::uint64_t>((Driver::clock() - began).ns() / 1000));
    return true;
}

/// Until the supervisor's order. False: it cannot stand by.
bool IoProcess::stand_by() noexcept {
    ::prctl(PR_SET_NAME, "holdfast-spare");
    // From a supervisor that is gone no order will come, and the memory is worth more elsewhere.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The place of the export's first file, which is taken when there is an export.
    const auto placed =
        driver_.ring().set_file(driver_.first_extra_file(), inheritance_.order.get());
    if (!placed) return false;
    if (is_ublk() && !UblkExport::warm_up(ublk_control_)) return false;
    if (is_locked_down()) {
        protect();
        auto standing = reserve::Sandbox::build(reserve::standing_calls());
        leave_files();
        reserve::fuse::arm_this_thread();
        // A refusal shows in `status --security`; the filter of arm() comes on top.
        if (standing) static_cast<void>(standing->enter());
    }
    await_order();
    ::prctl(PR_SET_PDEATHSIG, 0);
    ::prctl(PR_SET_NAME, "holdfast-io");
    inheritance_.recover_ublk_id =
        shared_.area().watch.order_device.load(std::memory_order_relaxed);
    return true;
}

void IoProcess::await_order() noexcept {
    watchdog::WatchBlock& watch = shared_.area().watch;
    netpath::Ring& ring = driver_.ring();
    const std::int32_t self = ::getpid();
    bool is_reading = false;
    watch.standing_pid.store(self, std::memory_order_release);
    // The read must have come home, because its memory and its place are needed for other things.
    while (is_reading || watch.order_pid.load(std::memory_order_acquire) != self) {
        if (!is_reading)
            ring.read(driver_.first_extra_file(), order_word_,
                      {.owner = static_cast<std::uint8_t>(RingOwner::Order)});
        is_reading = true;
        ring.submit_and_wait(kStandbySleep);
        while (ring.poll_completed()) is_reading = false;
        watch.standby_beats.fetch_add(1, std::memory_order_relaxed);
    }
}

/// From here on this process is the one who writes status and log.
bool IoProcess::begin() noexcept {
    driver_.make_engine_in(config_, arena_->region());
    loop_.emplace(driver_, shared_.area(), first_facts());
    // The reserved path enters each flow by itself, and renews the lease.
    if (gate_.is_mapped() && spec_.path == NetworkPath::Kernel) {
        guard_.emplace(gate_, netpath::classifier::FlowOwner{inheritance_.attachment});
        if (!guard_->begin(spec_.session.portals.span(), Driver::clock()))
            return fail(FailReason::IoFailed, static_cast<std::uint64_t>(ENOSPC));
        loop_->guard_with(*guard_);
    }
    loop_->watch_commands(command_slot_, AttachmentId{inheritance_.attachment});
    loop_->say(LogLevel::Info, IoEvent::Started, static_cast<std::uint64_t>(::getpid()));
    loop_->say(LogLevel::Info, IoEvent::PlanMade, plan_.total().raw(), arena_->bytes().size());
    if (!take_queues()) return false;
    if (!loop_->facts().path.is_zero_copy)
        say_setting(IoEvent::KernelReserveSet, inheritance_.kernel_reserve);
    if (!takes_over() || !is_ublk()) return true;
    // The kernel may let go of the dead process while we log in.
    if (auto begun = begin_export(); !begun) return refuse_export(begun.error().code());
    return true;
}

bool IoProcess::log_in() noexcept {
    loop_->enter(IoPhase::LoggingIn);
    driver_.start();
    while (driver_.state() == DriverState::Opening) {
        loop_->turn();
        if (loop_->detach() != IoLoop::Detach::No) return fail(FailReason::None, 0);
    }
    if (driver_.state() == DriverState::Ready) return true;
    const NoticeKind last = loop_->last_notice().kind;
    FailReason reason = FailReason::LoginFailed;
    if (last == NoticeKind::ProbeFailed) reason = FailReason::ProbeFailed;
    if (last == NoticeKind::ConnectFailed || last == NoticeKind::SessionLost)
        reason = FailReason::Unreachable;
    return fail(reason, 0);
}

OrErrno<void> IoProcess::begin_export() noexcept {
    const ExportSpec& wish = spec_.exported;
    if (is_ublk()) {
        ublk_.emplace(driver_, loop_->meter(), ublk_control_,
                      UblkOptions{.id_wish = wish.ublk_id_wish,
                                  .recover_id = inheritance_.recover_ublk_id,
                                  .read_only = wish.read_only,
                                  .depth = spec_.limits.depth,
                                  .request_bytes_max = spec_.limits.request_bytes_max});
        exporter_ = &*ublk_;
        loop_->set_exporter(*exporter_);
        auto begun = ublk_->begin();
        shared_.area().watch.device_id.store(ublk_->id(), std::memory_order_release);
        return begun;
    }
    const NbdOptions options{.name = spec_.name.view(),
                             .path = wish.nbd_socket_path.view(),
                             .read_only = wish.read_only,
                             .depth = spec_.limits.depth,
                             .request_bytes_max = spec_.limits.request_bytes_max};
    nbd_ = &arena_->region().make<NbdExport>(driver_, loop_->meter(), options);
    exporter_ = nbd_;
    loop_->set_exporter(*exporter_);
    auto listening = listener();
    if (!listening) return std::unexpected(listening.error());
    return nbd_->begin(*std::move(listening));
}

/// The supervisor's, which survives us; without one our own.
OrErrno<UniqueFd> IoProcess::listener() noexcept {
    if (inheritance_.listener) return std::move(inheritance_.listener);
    return listen_for_nbd(spec_.exported.nbd_socket_path.view());
}

bool IoProcess::refuse_export(int error) noexcept {
    const auto code = static_cast<std::uint64_t>(error);
    loop_->say(LogLevel::Error, IoEvent::ExportFailed,
               static_cast<std::uint64_t>(spec_.exported.kind), code);
    const bool has_no_driver = is_ublk() && error == ENOENT;
    return fail(has_no_driver ? FailReason::NoUblk : FailReason::ExportFailed, code);
}

bool IoProcess::make_export() noexcept {
    loop_->enter(IoPhase::Exporting);
    if (exporter_ == nullptr)
        if (auto begun = begin_export(); !begun) return refuse_export(begun.error().code());
    while (exporter_->phase() == ExportPhase::Making) loop_->turn();
    if (takes_over() && is_ublk()) say_since_death(IoEvent::DeviceAdopted);
    if (exporter_->phase() != ExportPhase::Serving) return refuse_export(exporter_->error());
    const std::uint64_t id = ublk_ ? static_cast<std::uint64_t>(ublk_->id()) : 0;
    loop_->say(LogLevel::Note, IoEvent::ExportReady,
               static_cast<std::uint64_t>(spec_.exported.kind), id);
    return true;
}

void IoProcess::say_setting(IoEvent event, const reserve::SettingState& setting) noexcept {
    if (setting.value != setting.found)
        loop_->say(LogLevel::Note, event, setting.value, setting.found);
}

reserve::Protection IoProcess::ring_row() noexcept {
    const bool is_limited = driver_.ring().grants().restricted;
    const bool is_control_limited = !ublk_control_.is_open() || ublk_control_.is_limited();
    return reserve::protection("ring limits", "refuse the rest",
                               is_limited && is_control_limited ? "refuse the rest"
                               : is_limited                     ? "not on the control ring"
                                                                : "not on the ring",
                               is_limited && is_control_limited,
                               "io_uring takes no restrictions; needs Linux 5.10");
}

/// How frames cross, as the kernel said when the queues were taken.
reserve::Protection IoProcess::path_row() noexcept {
    const bool is_zero_copy = loop_->facts().path.is_zero_copy;
    return reserve::protection("network path", "AF_XDP, zero copy",
                               is_zero_copy ? "AF_XDP, zero copy" : "AF_XDP, copy mode",
                               is_zero_copy,
                               "AF_XDP copies, and allocates for each frame sent: the driver has "
                               "no zero copy");
}

void IoProcess::publish_row(const reserve::Protection& row) noexcept {
    StatusFacts& facts = loop_->facts();
    const bool fits = facts.protections.try_push({.name = row.name,
                                                  .wanted = row.wanted,
                                                  .found = row.found,
                                                  .advice = row.advice,
                                                  .holds = row.holds});
    if (fits && !row.holds)
        loop_->say(LogLevel::Warning, IoEvent::ProtectionMissing, facts.protections.size() - 1);
}

void IoProcess::publish_rows() noexcept {
    for (const reserve::Protection& row : rows_) publish_row(row);
    if (gate_row_) publish_row(*gate_row_);
}

/// The table is mapped before anything is locked. A standby has a mapping of its own.
bool IoProcess::map_gate() noexcept {
    if (!inheritance_.gate.has_any()) return true;
    auto table = netpath::classifier::ClassifierTable::map(
        std::span{inheritance_.gate.all}[GateFiles::kShared].get());
    if (!table)
        return fail_early(FailReason::IoFailed, static_cast<std::uint64_t>(table.error().code()));
    gate_ = *std::move(table);
    return true;
}

/// What the classifier is, read back: attached where control said, with a lease that runs.
void IoProcess::look_at_gate() noexcept {
    const GateSpec& gate = spec_.gate;
    if (gate.state == GateState::NotWanted) return;
    if (!gate_.is_mapped()) {
        gate_row_ = reserve::protection("drop gate", "native", "none", false, gate.refusal.view());
        return;
    }
    const int link = std::span{inheritance_.gate.all}[GateFiles::kLink].get();
    const auto interface = netpath::classifier::linked_interface(link);
    const bool is_there = interface && *interface == gate.interface_index;
    const bool is_leased = gate_.lease_until() > Driver::clock();
    const bool is_native = gate.state == GateState::Native;
    std::string_view found = is_native ? "native" : "generic";
    std::string_view advice = "it runs behind the driver: take a card with native XDP";
    const bool drops = gate_.pressure_mode() != netpath::classifier::PressureMode::Off;
    if (!drops) {
        found = "drops nothing";
        advice = "it drops nothing: attach with classifier = \"auto\" and a management_port";
    }
    if (!is_leased) found = advice = "no lease";
    if (!is_there) found = advice = "its interface has gone";
    gate_row_ = reserve::protection("drop gate", "native", found,
                                    is_there && is_native && is_leased && drops, advice);
}

/// All protections but those of arm(): the last is the filter, which is built here and put on in
/// arm().
void IoProcess::protect() noexcept {
    const auto sparse = reserve::heap::sparse_ranges();
    const reserve::LockdownWish wish{.fifo_priority = kIoPriority, .sparse = sparse};
    rows_ = reserve::lock_down(wish);
    locked_bytes_ = reserve::read_kernel_field("/proc/self/status", "VmLck").value_or(0) * 1024;
    // A refusal shows when it is to be entered.
    if (auto built = reserve::Sandbox::build(reserve::armed_calls()); built)
        sandbox_.emplace(*std::move(built));
}

/// Behind everything that reads /proc.
void IoProcess::leave_files() noexcept {
    rows_.push(reserve::leave_mounts());
}

void IoProcess::enter_sandbox() noexcept {
    const auto row = sandbox_ ? sandbox_->enter() : std::unexpected(Errno{ENOTSUP});
    rows_.push(row ? *row
                   : reserve::protection(
                         "seccomp", "filter", row.error().text(), false,
                         "seccomp is refused; build the kernel with CONFIG_SECCOMP_FILTER"));
}

/// Nothing but serving may come after this.
bool IoProcess::arm() noexcept {
    StatusFacts& facts = loop_->facts();
    if (!is_locked_down()) {
        facts.tier_reasons.push({});
        facts.tier_reasons[0].assign_cut("attached without lockdown, as asked");
        tell_serving(IoPhase::Serving);
        return true;
    }
    loop_->enter(IoPhase::Locking);
    if (!stands_by()) {
        protect();
        leave_files();
    }
    // Not before the queue is mapped: what is mapped now is locked, and that needs a right.
    rows_.push(ring_row());
    if (spec_.path == NetworkPath::Xdp) rows_.push(path_row());
    rows_.push(kernel_reserve_row(spec_, inheritance_.kernel_reserve, facts.path.is_zero_copy));
    rows_.push(reserve::enter_landlock());
    look_at_gate();
    rows_.push(drop_rights(is_ublk() ? Rights::SystemAdministration : Rights::None));
    enter_sandbox();
    facts.locked_bytes = locked_bytes_;
    publish_rows();
    const TierVerdict verdict =
        judge_tier(rows_, spec_.exported.kind, gate_row_ ? &*gate_row_ : nullptr, spec_.path);
    facts.tier = verdict.tier;
    facts.tier_reasons = verdict.reasons;
    loop_->say(LogLevel::Note, IoEvent::TierGiven, static_cast<std::uint64_t>(verdict.tier));
    // A successor serves whatever it can promise: requests wait for it.
    const bool may_go_on = takes_over() || (spec_.flags & kAttachForceTier) != 0;
    if (verdict.tier > spec_.tier_demanded && !may_go_on)
        return fail(FailReason::TierTooLow, static_cast<std::uint64_t>(verdict.tier));

    loop_->say(LogLevel::Note, IoEvent::Armed, facts.locked_bytes / 1024);
    if (!stands_by()) reserve::fuse::arm_this_thread();
    tell_serving(IoPhase::Armed);
    return true;
}

void IoProcess::say_since_death(IoEvent event) noexcept {
    const std::int64_t died_at = shared_.area().watch.died_at_ns.load(std::memory_order_relaxed);
    const Duration since = Driver::clock() - Instant::from_ns(died_at);
    loop_->say(LogLevel::Note, event, static_cast<std::uint64_t>(since.ns() / 1000));
}

void IoProcess::tell_serving(IoPhase phase) noexcept {
    loop_->enter(phase);
    watchdog::WatchBlock& watch = shared_.area().watch;
    watch.serving_since_ns.store(Driver::clock().ns(), std::memory_order_relaxed);
    watch.serving_pid.store(::getpid(), std::memory_order_release);
    if (takes_over()) say_since_death(IoEvent::TookOver);
    loop_->tell(message(MessageKind::Ready));
}

void IoProcess::serve() noexcept {
    while (loop_->detach() == IoLoop::Detach::No && driver_.state() == DriverState::Ready)
        loop_->turn();
}

/// The export goes first, so that nothing new comes; then what was taken is settled and the session
/// logged out. A hurried detach does not wait for the target.
void IoProcess::leave() noexcept {
    loop_->enter(IoPhase::Detaching);
    exporter_->stop(Driver::clock());
    bool stopping = false;
    bool hurried = false;
    Instant give_up = Instant::never();
    while (driver_.state() != DriverState::Stopped && Driver::clock() < give_up) {
        const bool hurry = loop_->detach() == IoLoop::Detach::Hurried;
        if ((exporter_->phase() == ExportPhase::Stopped || hurry) && !stopping) {
            stopping = true;
            give_up = Driver::clock() + kLogoutMax;
            driver_.stop();
        }
        if (hurry && !std::exchange(hurried, hurry)) driver_.stop();
        if (driver_.state() != DriverState::Stopped) loop_->turn();
    }
    while (exporter_->phase() != ExportPhase::Stopped && Driver::clock() < give_up) loop_->turn();
    if (guard_) guard_->end();
    loop_->say(LogLevel::Note, IoEvent::Detached);
    loop_->enter(IoPhase::Ended);
    loop_->tell(message(MessageKind::Detached));
    finish_telling();
}

/// Through the ring, because the filter has no other way. Nobody to tell: the exit code says it.
void IoProcess::finish_telling() noexcept {
    for (int turns = 0; !loop_->has_told() && turns < 4; ++turns) loop_->turn();
}

}  // namespace

int run_io_process(const AttachSpec& spec, IoInheritance inheritance) noexcept {
    // The supervisor orders us about; a signal that goes to everybody is not for us.
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    ::prctl(PR_SET_NAME, "holdfast-io");
    if (inheritance.succeeds) claim_reserve();
    static std::optional<IoProcess> process;
    HF_ASSERT(!process.has_value());
    process.emplace(spec, std::move(inheritance));
    return process->run();
}

}  // namespace holdfast::daemon
