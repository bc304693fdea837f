/// One TCP connection of the kernel path, over sockets that exist before the process is armed.
///
/// A connection that ends is disconnected with connect(AF_UNSPEC), which resets it on the wire and
/// leaves the same descriptor ready for the next connect. There is one socket for IPv4 and one for
/// IPv6, because a portal may be either.
///
/// Timers: kCloseWait, how long an orderly close waits for the peer's FIN. TCP_USER_TIMEOUT is the
/// kernel's. Limits: one receive and one send outstanding; kSpansMax pieces in either.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "netpath/io/ring.h"
#include "netpath/io/socket_address.h"

namespace holdfast::netpath {

/// Set once on each socket. Zero leaves the kernel's choice.
struct TcpOptions {
    std::uint32_t send_bytes = 0;       ///< SO_SNDBUF, as the plan counts it: before doubling.
    std::uint32_t receive_bytes = 0;    ///< SO_RCVBUF.
    std::uint32_t user_timeout_ms = 0;  ///< TCP_USER_TIMEOUT.
    std::int32_t priority = 0;          ///< SO_PRIORITY.
    std::uint32_t mark = 0;             ///< SO_MARK; needs CAP_NET_ADMIN.
    FixedString<15> interface{};        ///< SO_BINDTODEVICE; empty: any.
};

/// What became of a connection.
enum class SocketFact : std::uint8_t {
    None,      ///< Nothing to report.
    Up,        ///< Connected.
    Received,  ///< `bytes` arrived in the spans given to receive().
    Sent,      ///< `bytes` of the spans given to send() were taken.
    Lost,      ///< Not connected any more, and the kernel holds no reference to any span.
};

struct SocketReport {
    SocketFact fact = SocketFact::None;
    std::size_t bytes = 0;
};

/// See the file comment. Thread: the ring's. Stays where it is: the kernel holds addresses of it.
class TcpSocket {
public:
    static constexpr std::size_t kSpansMax = 64;
    static constexpr Duration kCloseWait = Duration::from_ms(500);
    /// Places in the ring's file table, and operations outstanding at once, that one needs.
    static constexpr std::uint16_t kFiles = 2;
    static constexpr std::uint32_t kOperations = 8;

    TcpSocket() noexcept = default;
    TcpSocket(const TcpSocket&) = delete;
    TcpSocket& operator=(const TcpSocket&) = delete;

    /// Makes the sockets and puts them at `first` and the place after it. Completions come back
    /// with `owner` and `index` in their tokens.
    [[nodiscard]] OrErrno<void> open(Ring& ring, FileSlot first, std::uint8_t owner,
                                     std::uint16_t index, const TcpOptions& options) noexcept;

    /// Only when is_idle(). Lost follows if it fails; at once when no socket of that family exists.
    [[nodiscard]] SocketReport connect(const SocketAddress& address) noexcept;
    /// Resets the connection, whatever its state. Lost follows; at once when already idle.
    [[nodiscard]] SocketReport reset() noexcept;
    /// Sends FIN, waits kCloseWait for the peer's, then ends as reset() does.
    [[nodiscard]] SocketReport close(Instant now) noexcept;
    /// Judges kCloseWait.
    void wake(Instant now) noexcept;
    [[nodiscard]] Instant next_wake() const noexcept { return close_deadline_; }

    [[nodiscard]] bool is_idle() const noexcept { return state_ == State::Idle; }
    [[nodiscard]] bool is_up() const noexcept { return state_ == State::Up; }
    [[nodiscard]] bool can_receive() const noexcept { return is_up() && !receiving_; }
    [[nodiscard]] bool can_send() const noexcept { return is_up() && !sending_; }

    /// Only when can_receive(). The spans stay valid until Received or Lost.
    void receive(std::span<const std::span<std::byte>> into) noexcept;
    /// Only when can_send(). The spans stay valid until Sent or Lost.
    void send(std::span<const std::span<const std::byte>> from) noexcept;

    /// Takes a completion whose token carries this socket's owner and index.
    [[nodiscard]] SocketReport on_completed(const Completed& completed) noexcept;

private:
    enum class State : std::uint8_t {
        Idle,        ///< Disconnected; nothing is outstanding.
        Connecting,  ///< A connect is outstanding.
        Up,
        Closing,   ///< FIN sent; received bytes are thrown away until the peer's FIN.
        Draining,  ///< Waiting for every outstanding operation to come home.
    };
    enum class Operation : std::uint8_t { Connect, Receive, Send, Disconnect, Cancel };

    [[nodiscard]] Token token(Operation operation) const noexcept;
    [[nodiscard]] FileSlot file() const noexcept;
    [[nodiscard]] const UniqueFd& descriptor() const noexcept;
    [[nodiscard]] SocketReport on_received(const Completed& completed) noexcept;
    [[nodiscard]] SocketReport on_sent(const Completed& completed) noexcept;
    void receive_and_forget() noexcept;
    /// Leaves Up or Closing: cancels, disconnects, and waits in Draining.
    SocketReport drain() noexcept;
    [[nodiscard]] SocketReport settle() noexcept;

    Ring* ring_ = nullptr;
    FileSlot first_{};
    std::uint8_t owner_ = 0;
    std::uint16_t index_ = 0;
    State state_ = State::Idle;
    std::uint32_t serial_ = 0;  // Counts connections.
    bool uses_ipv6_ = false;
    bool connecting_ = false;
    bool receiving_ = false;
    bool sending_ = false;
    bool peer_has_more_ = true;
    std::uint8_t chores_ = 0;  // Cancels and disconnects outstanding.
    Instant close_deadline_ = Instant::never();
    UniqueFd ipv4_;
    UniqueFd ipv6_;
    SocketAddress address_;
    SocketAddress nowhere_ = SocketAddress::nowhere();
    std::array<iovec, kSpansMax> receive_pieces_{};
    std::array<iovec, kSpansMax> send_pieces_{};
    msghdr receive_message_{};
    msghdr send_message_{};
    std::array<std::byte, 512> discard_{};
};

}  // namespace holdfast::netpath
