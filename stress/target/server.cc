#include "stress/target/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "stress/target/sockets.h"

namespace holdfast::target {
namespace {

constexpr std::size_t kEventsMax = 64;
constexpr std::size_t kGatherMax = 64;
constexpr Duration kDrainTime = Duration::from_s(2);

timespec time_until(Instant deadline, Instant from) {
    constexpr std::int64_t kNsPerSecond = 1'000'000'000;
    const std::int64_t ns = deadline <= from ? 0 : (deadline - from).ns();
    return {.tv_sec = ns / kNsPerSecond, .tv_nsec = ns % kNsPerSecond};
}

}  // namespace

Instant now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant::from_ns(std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec);
}

OrErrno<void> Server::start() {
    epoll_ = UniqueFd{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll_) return std::unexpected{Errno::last()};
    return {};
}

OrErrno<std::string> Server::listen(const std::string& address) {
    auto socket = listen_on(address);
    if (!socket) return std::unexpected{socket.error()};
    std::string real = local_address(socket->get());
    add(Peer{.fd = std::move(*socket), .role = Role::Listener}, EPOLLIN);
    return real;
}

void Server::add(Peer peer, std::uint32_t interest) {
    const int fd = peer.fd.get();
    peer.interest = interest;
    epoll_event event{.events = interest, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return;
    peers_.insert_or_assign(fd, std::move(peer));
}

void Server::remove(int fd) {
    const auto found = peers_.find(fd);
    if (found == peers_.end()) return;
    if (found->second.draining) --draining_;
    fd_of_link_.erase(found->second.link);
    peers_.erase(found);
}

void Server::accept_all(int listener) {
    while (true) {
        UniqueFd fd{::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!fd) return;
        const int one = 1;
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        const LinkId link = target_.accept(now(), local_address(fd.get()));
        if (target_.wish(link) == LinkWish::Reset) {
            abort_on_close(fd.get());
            target_.lost(link, now());
            continue;
        }
        fd_of_link_.insert_or_assign(link, fd.get());
        add(Peer{.fd = std::move(fd), .role = Role::Connection, .link = link}, EPOLLIN);
    }
}

void Server::receive(Peer& peer) {
    const auto room = target_.rx_space(peer.link);
    if (room.empty()) {
        update_interest(peer);
        return;
    }
    const ssize_t count = ::recv(peer.fd.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (count > 0) {
        target_.rx_filled(peer.link, static_cast<std::size_t>(count), now());
        flush(peer);
        return;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    target_.lost(peer.link, now());
    remove(peer.fd.get());
}

/// False when the connection broke.
bool Server::send_some(Peer& peer) {
    std::array<Bytes, kGatherMax> pieces;
    std::array<iovec, kGatherMax> vectors;
    while (const std::size_t used = target_.tx_gather(peer.link, pieces)) {
        for (std::size_t i = 0; i < used; ++i) {
            // sendmsg only reads, but iovec knows no const.
            vectors[i] = {.iov_base = const_cast<std::byte*>(pieces[i].data()),
                          .iov_len = pieces[i].size()};
        }
        msghdr message{};
        message.msg_iov = vectors.data();
        message.msg_iovlen = used;
        const ssize_t count = ::sendmsg(peer.fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN || errno == EINTR;
        target_.tx_sent(peer.link, static_cast<std::size_t>(count));
    }
    return true;
}

void Server::flush(Peer& peer) {
    if (target_.wish(peer.link) != LinkWish::Reset && !send_some(peer)) {
        target_.lost(peer.link, now());
        remove(peer.fd.get());
        return;
    }
    if (target_.wish(peer.link) == LinkWish::Keep) {
        update_interest(peer);
    } else {
        carry_out_wish(peer);
    }
}

void Server::carry_out_wish(Peer& peer) {
    const bool reset = target_.wish(peer.link) == LinkWish::Reset;
    target_.lost(peer.link, now());
    fd_of_link_.erase(peer.link);
    if (reset) {
        abort_on_close(peer.fd.get());
        remove(peer.fd.get());
        return;
    }
    // Unread bytes at close() would turn the FIN into a RST, which destroys what was just sent.
    ::shutdown(peer.fd.get(), SHUT_WR);
    peer.draining = true;
    peer.drained_by = now() + kDrainTime;
    ++draining_;
    epoll_event event{.events = EPOLLIN, .data = {.fd = peer.fd.get()}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peer.fd.get(), &event);
}

void Server::update_interest(Peer& peer) {
    const bool has_more = target_.tx_pending(peer.link);
    const std::uint32_t wanted = (target_.wants_rx(peer.link) ? std::uint32_t{EPOLLIN} : 0U) |
                                 (has_more ? std::uint32_t{EPOLLOUT} : 0U);
    if (wanted == peer.interest) return;
    peer.interest = wanted;
    epoll_event event{.events = wanted, .data = {.fd = peer.fd.get()}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peer.fd.get(), &event);
}

void Server::drain(Peer& peer) {
    std::array<std::byte, 4096> waste;
    const ssize_t count = ::recv(peer.fd.get(), waste.data(), waste.size(), MSG_DONTWAIT);
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))) return;
    remove(peer.fd.get());
}

void Server::end_drained() {
    if (draining_ == 0) return;
    const Instant time = now();
    std::vector<int> over;
    for (const auto& [fd, peer] : peers_) {
        if (peer.draining && peer.drained_by <= time) over.push_back(fd);
    }
    for (const int fd : over) remove(fd);
}

void Server::serve(int fd, std::uint32_t events) {
    const auto found = peers_.find(fd);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    switch (peer.role) {
    case Role::Listener: accept_all(fd); return;
    case Role::ControlListener: accept_control(fd); return;
    case Role::Control: read_lines(peer); return;
    case Role::Signals: read_signals(peer); return;
    case Role::Connection: break;
    }
    if (peer.draining) {
        drain(peer);
    } else if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && target_.wants_rx(peer.link)) {
        receive(peer);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        target_.lost(peer.link, now());
        remove(fd);
    } else {
        flush(peer);
    }
}

void Server::serve_touched() {
    for (const LinkId link : target_.take_touched()) {
        const auto fd = fd_of_link_.find(link);
        if (fd == fd_of_link_.end()) continue;
        const auto peer = peers_.find(fd->second);
        if (peer != peers_.end() && !peer->second.draining) flush(peer->second);
    }
    for (const auto& line : target_.take_notes()) {
        if (note_) note_(line);
    }
}

void Server::run() {
    std::array<epoll_event, kEventsMax> events{};
    while (running_) {
        const Instant before = now();
        Instant next = target_.next_wake();
        if (draining_ != 0) next = earlier(next, before + kDrainTime);
        const timespec wait = time_until(next, before);
        const int count = ::epoll_pwait2(epoll_.get(), events.data(), kEventsMax,
                                         next.is_never() ? nullptr : &wait, nullptr);
        if (next <= now()) target_.wake(now());
        const auto ready = static_cast<std::size_t>(std::max(count, 0));
        for (const epoll_event& event : std::span{events}.first(ready))
            serve(event.data.fd, event.events);
        serve_touched();
        end_drained();
    }
}

}  // namespace holdfast::target
