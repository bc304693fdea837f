#include "daemon/io/maker.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "daemon/io/child.h"
#include "daemon/io/driver.h"

namespace holdfast::daemon {

OrErrno<void> Maker::start(const MakerPrograms& programs) noexcept {
    HF_ASSERT(pid_ == 0);
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return std::unexpected(Errno::last());
    UniqueFd ours{ends[0]};
    UniqueFd theirs{ends[1]};
    const pid_t pid = ::fork();
    if (pid < 0) return std::unexpected(Errno::last());
    if (pid == 0) {
        std::array<int, 1> kept{theirs.get()};
        close_all_but(kept);
        static_cast<void>(ours.release());  // Closed by the line above.
        run_maker(programs, std::move(theirs));
    }
    pid_ = pid;
    socket_ = std::move(ours);
    return {};
}

void Maker::on_gone() noexcept {
    pid_ = 0;
    socket_.reset();
}

OrErrno<MakeReply> Maker::hear(Instant until) noexcept {
    const Duration left = std::max(until - Driver::clock(), Duration{});
    pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, static_cast<int>(left.ms()) + 1) <= 0)
        return std::unexpected(Errno{ETIMEDOUT});
    MakeReply reply;
    const auto room = std::as_writable_bytes(std::span{&reply, 1});
    const auto received = receive_message(socket_.get(), room);
    if (!received || received->bytes != sizeof(reply)) return std::unexpected(Errno{ESRCH});
    return reply;
}

OrErrno<pid_t> Maker::make(MakeRequest request, std::span<const int> fds) noexcept {
    HF_ASSERT(fds.size() <= kMakeFdsMax);
    if (!socket_) return std::unexpected(Errno{ESRCH});
    request.number = ++last_number_;
    FixedVector<int, kMakeFdsMax> sent;
    for (std::size_t i = 0; i < fds.size(); ++i) {
        std::span{request.has}[i] = fds[i] >= 0 ? 1 : 0;
        if (fds[i] >= 0) sent.push(fds[i]);
    }
    const auto bytes = std::as_bytes(std::span{&request, 1});
    if (const auto told = send_message(socket_.get(), bytes, sent.span()); !told)
        return std::unexpected(told.error());
    const Instant until = Driver::clock() + patience_;
    for (;;) {
        const auto reply = hear(until);
        if (!reply) return std::unexpected(reply.error());
        if (reply->number == request.number) {
            if (reply->error != 0) return std::unexpected(Errno{reply->error});
            return reply->pid;
        }
        // Of a request that was given up: nobody knows that process.
        if (reply->pid > 0) ::kill(reply->pid, SIGKILL);
    }
}

}  // namespace holdfast::daemon
