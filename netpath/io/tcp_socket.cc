#include "netpath/io/tcp_socket.h"

#include <fcntl.h>
#include <netinet/tcp.h>

#include "base/assert.h"

namespace holdfast::netpath {

namespace {

template <class T>
bool set_option(int fd, int level, int name, const T& value) noexcept {
    return ::setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/// As root past net.core.*_max, so that the plan's figure is what counts; else as far as allowed.
bool set_buffer(int fd, int forced, int plain, std::uint32_t bytes) noexcept {
    if (bytes == 0) return true;
    const int value = static_cast<int>(bytes);
    return set_option(fd, SOL_SOCKET, forced, value) || set_option(fd, SOL_SOCKET, plain, value);
}

bool set_options(int fd, const TcpOptions& options) noexcept {
    const int on = 1;
    const int off = 0;
    // Should this process die: what it has queued must not reach the target behind its successor.
    const linger reset_at_death{.l_onoff = 1, .l_linger = 0};
    bool fine = set_option(fd, SOL_SOCKET, SO_LINGER, reset_at_death) &&
                set_option(fd, IPPROTO_TCP, TCP_NODELAY, on) &&
                set_option(fd, SOL_SOCKET, SO_KEEPALIVE, off) &&
                set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_bytes) &&
                set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_bytes);
    if (options.user_timeout_ms != 0)
        fine = fine && set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms);
    if (options.priority != 0)
        fine = fine && set_option(fd, SOL_SOCKET, SO_PRIORITY, options.priority);
    if (options.mark != 0) fine = fine && set_option(fd, SOL_SOCKET, SO_MARK, options.mark);
    if (!options.interface.empty()) {
        const std::string_view name = options.interface.view();
        fine = fine && ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name.data(),
                                    static_cast<socklen_t>(name.size())) == 0;
    }
    return fine;
}

/// Fills `pieces` with what the kernel wants; `const` is cast away because iovec has none.
template <class Byte>
std::span<iovec> gather(std::span<const std::span<Byte>> spans, std::span<iovec> pieces) noexcept {
    HF_ASSERT(!spans.empty() && spans.size() <= pieces.size());
    std::size_t used = 0;
    for (const auto& span : spans) {
        HF_ASSERT(!span.empty());
        pieces[used++] = {.iov_base = const_cast<std::byte*>(span.data()), .iov_len = span.size()};
    }
    return pieces.first(used);
}

}  // namespace

OrErrno<void> TcpSocket::open(Ring& ring, FileSlot first, std::uint8_t owner, std::uint16_t index,
                              const TcpOptions& options) noexcept {
    HF_ASSERT(ring_ == nullptr);
    ring_ = &ring;
    first_ = first;
    owner_ = owner;
    index_ = index;
    ipv4_ = UniqueFd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP)};
    ipv6_ = UniqueFd{::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP)};
    // A machine may lack one of the two families.
    if (!ipv4_ && !ipv6_) return std::unexpected(Errno::last());
    std::uint16_t place = first.raw();
    for (UniqueFd* const fd : {&ipv4_, &ipv6_}) {
        const FileSlot slot{place++};
        if (!*fd) continue;
        if (!set_options(fd->get(), options)) return std::unexpected(Errno::last());
        if (auto placed = ring.set_file(slot, fd->get()); !placed) return placed;
    }
    return {};
}

Token TcpSocket::token(Operation operation) const noexcept {
    return {.owner = owner_,
            .kind = static_cast<std::uint8_t>(operation),
            .index = index_,
            .serial = serial_};
}

FileSlot TcpSocket::file() const noexcept {
    return FileSlot{static_cast<std::uint16_t>(first_.raw() + (uses_ipv6_ ? 1 : 0))};
}

const UniqueFd& TcpSocket::descriptor() const noexcept {
    return uses_ipv6_ ? ipv6_ : ipv4_;
}

SocketReport TcpSocket::connect(const SocketAddress& address) noexcept {
    HF_ASSERT(ring_ != nullptr);
    HF_ASSERT(is_idle() && !connecting_ && !receiving_ && !sending_ && chores_ == 0);
    ++serial_;
    uses_ipv6_ = address.is_ipv6();
    if (!descriptor()) return {.fact = SocketFact::Lost};
    address_ = address;
    peer_has_more_ = false;
    state_ = State::Connecting;
    connecting_ = true;
    ring_->connect(file(), address_.raw(), address_.raw_bytes(), token(Operation::Connect));
    return {};
}

SocketReport TcpSocket::drain() noexcept {
    HF_ASSERT(state_ != State::Idle);
    if (state_ == State::Draining) return {};
    state_ = State::Draining;
    close_deadline_ = Instant::never();
    const auto cancel = [this](bool outstanding, Operation operation) {
        if (!outstanding) return;
        ring_->cancel(token(operation), token(Operation::Cancel));
        ++chores_;
    };
    cancel(connecting_, Operation::Connect);
    cancel(receiving_, Operation::Receive);
    cancel(sending_, Operation::Send);
    // Resets on the wire, and wakes whatever a cancel could not catch.
    ring_->connect(file(), nowhere_.raw(), nowhere_.raw_bytes(), token(Operation::Disconnect));
    ++chores_;
    return {};
}

SocketReport TcpSocket::settle() noexcept {
    HF_ASSERT(state_ == State::Draining);
    if (connecting_ || receiving_ || sending_ || chores_ != 0) return {};
    state_ = State::Idle;
    return {.fact = SocketFact::Lost};
}

SocketReport TcpSocket::reset() noexcept {
    if (is_idle()) return {.fact = SocketFact::Lost};
    return drain();
}

SocketReport TcpSocket::close(Instant now) noexcept {
    if (is_idle()) return {.fact = SocketFact::Lost};
    if (state_ != State::Up) return drain();
    // Does not block and takes no memory that the connection does not have: the FIN is queued.
    if (::shutdown(descriptor().get(), SHUT_WR) != 0) return drain();
    state_ = State::Closing;
    close_deadline_ = now + kCloseWait;
    if (!receiving_) receive_and_forget();
    return {};
}

void TcpSocket::wake(Instant now) noexcept {
    if (state_ == State::Closing && now >= close_deadline_) drain();
}

void TcpSocket::receive(std::span<const std::span<std::byte>> into) noexcept {
    HF_ASSERT(can_receive());
    receiving_ = true;
    const auto pieces = gather(into, std::span{receive_pieces_});
    if (pieces.size() == 1) {
        ring_->receive(file(), into.front(), !peer_has_more_, token(Operation::Receive));
        return;
    }
    receive_message_ = {};
    receive_message_.msg_iov = pieces.data();
    receive_message_.msg_iovlen = pieces.size();
    ring_->receive_message(file(), receive_message_, !peer_has_more_, token(Operation::Receive));
}

void TcpSocket::receive_and_forget() noexcept {
    HF_ASSERT(!receiving_);
    receiving_ = true;
    ring_->receive(file(), std::span{discard_}, false, token(Operation::Receive));
}

void TcpSocket::send(std::span<const std::span<const std::byte>> from) noexcept {
    HF_ASSERT(can_send());
    sending_ = true;
    const auto pieces = gather(from, std::span{send_pieces_});
    if (pieces.size() == 1) {
        ring_->send(file(), from.front(), token(Operation::Send));
        return;
    }
    send_message_ = {};
    send_message_.msg_iov = pieces.data();
    send_message_.msg_iovlen = pieces.size();
    ring_->send_message(file(), send_message_, token(Operation::Send));
}

SocketReport TcpSocket::on_received(const Completed& completed) noexcept {
    receiving_ = false;
    peer_has_more_ = (completed.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
    if (state_ == State::Draining) return settle();
    // Zero is the peer's FIN: nothing more will come, and iSCSI has no half-open use of TCP.
    if (completed.result <= 0) return drain();
    if (state_ == State::Closing) {
        receive_and_forget();
        return {};
    }
    return {.fact = SocketFact::Received, .bytes = static_cast<std::size_t>(completed.result)};
}

SocketReport TcpSocket::on_sent(const Completed& completed) noexcept {
    sending_ = false;
    if (state_ == State::Draining) return settle();
    if (completed.result < 0) return drain();
    if (state_ == State::Closing) return {};
    return {.fact = SocketFact::Sent, .bytes = static_cast<std::size_t>(completed.result)};
}

SocketReport TcpSocket::on_completed(const Completed& completed) noexcept {
    HF_ASSERT(completed.token.owner == owner_ && completed.token.index == index_);
    HF_ASSERT(completed.token.serial == serial_);
    switch (static_cast<Operation>(completed.token.kind)) {
    case Operation::Connect:
        connecting_ = false;
        if (state_ == State::Draining) return settle();
        if (completed.result < 0) return drain();
        state_ = State::Up;
        return {.fact = SocketFact::Up};
    case Operation::Receive: return on_received(completed);
    case Operation::Send: return on_sent(completed);
    case Operation::Disconnect:
    case Operation::Cancel:
        HF_ASSERT(chores_ > 0);
        --chores_;
        return settle();
    }
    HF_ASSERT(false);
    return {};
}

}  // namespace holdfast::netpath
