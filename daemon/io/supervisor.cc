#include "daemon/io/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "daemon/io/child.h"
#include "daemon/io/driver.h"
#include "daemon/io/io_config.h"
#include "daemon/io/ublk_export.h"
#include "reserve/heap.h"
#include "reserve/kernel_need.h"
#include "reserve/lockdown.h"
#include "reserve/plan.h"

namespace holdfast::daemon {

namespace {

// Above the I/O processes, so that a mad one can always be stopped.
constexpr std::int32_t kSupervisorPriority = 60;
constexpr std::size_t kControlArgumentsMax = 32;

// Some task stood still for memory during 50 ms of 500 ms, the shortest window there is; two
// windows, then it must happen again.
constexpr std::string_view kPsiTrigger = "some 50000 500000";
constexpr Duration kPsiHold = Duration::from_s(1);

Instant clock() noexcept {
    return Driver::clock();
}

std::int32_t exit_status_of(int status) noexcept {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

Supervisor::Supervisor(const SupervisorOptions& options) noexcept
    : options_(options),
      context_{.lock_down = options.lock_down, .image = options.image, .program = options.program},
      own_time_(clock()) {}

OrErrno<void> Supervisor::open() noexcept {
    const sigset_t set = supervisor_signals();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = UniqueFd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (!signals_) return std::unexpected(Errno::last());
    if (options_.lock_down) {
        const auto sparse = reserve::heap::sparse_ranges();
        // What is missing shows in each I/O process, which asks for the same.
        static_cast<void>(reserve::lock_down(
            {.fifo_priority = kSupervisorPriority, .forbid_compaction = false, .sparse = sparse}));
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
    if (is_shutting_down_) advance_shutdown();
}

void Supervisor::look_after_pairs() noexcept {
    const Instant now = clock();
    const watchdog::Look look = own_time_.look(now);
    for (ProcessPair& pair : pairs_)
        if (pair.is_used()) pair.on_look(look, context_);
    look_at_ = has_live() ? now + watchdog::OwnTime::kTick : Instant::never();
}

Instant Supervisor::next_wake() const noexcept {
    return earlier(earlier(control_due_, look_at_), earlier(hurry_at_, kill_at_));
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
        else if (ProcessPair* const pair = find_pair_of(pid))
            on_io_exit(*pair, pid, status);
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
    const pid_t pid = ::fork();
    if (pid < 0) return std::unexpected(Errno::last());
    if (pid == 0) become_control(theirs.get(), loader.get());
    lock_again(context_);
    control_pid_ = pid;
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
    if (options_.loader_program == nullptr ||
        ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return {};
    UniqueFd ours{ends[0]};
    const UniqueFd theirs{ends[1]};
    const pid_t pid = ::fork();
    if (pid < 0) return {};
    if (pid > 0) {
        lock_again(context_);
        return ours;
    }
    become_ordinary();
    ::fcntl(theirs.get(), F_SETFD, 0);
    std::array<int, 1> kept{theirs.get()};
    close_all_but(kept);
    std::array<char, 12> number{};
    std::to_chars(number.begin(), number.end(), theirs.get());
    std::array<char, 16> name{"holdfast-loader"};
    std::array<char*, 3> words{name.data(), number.data(), nullptr};
    ::execv(options_.loader_program, words.data());
    ::_exit(EXIT_FAILURE);
}

void Supervisor::become_control(int socket, int loader) noexcept {
    become_ordinary();
    ::fcntl(socket, F_SETFD, 0);
    if (loader >= 0) ::fcntl(loader, F_SETFD, 0);
    std::array<int, 2> kept{socket, loader};
    close_all_but(kept);
    std::array<char, 12> number{};
    std::array<char, 12> loader_number{};
    std::to_chars(number.begin(), number.end(), socket);
    std::to_chars(loader_number.begin(), loader_number.end(), loader);
    std::array<char, 16> key{"--supervisor-fd"};
    std::array<char, 12> loader_key{"--loader-fd"};
    std::array<char, 17> name{"holdfast-control"};
    std::array<char*, kControlArgumentsMax> words{name.data(), key.data(), number.data(),
                                                  loader_key.data(), loader_number.data()};
    std::size_t count = 5;
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
    ProcessPair* const pair = find_pair(message->header.attachment);
    if (pair == nullptr) return;
    if (message->header.kind == MessageKind::Upgrade) pair->begin_upgrade();
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

/// Removing waits for whoever has the device open, so a child of its own does it.
void Supervisor::bury_ublk(std::int32_t id) noexcept {
    if (::fork() != 0) return lock_again(context_);
    become_ordinary();
    close_all_but({});
    ::_exit(delete_ublk_device(id) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/// The second-best sign of pressure: it needs us to run.
void Supervisor::watch_pressure() noexcept {
    if (!std::ranges::any_of(pairs_, &ProcessPair::needs_pressure_notes)) return psi_.reset();
    if (psi_) return;
    UniqueFd file{::open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    // The trigger ends with a zero.
    const auto bytes = static_cast<ssize_t>(kPsiTrigger.size() + 1);
    if (file && ::write(file.get(), kPsiTrigger.data(), kPsiTrigger.size() + 1) == bytes)
        psi_ = std::move(file);
}

void Supervisor::on_pressure() const noexcept {
    const Instant until = clock() + kPsiHold;
    for (const ProcessPair& pair : pairs_) pair.note_pressure(until);
}

/// The figure covers all attachments together; without any the old one comes back.
void Supervisor::settle_reserve() noexcept {
    reserve::MemoryPlan need;
    bool is_wanted = false;
    const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
    reserve::add_network_to_plan(need, {.cpus = static_cast<std::uint32_t>(std::max(cpus, 1L))});
    for (const ProcessPair& pair : pairs_) {
        if (!pair.is_used() || !wants_kernel_reserve(pair.spec())) continue;
        is_wanted = true;
        const AttachSpec& spec = pair.spec();
        const SocketSpec buffers = socket_buffers_of(spec);
        reserve::add_load_to_plan(need, {.connections = spec.limits.connections,
                                         .depth = spec.limits.depth,
                                         .buffers = {.send_bytes = buffers.send_bytes,
                                                     .receive_bytes = buffers.receive_bytes}});
    }
    const std::uint64_t min_free = is_wanted ? reserve::min_free_kib_for(need.total()) : 0;
    context_.kernel_reserve = kernel_reserve_.settle_to(min_free);
}

// Shutdown.

void Supervisor::begin_shutdown() noexcept {
    if (is_shutting_down_) return;
    is_shutting_down_ = true;
    control_due_ = Instant::never();
    hurry_at_ = clock() + kHurryAfter;
    kill_at_ = clock() + kKillAfter;
    for (ProcessPair& pair : pairs_) {
        if (!pair.is_used()) continue;
        if (pair.is_in_use())
            leave_in_use(pair);
        else if (pair.is_holding())
            end(pair, 0, 0);
        else
            pair.order_detach(false);
    }
}

/// Its process goes on serving without us: nobody may lose swap or a file system.
void Supervisor::leave_in_use(ProcessPair& pair) noexcept {
    const auto path = ublk_path(pair.ublk_id());
    put_lines("holdfastd: a device is in use and stays: ");
    put_lines(path.data());
    put_lines("\n");
    pair.forget();
}

void Supervisor::advance_shutdown() noexcept {
    const Instant now = clock();
    if (now >= hurry_at_) {
        hurry_at_ = Instant::never();
        for (ProcessPair& pair : pairs_)
            if (pair.is_used()) pair.order_detach(true);
    }
    if (now >= kill_at_) {
        kill_at_ = Instant::never();
        for (const ProcessPair& pair : pairs_)
            if (pair.is_used()) pair.kill_all();
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
