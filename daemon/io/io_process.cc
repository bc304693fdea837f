#include "daemon/io/io_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "daemon/io/driver.h"
#include "daemon/io/loop.h"
#include "daemon/io/nbd_export.h"
#include "daemon/io/rights.h"
#include "daemon/io/shared_plan.h"
#include "daemon/io/tier.h"
#include "daemon/io/ublk_export.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/shared_area.h"
#include "reserve/arena.h"
#include "reserve/fuse.h"
#include "reserve/heap.h"
#include "reserve/kernel_file.h"
#include "reserve/kernel_need.h"
#include "reserve/lockdown.h"
#include "reserve/number_text.h"
#include "reserve/plan.h"
#include "reserve/sandbox.h"

namespace holdfast::daemon {

namespace {

using initiator::NoticeKind;

// Above ordinary threads and most kernel threads' work, below the supervisor.
constexpr std::int32_t kIoPriority = 50;
// A detach that stopped the export but cannot log out: the target gets this long.
constexpr Duration kLogoutMax = Duration::from_s(30);

DriverConfig driver_config(const AttachSpec& spec, bool takes_over_device) noexcept {
    DriverConfig config{.session = spec.session, .limits = spec.limits, .tcp = {}};
    config.session.takes_over_device = takes_over_device;
    config.session.read_only = spec.session.read_only || spec.exported.read_only;
    const SocketSpec buffers = socket_buffers_of(spec);
    config.tcp.send_bytes = buffers.send_bytes;
    config.tcp.receive_bytes = buffers.receive_bytes;
    // A dead path shows by then; NOP time-outs judge the target, this judges the wire.
    const Duration limit = spec.session.timers.nop_interval + spec.session.timers.nop_timeout;
    config.tcp.user_timeout_ms =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(2 * limit.ms(), 5'000, 120'000));
    config.must_lock = (spec.flags & kAttachWithoutLockdown) == 0;
    const bool is_ublk = spec.exported.kind == ExportKind::Ublk;
    config.extra_operations =
        IoLoop::kOperations +
        (is_ublk ? UblkExport::operations_for(spec.limits.depth) : NbdExport::kOperations);
    config.extra_files = static_cast<std::uint16_t>(
        IoLoop::kFiles + (is_ublk ? UblkExport::kFiles : NbdExport::kFiles));
    config.with_commands = is_ublk;
    config.with_accept = !is_ublk;
    return config;
}

/// See run_io_process(). An object of static storage: it is large and never destroyed.
class IoProcess {
public:
    IoProcess(const AttachSpec& spec, IoInheritance inheritance) noexcept
        : spec_(spec), inheritance_(std::move(inheritance)) {}

    int run() noexcept {
        if (!prepare() || !log_in() || !make_export() || !lock_down()) return kIoExitFailed;
        serve();
        leave();
        return kIoExitDetached;
    }

private:
    [[nodiscard]] bool prepare() noexcept;
    [[nodiscard]] bool log_in() noexcept;
    [[nodiscard]] bool make_export() noexcept;
    [[nodiscard]] OrErrno<void> begin_export() noexcept;
    [[nodiscard]] bool lock_down() noexcept;
    void serve() noexcept;
    void leave() noexcept;

    [[nodiscard]] bool is_locked_down() const noexcept {
        return (spec_.flags & kAttachWithoutLockdown) == 0;
    }
    [[nodiscard]] bool is_ublk() const noexcept { return spec_.exported.kind == ExportKind::Ublk; }
    [[nodiscard]] StatusFacts first_facts() const noexcept;
    [[nodiscard]] ControlMessage message(MessageKind kind) const noexcept;
    [[nodiscard]] reserve::Protection kernel_reserve_row() const noexcept;
    void add_rows(const reserve::Protections& rows) noexcept;
    /// Always false.
    bool fail(FailReason reason, std::uint64_t code) noexcept;
    bool fail_early(FailReason reason, std::uint64_t code) noexcept;

    AttachSpec spec_;
    IoInheritance inheritance_;
    SharedMapping shared_;
    reserve::MemoryPlan plan_;
    std::optional<reserve::Arena> arena_;
    Driver driver_;
    std::optional<IoLoop> loop_;
    std::optional<UblkExport> ublk_;
    NbdExport* nbd_ = nullptr;
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
    facts.kernel_reserve_kib = inheritance_.kernel_reserve_kib;
    facts.exported.kind = spec_.exported.kind;
    return facts;
}

bool IoProcess::fail_early(FailReason reason, std::uint64_t code) noexcept {
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
    static_cast<void>(send_message(inheritance_.command.get(), bytes_of(told)));
    return false;
}

bool IoProcess::prepare() noexcept {
    auto mapped = SharedMapping::map(inheritance_.area.get());
    if (!mapped)
        return fail_early(FailReason::NoProcess, static_cast<std::uint64_t>(mapped.error().code()));
    shared_ = *std::move(mapped);

    DriverConfig config = driver_config(spec_, inheritance_.recover_ublk_id >= 0);
    config.flight = shared_.flight();
    Driver::add_to_plan(plan_, config);
    if (!is_ublk()) plan_.add_objects<NbdExport>("NBD clients", 1, "sessions and their stages");
    const ByteCount arena_bytes = plan_.total();
    add_shared_area_to_plan(plan_, spec_);
    reserve::add_image_to_plan(plan_, inheritance_.image, kHeapMore);
    auto arena = reserve::Arena::map(arena_bytes);
    if (!arena)
        return fail_early(FailReason::ArenaFailed,
                          static_cast<std::uint64_t>(arena.error().code()));
    arena_.emplace(*std::move(arena));
    if (auto opened = driver_.open_in(config, arena_->region(), arena_->bytes()); !opened)
        return fail_early(FailReason::IoFailed, static_cast<std::uint64_t>(opened.error().code()));

    loop_.emplace(driver_, shared_.area(), first_facts());
    const std::uint16_t command_slot = static_cast<std::uint16_t>(
        driver_.first_extra_file().raw() + (is_ublk() ? UblkExport::kFiles : NbdExport::kFiles));
    const netpath::FileSlot slot{command_slot};
    if (auto placed = driver_.ring().set_file(slot, inheritance_.command.get()); !placed)
        return fail(FailReason::IoFailed, static_cast<std::uint64_t>(placed.error().code()));
    loop_->watch_commands(slot, AttachmentId{inheritance_.attachment});
    loop_->say(LogLevel::Info, IoEvent::Started, static_cast<std::uint64_t>(::getpid()));
    loop_->say(LogLevel::Info, IoEvent::PlanMade, plan_.total().raw(), arena_->bytes().size());
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
        ublk_.emplace(driver_, loop_->meter(),
                      UblkOptions{.id_wish = wish.ublk_id_wish,
                                  .recover_id = inheritance_.recover_ublk_id,
                                  .read_only = wish.read_only,
                                  .depth = spec_.limits.depth,
                                  .request_bytes_max = spec_.limits.request_bytes_max});
        exporter_ = &*ublk_;
        loop_->set_exporter(*exporter_);
        return ublk_->begin();
    }
    const NbdOptions options{.name = spec_.name.view(),
                             .path = wish.nbd_socket_path.view(),
                             .read_only = wish.read_only,
                             .depth = spec_.limits.depth,
                             .request_bytes_max = spec_.limits.request_bytes_max};
    nbd_ = &arena_->region().make<NbdExport>(driver_, loop_->meter(), options);
    exporter_ = nbd_;
    loop_->set_exporter(*exporter_);
    auto listener = listen_for_nbd(options.path);
    if (!listener) return std::unexpected(listener.error());
    return nbd_->begin(*std::move(listener));
}

bool IoProcess::make_export() noexcept {
    loop_->enter(IoPhase::Exporting);
    const auto refuse = [this](int error) {
        const auto code = static_cast<std::uint64_t>(error);
        const bool no_driver = is_ublk() && error == ENOENT;
        loop_->say(LogLevel::Error, IoEvent::ExportFailed,
                   static_cast<std::uint64_t>(spec_.exported.kind), code);
        return fail(no_driver ? FailReason::NoUblk : FailReason::ExportFailed, code);
    };
    if (auto begun = begin_export(); !begun) return refuse(begun.error().code());
    while (exporter_->phase() == ExportPhase::Making) loop_->turn();
    if (exporter_->phase() != ExportPhase::Serving) return refuse(exporter_->error());
    const std::uint64_t id = ublk_ ? static_cast<std::uint64_t>(ublk_->id()) : 0;
    loop_->say(LogLevel::Note, IoEvent::ExportReady,
               static_cast<std::uint64_t>(spec_.exported.kind), id);
    return true;
}

reserve::Protection IoProcess::kernel_reserve_row() const noexcept {
    const std::uint64_t wanted = inheritance_.kernel_reserve_wanted_kib;
    const std::uint64_t found = inheritance_.kernel_reserve_kib;
    if (!wants_kernel_reserve(spec_))
        return reserve::protection("kernel reserve", "covers the sockets", "not touched, as asked",
                                   false, "attach without keep_kernel_reserve");
    return reserve::protection("kernel reserve", reserve::NumberText{wanted}.view(),
                               reserve::NumberText{found}.view(), found >= wanted && wanted > 0,
                               "vm.min_free_kbytes cannot be raised; run holdfastd as root");
}

void IoProcess::add_rows(const reserve::Protections& rows) noexcept {
    StatusFacts& facts = loop_->facts();
    for (const reserve::Protection& row : rows) {
        const ProtectionRow published{.name = row.name,
                                      .wanted = row.wanted,
                                      .found = row.found,
                                      .advice = row.advice,
                                      .holds = row.holds};
        if (!facts.protections.try_push(published)) return;
        if (!row.holds)
            loop_->say(LogLevel::Warning, IoEvent::ProtectionMissing, facts.protections.size() - 1);
    }
}

bool IoProcess::lock_down() noexcept {
    StatusFacts& facts = loop_->facts();
    if (!is_locked_down()) {
        facts.tier_reasons.push({});
        facts.tier_reasons[0].assign_cut("attached without lockdown, as asked");
        loop_->enter(IoPhase::Serving);
        loop_->tell(message(MessageKind::Ready));
        return true;
    }
    loop_->enter(IoPhase::Locking);
    const auto sparse = reserve::heap::sparse_ranges();
    const reserve::LockdownWish wish{.fifo_priority = kIoPriority, .sparse = sparse};
    reserve::Protections rows = reserve::lock_down(wish);
    rows.push(kernel_reserve_row());
    rows.push(drop_rights(is_ublk() ? Rights::SystemAdministration : Rights::None));
    facts.locked_bytes =
        reserve::read_kernel_field("/proc/self/status", "VmLck").value_or(0) * 1024;
    if (const auto sandbox = reserve::enter_sandbox(); sandbox) {
        static_cast<void>(rows.try_push(*sandbox));
    } else {
        static_cast<void>(rows.try_push(reserve::protection(
            "seccomp", "filter", sandbox.error().text(), false,
            "seccomp is refused; build the kernel with CONFIG_SECCOMP_FILTER")));
    }
    add_rows(rows);
    const TierVerdict verdict = judge_tier(rows, spec_.exported.kind);
    facts.tier = verdict.tier;
    facts.tier_reasons = verdict.reasons;
    loop_->say(LogLevel::Note, IoEvent::TierGiven, static_cast<std::uint64_t>(verdict.tier));
    const bool may_go_on = (spec_.flags & kAttachForceTier) != 0;
    if (verdict.tier > spec_.tier_demanded && !may_go_on)
        return fail(FailReason::TierTooLow, static_cast<std::uint64_t>(verdict.tier));

    loop_->say(LogLevel::Note, IoEvent::Armed, facts.locked_bytes / 1024);
    reserve::fuse::arm_this_thread();
    loop_->enter(IoPhase::Armed);
    loop_->tell(message(MessageKind::Ready));
    return true;
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
    loop_->say(LogLevel::Note, IoEvent::Detached);
    loop_->enter(IoPhase::Ended);
    loop_->tell(message(MessageKind::Detached));
    for (int turns = 0; !loop_->has_told() && turns < 4; ++turns) loop_->turn();
}

}  // namespace

bool wants_kernel_reserve(const AttachSpec& spec) noexcept {
    return (spec.flags & (kAttachKeepKernelReserve | kAttachWithoutLockdown)) == 0;
}

SocketSpec socket_buffers_of(const AttachSpec& spec) noexcept {
    SocketSpec buffers = spec.socket;
    if (!wants_kernel_reserve(spec)) return buffers;
    const auto guaranteed =
        reserve::socket_buffers_for(spec.limits.depth, spec.limits.request_bytes_max);
    if (buffers.send_bytes == 0) buffers.send_bytes = guaranteed.send_bytes;
    if (buffers.receive_bytes == 0) buffers.receive_bytes = guaranteed.receive_bytes;
    return buffers;
}

int run_io_process(const AttachSpec& spec, IoInheritance inheritance) noexcept {
    // The supervisor orders us about; a signal that goes to everybody is not for us.
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    ::prctl(PR_SET_NAME, "holdfast-io");
    // Before the kernel makes workers for our rings: they inherit it. A refusal shows in
    // lock_down().
    ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    static std::optional<IoProcess> process;
    HF_ASSERT(!process.has_value());
    process.emplace(spec, std::move(inheritance));
    return process->run();
}

}  // namespace holdfast::daemon
