/// The side doors of the server: control lines and signals.
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "stress/target/server.h"
#include "stress/target/sockets.h"

namespace holdfast::target {
namespace {

constexpr std::size_t kLineBytesMax = 4096;

}  // namespace

OrErrno<void> Server::control(const std::string& path, OnLine on_line) {
    auto socket = listen_on_path(path);
    if (!socket) return std::unexpected{socket.error()};
    on_line_ = std::move(on_line);
    add(Peer{.fd = std::move(*socket), .role = Role::ControlListener}, EPOLLIN);
    return {};
}

OrErrno<void> Server::control_stdin(OnLine on_line) {
    UniqueFd copy{::dup(STDIN_FILENO)};
    if (!copy) return std::unexpected{Errno::last()};
    on_line_ = std::move(on_line);
    add(Peer{.fd = std::move(copy), .role = Role::Control, .answers_to = STDOUT_FILENO}, EPOLLIN);
    return {};
}

OrErrno<void> Server::signals(std::vector<int> numbers, std::function<void(int)> on_signal) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : numbers) ::sigaddset(&set, number);
    if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return std::unexpected{Errno::last()};
    UniqueFd fd{::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
    if (!fd) return std::unexpected{Errno::last()};
    on_signal_ = std::move(on_signal);
    add(Peer{.fd = std::move(fd), .role = Role::Signals}, EPOLLIN);
    return {};
}

void Server::accept_control(int listener) {
    UniqueFd fd{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)};
    if (!fd) return;
    const int answers_to = fd.get();
    add(Peer{.fd = std::move(fd), .role = Role::Control, .answers_to = answers_to}, EPOLLIN);
}

void Server::read_lines(Peer& peer) {
    std::array<char, kLineBytesMax> buffer{};
    const ssize_t count = ::read(peer.fd.get(), buffer.data(), buffer.size());
    if (count <= 0 || peer.line.size() > kLineBytesMax) {
        remove(peer.fd.get());
        return;
    }
    peer.line.append(buffer.data(), static_cast<std::size_t>(count));
    for (auto end = peer.line.find('\n'); end != std::string::npos; end = peer.line.find('\n')) {
        const std::string answer = on_line_(std::string_view{peer.line}.substr(0, end)) + "\n";
        peer.line.erase(0, end + 1);
        if (peer.answers_to == STDOUT_FILENO) {
            static_cast<void>(::write(STDOUT_FILENO, answer.data(), answer.size()) < 0);
        } else {
            ::send(peer.answers_to, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
}

void Server::read_signals(Peer& peer) {
    signalfd_siginfo info{};
    while (::read(peer.fd.get(), &info, sizeof info) == sizeof info)
        on_signal_(static_cast<int>(info.ssi_signo));
}

}  // namespace holdfast::target
