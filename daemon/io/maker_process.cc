/// The maker's side of daemon/io/maker.h: it sleeps on its socket, and forks.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "daemon/io/child.h"
#include "daemon/io/device_settings.h"
#include "daemon/io/handover.h"
#include "daemon/io/init_socket.h"
#include "daemon/io/io_process.h"
#include "daemon/io/maker.h"
#include "daemon/io/ublk_export.h"
#include "reserve/deny_filter.h"
#include "reserve/lock_memory.h"
#include "reserve/lockdown.h"

namespace holdfast::daemon {

namespace {

constexpr std::size_t kControlArgumentsMax = 32;

using Number = std::array<char, 12>;
using Files = std::array<UniqueFd, kMakeFdsMax>;

Number number_text(int number) noexcept {
    Number text{};
    std::to_chars(&text.front(), &text.back(), number);
    return text;
}

/// A child of our parent. Not fork(): that would make it ours. Nothing here runs in fork's hooks,
/// and the process has one thread.
pid_t fork_sibling() noexcept {
    constexpr unsigned long kFlags = CLONE_PARENT | SIGCHLD;
    return static_cast<pid_t>(::syscall(SYS_clone, kFlags, 0, 0, 0, 0));
}

void keep_beyond_exec(const UniqueFd& fd) noexcept {
    if (fd) ::fcntl(fd.get(), F_SETFD, 0);
}

[[noreturn]] void become_loader(const MakerPrograms& programs, const Files& files) noexcept {
    become_ordinary();
    keep_beyond_exec(files[0]);
    std::array<int, 1> kept{files[0].get()};
    close_all_but(kept);
    Number number = number_text(files[0].get());
    std::array<char, 16> name{"holdfast-loader"};
    std::array<char*, 3> words{name.data(), number.data(), nullptr};
    if (programs.loader != nullptr) ::execv(programs.loader, words.data());
    ::_exit(EXIT_FAILURE);
}

[[noreturn]] void become_control(const MakerPrograms& programs, const Files& files,
                                 pid_t maker) noexcept {
    become_ordinary();
    for (const UniqueFd* const fd : {&files[0], &files[1]}) keep_beyond_exec(*fd);
    std::array<int, 2> kept{files[0].get(), files[1].get()};
    close_all_but(kept);
    Number number = number_text(files[0].get());
    Number loader_number = number_text(files[1] ? files[1].get() : -1);
    Number maker_number = number_text(maker);
    std::array<char, 16> key{"--supervisor-fd"};
    std::array<char, 12> loader_key{"--loader-fd"};
    std::array<char, 12> maker_key{"--maker-pid"};
    std::array<char, 17> name{"holdfast-control"};
    std::array<char*, kControlArgumentsMax> words{
        name.data(),          key.data(),       number.data(),      loader_key.data(),
        loader_number.data(), maker_key.data(), maker_number.data()};
    std::size_t count = 7;
    for (char* const word : programs.control_arguments)
        if (count + 1 < words.size()) std::span{words}[count++] = word;
    ::execv(programs.control, words.data());
    put_lines("holdfastd: cannot start holdfast-control; it belongs next to holdfastd\n");
    ::_exit(EXIT_FAILURE);
}

[[noreturn]] void become_io(const MakerPrograms& programs, const MakeRequest& request,
                            Files files) noexcept {
    become_ordinary();
    IoInheritance inheritance{.area = std::move(files[0]),
                              .command = std::move(files[1]),
                              .attachment = request.attachment,
                              .listener = std::move(files[2]),
                              .lock = std::move(files[3]),
                              .order = std::move(files[4]),
                              .succeeds = request.succeeds != 0,
                              .recover_ublk_id = request.succeeds != 0 ? request.device : -1,
                              .kernel_reserve = request.kernel_reserve,
                              .image = programs.image,
                              .gate = GateFiles::taken_from(std::span{files}.subspan(5))};
    FixedVector<int, kMakeFdsMax> kept = inheritance.gate.numbers_of<5>();
    for (const UniqueFd* const fd : {&inheritance.area, &inheritance.command, &inheritance.listener,
                                     &inheritance.lock, &inheritance.order})
        kept.push(fd->get());
    if (request.is_of_program != 0) {
        exec_io_process(programs.own, request.spec, std::move(inheritance));
        ::_exit(kIoExitFailed);
    }
    close_all_but(kept.span());
    ::_exit(run_io_process(request.spec, std::move(inheritance)));
}

[[noreturn]] void settle_device_here(const MakeRequest& request) noexcept {
    become_ordinary();
    close_all_but({});
    if (request.kind == MakeKind::DeviceSettings) {
        settle_device(request.device, request.depth);
        ::_exit(EXIT_SUCCESS);
    }
    ::_exit(delete_ublk_device(request.device) ? EXIT_SUCCESS : EXIT_FAILURE);
}

[[noreturn]] void become(const MakerPrograms& programs, const MakeRequest& request, Files files,
                         pid_t maker) noexcept {
    switch (request.kind) {
    case MakeKind::Control: become_control(programs, files, maker);
    case MakeKind::Loader: become_loader(programs, files);
    case MakeKind::IoProcess: become_io(programs, request, std::move(files));
    case MakeKind::DeviceBurial:
    case MakeKind::DeviceSettings: settle_device_here(request);
    }
    ::_exit(EXIT_FAILURE);
}

/// The descriptors at the places that the request gives them.
Files files_of(const MakeRequest& request, std::span<UniqueFd> received) noexcept {
    Files files;
    std::size_t next = 0;
    for (std::size_t place = 0; place < files.size(); ++place)
        if (std::span{request.has}[place] != 0 && next < received.size())
            std::span{files}[place] = std::move(received[next++]);
    return files;
}

/// Its memory is what a cold start needs while nothing can be swapped in. Text and constants are
/// those of the supervisor, which has locked them.
void protect(const MakerPrograms& programs) noexcept {
    if (programs.lock_down) {
        static_cast<void>(reserve::lock_down({.fifo_priority = kSupervisorPriority,
                                              .lock_memory = false,
                                              .forbid_compaction = false,
                                              .sparse = {}}));
    }
    static_cast<void>(reserve::enter_deny_filter());
    if (programs.lock_down) static_cast<void>(reserve::lock_present_writable());
}

/// False: the supervisor has gone.
bool serve(const MakerPrograms& programs, int socket, MakeRequest& request) noexcept {
    pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, -1) < 0) return errno == EINTR;
    const auto room = std::as_writable_bytes(std::span{&request, 1});
    auto received = receive_message(socket, room);
    if (!received) return received.error() == Errno{EAGAIN};
    if (received->bytes != sizeof(request) || request.magic != MakeRequest::kMagic) return false;
    Files files = files_of(request, received->fds);
    const pid_t maker = ::getpid();
    const pid_t pid = fork_sibling();
    if (pid == 0) become(programs, request, std::move(files), maker);
    const MakeReply reply{
        .number = request.number, .pid = std::max(pid, 0), .error = pid < 0 ? errno : 0};
    // What it shared with the child until now is its own again.
    if (programs.lock_down && pid > 0) static_cast<void>(reserve::lock_present_writable());
    return send_message(socket, std::as_bytes(std::span{&reply, 1})).has_value();
}

}  // namespace

void run_maker(const MakerPrograms& programs, UniqueFd socket) noexcept {
    ::prctl(PR_SET_NAME, "holdfast-maker");
    const sigset_t set = supervisor_signals();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    InitSocket::forget();
    protect(programs);
    static MakeRequest request;
    while (serve(programs, socket.get(), request)) {
    }
    ::_exit(EXIT_SUCCESS);
}

}  // namespace holdfast::daemon
