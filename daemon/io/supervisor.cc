#include "daemon/io/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "daemon/io/child.h"
#include "daemon/io/driver.h"
#include "daemon/io/io_config.h"
#include "reserve/fuse.h"
#include "reserve/heap.h"
#include "reserve/kernel_need.h"
#include "reserve/lock_memory.h"
#include "reserve/lockdown.h"
#include "reserve/plan.h"
#include "reserve/sandbox.h"

namespace holdfast::daemon {

namespace {

/// Some task stood still for memory during a tenth of the window. Linux Documentation/accounting/
/// psi.rst.
struct PsiTrigger {
    std::string_view text;
    Duration window{};
};
// The shortest window there is, or else the shortest without CAP_SYS_RESOURCE.
constexpr std::array kPsiTriggers{
    PsiTrigger{.text = "some 50000 500000", .window = Duration::from_ms(500)},
    PsiTrigger{.text = "some 200000 2000000", .window = Duration::from_s(2)}};
// One report comes in each window, so that pressure which goes on must outlast it.
constexpr Duration kPsiMargin = Duration::from_ms(500);

Instant clock() noexcept {
    return Driver::clock();
}

std::int32_t exit_status_of(int status) noexcept {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

Supervisor::Supervisor(const SupervisorOptions& options, Maker& maker) noexcept
    : options_(options), maker_(maker), context_{.maker = &maker}, own_time_(clock()) {}

OrErrno<void> Supervisor::open() noexcept {
    const sigset_t set = supervisor_signals();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = UniqueFd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (!signals_) return std::unexpected(Errno::last());
    manager_ = InitSocket::from_environment();
    if (manager_.patience() > Duration{}) signs_.watch_by_manager(manager_.patience());
    if (options_.lock_down) protect();
    return start_control();
}

/// What is missing shows in status, and in each I/O process, which asks for the same.
void Supervisor::protect() noexcept {
    auto sandbox = reserve::Sandbox::build(reserve::supervisor_calls());
    const auto heap = reserve::heap::sparse_ranges();
    static_cast<void>(reserve::lock_down({.fifo_priority = kSupervisorPriority,
                                          .lock_memory = false,
                                          .forbid_compaction = false,
                                          .sparse = {}}));
    static_cast<void>(reserve::lock_without_heap(heap));
    if (sandbox) static_cast<void>(sandbox->enter());
    reserve::fuse::arm_this_thread();
}

int Supervisor::run() noexcept {
    if (auto opened = open(); !opened) {
        put_lines("holdfastd: cannot start: ");
        put_lines(opened.error().text());
        put_lines("\n");
        return EXIT_FAILURE;
    }
    while (!exit_code_) turn();
    return *exit_code_;
}

void Supervisor::turn() noexcept {
    std::array<pollfd, 3> waits{pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = control_.get(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = psi_.get(), .events = POLLPRI, .revents = 0}};
    const Instant until = next_wake();
    const Duration left = until.is_never() ? Duration{} : std::max(until - clock(), Duration{});
    const timespec limit{.tv_sec = left.ns() / 1'000'000'000, .tv_nsec = left.ns() % 1'000'000'000};
    ::ppoll(waits.data(), waits.size(), until.is_never() ? nullptr : &limit, nullptr);
    if (waits[0].revents != 0) on_signals();
    if ((waits[2].revents & POLLPRI) != 0) on_pressure();
    if (control_ && waits[1].revents != 0) read_control();
    if (clock() >= control_due_) {
        control_due_ = Instant::never();
        if (!start_control()) control_due_ = clock() + kControlPause;
    }
    look_after_pairs();
    show_life(clock());
    if (is_shutting_down_) advance_shutdown();
}

void Supervisor::look_after_pairs() noexcept {
    const Instant now = clock();
    const watchdog::Look look = own_time_.look(now);
    for (ProcessPair& pair : pairs_)
        if (pair.is_used()) pair.on_look(look, context_);
    if (reserve_users() != reserve_users_) settle_reserve();
    look_at_ = has_live() ? now + watchdog::OwnTime::kTick : Instant::never();
}

Instant Supervisor::next_wake() const noexcept {
    return earlier(earlier(earlier(control_due_, look_at_), earlier(hurry_at_, kill_at_)),
                   signs_.next());
}

void Supervisor::on_signals() noexcept {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info))
        if (info.ssi_signo != static_cast<std::uint32_t>(SIGCHLD)) begin_shutdown();
    reap();
}

void Supervisor::reap() noexcept {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == control_pid_)
            on_control_exit(status);
        else if (pid == maker_.pid())
            on_maker_exit();
        else if (ProcessPair* const pair = find_pair_of(pid))
            on_io_exit(*pair, pid, status);
        else if (const auto settled = std::ranges::find(pairs_, pid, &ProcessPair::settling_pid);
                 settled != pairs_.end())
            settled->set_settling(0);
    }
}

// Control.

OrErrno<void> Supervisor::start_control() noexcept {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return std::unexpected(Errno::last());
    UniqueFd ours{ends[0]};
    const UniqueFd theirs{ends[1]};
    const UniqueFd loader = start_loader();
    const auto pid =
        maker_.make({.kind = MakeKind::Control}, std::array{theirs.get(), loader.get()});
    if (!pid) return std::unexpected(pid.error());
    control_pid_ = *pid;
    control_ = std::move(ours);
    control_started_ = clock();
    for (const ProcessPair& pair : pairs_)
        if (pair.is_used()) announce(pair, 0);
    return {};
}

/// The loader for a new control process, as the end of a socket; it ends with that. None: there is
/// no such program, and control says so when it is asked for a classifier.
UniqueFd Supervisor::start_loader() noexcept {
    std::array<int, 2> ends{-1, -1};
    if (!options_.has_loader ||
        ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return {};
    UniqueFd ours{ends[0]};
    const UniqueFd theirs{ends[1]};
    if (!maker_.make({.kind = MakeKind::Loader}, std::array{theirs.get()})) return {};
    return ours;
}

/// What serves goes on, and who stands by can take over; nobody new can be made.
void Supervisor::on_maker_exit() noexcept {
    maker_.on_gone();
    if (!is_shutting_down_)
        put_lines(
            "holdfastd: its maker has ended: no process can be made any more; restart "
            "holdfastd when no device is in use\n");
}

void Supervisor::on_control_exit(int status) noexcept {
    control_.reset();
    control_pid_ = 0;
    if (is_shutting_down_) return;
    // One that ends at once has said why; without attachments there is nothing to stay for.
    const bool at_once = clock() - control_started_ < kControlPause;
    if (at_once && !control_lived_ && !has_live()) {
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
        return;
    }
    control_due_ = clock() + kControlPause;
}

void Supervisor::read_control() noexcept {
    // A bounded number of messages, so that signals get their turn.
    for (int i = 0; i < 8; ++i) {
        auto received = receive_message(control_.get(), room_);
        if (!received) return;
        if (received->bytes == 0) return control_.reset();
        on_message(std::span{room_}.first(received->bytes), received->fds);
    }
}

void Supervisor::on_message(std::span<const std::byte> bytes, std::span<UniqueFd> fds) noexcept {
    control_lived_ = true;
    if (const auto asked = attach_bytes_from(bytes))
        return attach(*asked, GateFiles::taken_from(fds));
    const auto message = control_message_from(bytes);
    if (!message) return;
    if (message->header.kind == MessageKind::Shutdown) begin_shutdown();
    if (message->header.kind == MessageKind::ControlReady) on_control_ready(message->code);
    ProcessPair* const pair = find_pair(message->header.attachment);
    if (pair == nullptr) return;
    if (message->header.kind == MessageKind::Upgrade) pair->begin_upgrade();
    if (message->header.kind == MessageKind::DeviceReady) settle_device(*pair);
    if (message->header.kind == MessageKind::Kill && pair->active_pid() > 0)
        ::kill(pair->active_pid(), SIGKILL);
}

void Supervisor::tell(const ControlMessage& message, std::span<const int> fds) noexcept {
    // A control process that does not read is started anew and told everything again.
    if (control_ && !send_message(control_.get(), bytes_of(message), fds)) {
        if (control_pid_ > 0) ::kill(control_pid_, SIGKILL);
    }
}

void Supervisor::refuse(std::uint32_t request_id, FailReason reason, std::uint64_t code) noexcept {
    ControlMessage message{.header = {.kind = MessageKind::Refused, .request_id = request_id}};
    message.reason = reason;
    message.code = code;
    tell(message);
}

void Supervisor::announce(const ProcessPair& pair, std::uint32_t request_id) noexcept {
    ControlMessage message{.header = {.kind = MessageKind::Attached,
                                      .attachment = pair.id(),
                                      .request_id = request_id}};
    message.pid = pair.active_pid();
    FixedVector<int, kMessageFdsMax> fds;
    fds.push(pair.area());
    fds.push(pair.control_end());
    for (const int fd : pair.gate().numbers()) fds.push(fd);
    tell(message, fds.span());
}

// Attachments.

ProcessPair* Supervisor::find_pair(AttachmentId id) noexcept {
    const auto found = std::ranges::find_if(
        pairs_, [&](const ProcessPair& pair) { return pair.is_used() && pair.id() == id; });
    return found == pairs_.end() ? nullptr : &*found;
}

ProcessPair* Supervisor::find_pair_of(pid_t pid) noexcept {
    const auto found =
        std::ranges::find_if(pairs_, [&](const ProcessPair& pair) { return pair.owns(pid); });
    return found == pairs_.end() ? nullptr : &*found;
}

bool Supervisor::has_live() const noexcept {
    return std::ranges::any_of(pairs_, &ProcessPair::is_used);
}

void Supervisor::attach(const AttachBytes& message, GateFiles gate) noexcept {
    const std::uint32_t request_id = message.header.request_id;
    const auto spec = attach_spec_from(message.spec);
    if (!spec)
        return refuse(request_id, FailReason::BadSpec, static_cast<std::uint64_t>(spec.error()));
    const bool taken = std::ranges::any_of(pairs_, [&](const ProcessPair& pair) {
        return pair.is_used() && pair.spec().name == spec->name;
    });
    if (taken) return refuse(request_id, FailReason::NameTaken, 0);
    const auto place = std::ranges::find_if_not(pairs_, &ProcessPair::is_used);
    if (is_shutting_down_ || place == pairs_.end())
        return refuse(request_id, FailReason::TooManyAttachments, kAttachmentsMax);

    ProcessPair& pair = *place;
    FailReason reason = FailReason::ExportFailed;
    auto made = pair.open(AttachmentId{++last_id_}, *spec, std::move(gate));
    if (!made && made.error() == Errno{EBUSY}) reason = FailReason::LeftBehind;
    if (made) {
        settle_reserve();
        reason = FailReason::NoProcess;
        made = pair.start(context_);
    }
    if (!made) {
        pair.forget();
        settle_reserve();
        return refuse(request_id, reason, static_cast<std::uint64_t>(made.error().code()));
    }
    watch_pressure();
    announce(pair, request_id);
}

void Supervisor::on_io_exit(ProcessPair& pair, pid_t pid, int status) noexcept {
    if (pair.on_exit(pid, status, own_time_.at(), context_)) end(pair, pid, exit_status_of(status));
}

/// The device goes with the attachment; where requests shall wait, the attachment does not end.
void Supervisor::end(ProcessPair& pair, pid_t pid, std::int32_t exit_status) noexcept {
    ControlMessage message{.header = {.kind = MessageKind::Exited, .attachment = pair.id()}};
    message.pid = pid;
    message.exit_status = exit_status;
    const std::int32_t device = pair.ublk_id();
    pair.forget();
    if (device >= 0) bury_ublk(device);
    watch_pressure();
    settle_reserve();
    // During shutdown nothing is to be attached again.
    if (!is_shutting_down_) tell(message);
}

/// Removing waits for whoever has the device open, so a process of its own does it.
void Supervisor::bury_ublk(std::int32_t id) noexcept {
    if (!maker_.make({.kind = MakeKind::DeviceBurial, .device = id}, {}))
        put_lines("holdfastd: a device without a server cannot be removed\n");
}

/// Control may not write to /sys. It names no device: we know which one the attachment has.
void Supervisor::settle_device(ProcessPair& pair) noexcept {
    const std::int32_t device = pair.learn_device();
    if (device < 0 || pair.settling_pid() > 0) return;
    const auto pid = maker_.make(
        {.kind = MakeKind::DeviceSettings, .depth = pair.spec().limits.depth, .device = device},
        {});
    pair.set_settling(pid.value_or(0));
}

/// The second-best sign of pressure: it needs us to run.
void Supervisor::watch_pressure() noexcept {
    if (!std::ranges::any_of(pairs_, &ProcessPair::needs_pressure_notes)) return psi_.reset();
    if (psi_) return;
    UniqueFd file{::open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    for (const PsiTrigger& trigger : kPsiTriggers) {
        // It ends with a zero.
        const auto bytes = static_cast<ssize_t>(trigger.text.size() + 1);
        if (!file || ::write(file.get(), trigger.text.data(), trigger.text.size() + 1) != bytes)
            continue;
        psi_ = std::move(file);
        psi_hold_ = trigger.window + kPsiMargin;
        return;
    }
}

void Supervisor::on_pressure() const noexcept {
    const Instant until = clock() + psi_hold_;
    for (const ProcessPair& pair : pairs_) pair.note_pressure(until);
}

/// A bit for each attachment that the reserve has to cover.
std::uint32_t Supervisor::reserve_users() const noexcept {
    static_assert(kAttachmentsMax <= 32);
    std::uint32_t users = 0;
    for (std::size_t i = 0; i < pairs_.size(); ++i)
        if (pairs_[i].is_used() && pairs_[i].needs_kernel_reserve()) users |= 1U << i;
    return users;
}

/// The figure covers all attachments together that need it; without any the old one comes back.
void Supervisor::settle_reserve() noexcept {
    reserve::MemoryPlan need;
    reserve_users_ = reserve_users();
    std::uint32_t receive_queues = 0;
    for (const ProcessPair& pair : pairs_) {
        if (!pair.is_used() || !pair.needs_kernel_reserve()) continue;
        const AttachSpec& spec = pair.spec();
        receive_queues = std::max(receive_queues, spec.receive_queues);
        const SocketSpec buffers = socket_buffers_of(spec);
        reserve::add_load_to_plan(need, {.connections = spec.limits.connections,
                                         .depth = spec.limits.depth,
                                         .buffers = {.send_bytes = buffers.send_bytes,
                                                     .receive_bytes = buffers.receive_bytes}});
    }
    const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
    reserve::add_network_to_plan(need, {.cpus = static_cast<std::uint32_t>(std::max(cpus, 1L)),
                                        .receive_queues = receive_queues});
    const std::uint64_t min_free =
        reserve_users_ != 0 ? reserve::min_free_kib_for(need.total()) : 0;
    context_.kernel_reserve = kernel_reserve_.settle_to(min_free);
}

}  // namespace holdfast::daemon
