#include "daemon/io/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "base/assert.h"
#include "daemon/io/driver.h"
#include "daemon/io/io_process.h"
#include "daemon/io/ublk_export.h"
#include "daemon/shared/flight_reader.h"
#include "daemon/shared/shared_area.h"
#include "reserve/heap.h"
#include "reserve/kernel_file.h"
#include "reserve/kernel_need.h"
#include "reserve/lock_memory.h"
#include "reserve/lockdown.h"
#include "reserve/plan.h"

namespace holdfast::daemon {

namespace {

// Above the I/O processes, so that a mad one can always be stopped.
constexpr std::int32_t kSupervisorPriority = 60;
constexpr std::array kSignals{SIGCHLD, SIGTERM, SIGINT};
constexpr std::size_t kControlArgumentsMax = 32;

Instant clock() noexcept {
    return Driver::clock();
}

sigset_t our_signals() noexcept {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : kSignals) ::sigaddset(&set, number);
    return set;
}

void put_lines(std::string_view text) noexcept {
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, text.data(), text.size());
}

/// What fork handed down and a child must not keep: rights that belong to the supervisor, and its
/// signal mask.
void become_ordinary() noexcept {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_OTHER, &none);
    ::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    static_cast<void>(reserve::write_kernel_number("/proc/self/oom_score_adj", 0));
    const sigset_t set = our_signals();
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

/// Closes every descriptor from 3 on but the `kept`, in ascending order.
void close_all_but(std::span<const int> kept) noexcept {
    unsigned first = 3;
    for (const int fd : kept) {
        const unsigned number = static_cast<unsigned>(fd);
        if (number > first) ::close_range(first, number - 1, 0);
        first = std::max(first, number + 1);
    }
    ::close_range(first, ~0U, 0);
}

std::optional<StatusFacts> facts_of(int area) noexcept {
    const auto mapped = SharedMapping::map(area);
    if (!mapped) return {};
    return StatusReader{mapped->area().status}.try_read();
}

bool has_served(const StatusFacts& facts) noexcept {
    return facts.phase == IoPhase::Armed || facts.phase == IoPhase::Serving ||
           facts.phase == IoPhase::Detaching;
}

/// Mounted, or swap: an exclusive open says so.
bool is_in_use(const StatusFacts& facts) noexcept {
    if (facts.exported.kind != ExportKind::Ublk || facts.exported.path.empty()) return false;
    std::array<char, 112> path{};
    std::ranges::copy(facts.exported.path.view(), path.begin());
    const UniqueFd fd{::open(path.data(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC)};
    return !fd && errno == EBUSY;
}

std::int32_t exit_status_of(int status) noexcept {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

/// After a fork the pages are shared with the child until one of the two writes; this makes them
/// our own again, and locked.
void Supervisor::lock_again() noexcept {
    const auto sparse = reserve::heap::sparse_ranges();
    if (options_.lock_down) static_cast<void>(reserve::lock_memory(sparse));
}

OrErrno<void> Supervisor::open() noexcept {
    const sigset_t set = our_signals();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = UniqueFd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (!signals_) return std::unexpected(Errno::last());
    if (options_.lock_down) {
        const auto sparse = reserve::heap::sparse_ranges();
        // What is missing shows in each I/O process, which asks for the same.
        static_cast<void>(reserve::lock_down({.fifo_priority = kSupervisorPriority,
                                              .io_flusher = false,
                                              .forbid_compaction = false,
                                              .sparse = sparse}));
    }
    return start_control();
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
    std::array<pollfd, 2> waits{pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = control_.get(), .events = POLLIN, .revents = 0}};
    const Instant until = next_wake();
    const Duration left = until.is_never() ? Duration{} : std::max(until - clock(), Duration{});
    const timespec limit{.tv_sec = left.ns() / 1'000'000'000, .tv_nsec = left.ns() % 1'000'000'000};
    ::ppoll(waits.data(), waits.size(), until.is_never() ? nullptr : &limit, nullptr);
    if (waits[0].revents != 0) on_signals();
    if (control_ && waits[1].revents != 0) read_control();
    if (clock() >= control_due_) {
        control_due_ = Instant::never();
        if (!start_control()) control_due_ = clock() + kControlPause;
    }
    if (is_shutting_down_) advance_shutdown();
}

Instant Supervisor::next_wake() const noexcept {
    return earlier(control_due_, earlier(hurry_at_, kill_at_));
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
        else if (Slot* slot = find_slot_of(pid))
            on_io_exit(*slot, status);
    }
}

// Control.

OrErrno<void> Supervisor::start_control() noexcept {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return std::unexpected(Errno::last());
    UniqueFd ours{ends[0]};
    const UniqueFd theirs{ends[1]};
    const pid_t pid = ::fork();
    if (pid < 0) return std::unexpected(Errno::last());
    if (pid == 0) become_control(theirs.get());
    lock_again();
    control_pid_ = pid;
    control_ = std::move(ours);
    control_started_ = clock();
    for (Slot& slot : slots_)
        if (slot.is_used) announce(slot, 0);
    return {};
}

void Supervisor::become_control(int socket) noexcept {
    become_ordinary();
    ::fcntl(socket, F_SETFD, 0);
    std::array<int, 1> kept{socket};
    close_all_but(kept);
    std::array<char, 12> number{};
    std::to_chars(number.begin(), number.end(), socket);
    std::array<char, 16> key{"--supervisor-fd"};
    std::array<char, 17> name{"holdfast-control"};
    std::array<char*, kControlArgumentsMax> words{name.data(), key.data(), number.data()};
    std::size_t count = 3;
    for (char* const word : options_.control_arguments)
        if (count + 1 < words.size()) words[count++] = word;
    ::execv(options_.control_program, words.data());
    put_lines("holdfastd: cannot start holdfast-control; it belongs next to holdfastd\n");
    ::_exit(EXIT_FAILURE);
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
        on_message(std::span{room_}.first(received->bytes));
    }
}

void Supervisor::on_message(std::span<const std::byte> bytes) noexcept {
    control_lived_ = true;
    if (const auto asked = attach_bytes_from(bytes)) return attach(*asked);
    const auto message = control_message_from(bytes);
    if (!message) return;
    if (message->header.kind == MessageKind::Shutdown) begin_shutdown();
    if (message->header.kind != MessageKind::Kill) return;
    const Slot* slot = find_slot(message->header.attachment);
    if (slot != nullptr && slot->pid > 0) ::kill(slot->pid, SIGKILL);
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

void Supervisor::announce(Slot& slot, std::uint32_t request_id) noexcept {
    ControlMessage message{
        .header = {.kind = MessageKind::Attached, .attachment = slot.id, .request_id = request_id}};
    message.pid = slot.pid;
    const std::array<int, 2> fds{slot.area.get(), slot.control_end.get()};
    tell(message, fds);
}

// Attachments.

Supervisor::Slot* Supervisor::find_slot(AttachmentId id) noexcept {
    const auto found = std::ranges::find_if(
        slots_, [&](const Slot& slot) { return slot.is_used && slot.id == id; });
    return found == slots_.end() ? nullptr : &*found;
}

Supervisor::Slot* Supervisor::find_slot_of(pid_t pid) noexcept {
    const auto found = std::ranges::find_if(
        slots_, [&](const Slot& slot) { return slot.is_used && slot.pid == pid; });
    return found == slots_.end() ? nullptr : &*found;
}

bool Supervisor::has_live() const noexcept {
    return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.is_used; });
}

void Supervisor::attach(const AttachBytes& message) noexcept {
    const std::uint32_t request_id = message.header.request_id;
    const auto spec = attach_spec_from(message.spec);
    if (!spec)
        return refuse(request_id, FailReason::BadSpec, static_cast<std::uint64_t>(spec.error()));
    const bool taken = std::ranges::any_of(
        slots_, [&](const Slot& slot) { return slot.is_used && slot.spec.name == spec->name; });
    if (taken) return refuse(request_id, FailReason::NameTaken, 0);
    const auto place = std::ranges::find_if(slots_, [](const Slot& slot) { return !slot.is_used; });
    if (is_shutting_down_ || place == slots_.end())
        return refuse(request_id, FailReason::TooManyAttachments, kAttachmentsMax);

    auto made = make_slot(*place, *spec);
    if (made) {
        settle_reserve();
        made = start_io(*place, -1);
    }
    if (!made) {
        forget(*place);
        return refuse(request_id, FailReason::NoProcess,
                      static_cast<std::uint64_t>(made.error().code()));
    }
    announce(*place, request_id);
}

OrErrno<void> Supervisor::make_slot(Slot& slot, const AttachSpec& spec) noexcept {
    HF_ASSERT(!slot.is_used);
    slot = Slot{};
    slot.is_used = true;
    slot.id = AttachmentId{++last_id_};
    slot.spec = spec;
    auto area = make_shared_area(flight_shape_of(spec));
    if (!area) return std::unexpected(area.error());
    slot.area = *std::move(area);
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return std::unexpected(Errno::last());
    slot.control_end = UniqueFd{ends[0]};
    slot.io_end = UniqueFd{ends[1]};
    return {};
}

OrErrno<void> Supervisor::start_io(Slot& slot, std::int32_t recover_ublk_id) noexcept {
    const pid_t pid = ::fork();
    if (pid < 0) return std::unexpected(Errno::last());
    if (pid == 0) become_io(slot, recover_ublk_id);
    lock_again();
    slot.pid = pid;
    ++slot.generation;
    return {};
}

void Supervisor::become_io(Slot& slot, std::int32_t recover_ublk_id) noexcept {
    become_ordinary();
    IoInheritance inheritance{.area = std::move(slot.area),
                              .command = std::move(slot.io_end),
                              .attachment = slot.id.raw(),
                              .recover_ublk_id = recover_ublk_id,
                              .kernel_reserve_kib = kernel_reserve_kib_,
                              .kernel_reserve_wanted_kib = kernel_reserve_wanted_kib_,
                              .image = options_.image};
    std::array<int, 2> kept{inheritance.area.get(), inheritance.command.get()};
    std::ranges::sort(kept);
    close_all_but(kept);
    ::_exit(run_io_process(slot.spec, std::move(inheritance)));
}

void Supervisor::on_io_exit(Slot& slot, int status) noexcept {
    const auto facts = facts_of(slot.area.get());
    const bool has_device = facts && facts->exported.ublk_id >= 0;
    const bool died = !WIFEXITED(status);
    if (died && has_device && has_served(*facts) && !slot.is_stopping) {
        const Instant now = clock();
        if (now >= slot.window_end) {
            slot.window_end = now + kRestartWindow;
            slot.restarts = 0;
        }
        if (slot.restarts++ < kRestartsMax && start_io(slot, facts->exported.ublk_id)) return;
    }
    // Requests wait in a device that is kept for a successor; any other one is removed.
    if (has_device && (!died || !has_served(*facts))) bury_ublk(facts->exported.ublk_id);
    ControlMessage message{.header = {.kind = MessageKind::Exited, .attachment = slot.id}};
    message.pid = slot.pid;
    message.exit_status = exit_status_of(status);
    forget(slot);
    settle_reserve();
    // During shutdown nothing is to be attached again.
    if (!is_shutting_down_) tell(message);
}

void Supervisor::forget(Slot& slot) noexcept {
    slot.is_used = false;
    slot.area.reset();
    slot.control_end.reset();
    slot.io_end.reset();
}

/// Removing waits for whoever has the device open, so a child of its own does it.
void Supervisor::bury_ublk(std::int32_t id) noexcept {
    if (::fork() != 0) return lock_again();
    become_ordinary();
    close_all_but({});
    ::_exit(delete_ublk_device(id) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/// The figure covers all attachments together; without any the old one comes back.
void Supervisor::settle_reserve() noexcept {
    reserve::MemoryPlan need;
    bool is_wanted = false;
    const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
    reserve::add_network_to_plan(need, {.cpus = static_cast<std::uint32_t>(std::max(cpus, 1L))});
    for (const Slot& slot : slots_) {
        if (!slot.is_used || !wants_kernel_reserve(slot.spec)) continue;
        is_wanted = true;
        const SocketSpec buffers = socket_buffers_of(slot.spec);
        reserve::add_load_to_plan(need, {.connections = slot.spec.limits.connections,
                                         .depth = slot.spec.limits.depth,
                                         .buffers = {.send_bytes = buffers.send_bytes,
                                                     .receive_bytes = buffers.receive_bytes}});
    }
    kernel_reserve_wanted_kib_ = is_wanted ? reserve::min_free_kib_for(need.total()) : 0;
    const auto outcome = kernel_reserve_.settle(kernel_reserve_wanted_kib_);
    kernel_reserve_kib_ = outcome && is_wanted ? outcome->min_free_kib : 0;
}

// Shutdown.

void Supervisor::begin_shutdown() noexcept {
    if (is_shutting_down_) return;
    is_shutting_down_ = true;
    control_due_ = Instant::never();
    hurry_at_ = clock() + kHurryAfter;
    kill_at_ = clock() + kKillAfter;
    for (Slot& slot : slots_) {
        if (!slot.is_used) continue;
        const auto facts = facts_of(slot.area.get());
        if (!facts || !is_in_use(*facts)) {
            order_detach(slot, false);
            continue;
        }
        // Its process goes on serving without us: nobody may lose swap or a file system.
        put_lines("holdfastd: a device is in use and stays: ");
        put_lines(facts->exported.path.view());
        put_lines("\n");
        forget(slot);
    }
}

void Supervisor::order_detach(Slot& slot, bool hurry) noexcept {
    slot.is_stopping = true;
    ControlMessage message{.header = {.kind = MessageKind::Detach, .attachment = slot.id}};
    message.hurry = hurry ? 1 : 0;
    if (!send_message(slot.control_end.get(), bytes_of(message)) && hurry && slot.pid > 0)
        ::kill(slot.pid, SIGKILL);
}

void Supervisor::advance_shutdown() noexcept {
    const Instant now = clock();
    if (now >= hurry_at_) {
        hurry_at_ = Instant::never();
        for (Slot& slot : slots_)
            if (slot.is_used) order_detach(slot, true);
    }
    if (now >= kill_at_) {
        kill_at_ = Instant::never();
        for (const Slot& slot : slots_)
            if (slot.is_used && slot.pid > 0) ::kill(slot.pid, SIGKILL);
        if (control_pid_ > 0) ::kill(control_pid_, SIGKILL);
    }
    if (has_live()) return;
    if (control_pid_ == 0) {
        exit_code_ = EXIT_SUCCESS;
    } else if (!std::exchange(has_told_control_, true)) {
        ::kill(control_pid_, SIGTERM);
    }
}

}  // namespace holdfast::daemon
