/// One io_uring with one owner thread: every socket, export and command of an I/O process sleeps
/// and wakes here. Everything is sized when the ring is opened; afterwards neither side allocates
/// for it. IORING_OP_TIMEOUT is never used, because it allocates: waiting with a time-out is an
/// argument of io_uring_enter.
///
/// Limits: no more operations may be outstanding than RingOptions::operations; more is our bug.
#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/strong.h"
#include "base/time.h"

namespace holdfast::netpath {

/// A place in the ring's table of registered files.
using FileSlot = Strong<struct FileSlotTag, std::uint16_t>;

/// Who asked for an operation, and which one: travels through the kernel as user_data.
struct Token {
    std::uint8_t owner = 0;    ///< The part of the process; the daemon hands the numbers out.
    std::uint8_t kind = 0;     ///< The owner's own enumerator.
    std::uint16_t index = 0;   ///< The owner's object, such as a tag.
    std::uint32_t serial = 0;  ///< The owner's generation, to tell an old operation from a new one.
    constexpr bool operator==(const Token&) const noexcept = default;
};

/// One finished operation. `result` is a count, or a negative errno.
struct Completed {
    Token token;
    std::int32_t result = 0;
    std::uint32_t flags = 0;  ///< IORING_CQE_F_*.
};

struct RingOptions {
    std::uint32_t operations = 64;  ///< Outstanding at once, worst case; the CQ gets twice that.
    std::uint16_t files = 8;        ///< Places in the table of registered files.
    bool with_commands = false;     ///< Allow IORING_OP_URING_CMD (ublk).
    bool with_accept = false;       ///< Allow accept and close of table entries (NBD).
};

/// What this kernel granted. Anything false costs speed or strictness, never correctness.
struct RingGrants {
    bool defer_taskrun = false;  ///< Completions run only when we ask: 6.1 and later.
    bool single_issuer = false;  ///< 6.0 and later.
    /// Only the operations of RingOptions are possible; on registered files alone, too, where there
    /// is no accept. Tried: the kernel tells it nowhere.
    bool restricted = false;
    bool registered_ring = false;  ///< Enter without looking the descriptor up.
    bool pinned = false;           ///< Memory given to pin() is registered and cannot migrate.
};

/// See the file comment. Thread: the one that calls open().
class Ring {
public:
    Ring() noexcept = default;
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();

    /// Makes the ring, restricted and enabled. Once.
    [[nodiscard]] OrErrno<void> open(const RingOptions& options,
                                     std::span<const std::byte> pinned) noexcept;
    [[nodiscard]] bool is_open() const noexcept { return opened_; }
    [[nodiscard]] const RingGrants& grants() const noexcept { return grants_; }
    /// The ring's own descriptor, for the seccomp filter.
    [[nodiscard]] int descriptor() const noexcept { return ring_.ring_fd; }

    /// Puts a descriptor into the table; the table holds its own reference. Before arm() only.
    [[nodiscard]] OrErrno<void> set_file(FileSlot slot, int fd) noexcept;

    /// `address` stays valid until the completion. AF_UNSPEC disconnects.
    void connect(FileSlot file, const sockaddr* address, socklen_t bytes, Token token) noexcept;
    /// The memory stays valid until the completion. `wait_first`: nothing is there now, do not try.
    void receive(FileSlot file, std::span<std::byte> into, bool wait_first, Token token) noexcept;
    void receive_message(FileSlot file, msghdr& message, bool wait_first, Token token) noexcept;
    void send(FileSlot file, std::span<const std::byte> from, Token token) noexcept;
    void send_message(FileSlot file, const msghdr& message, Token token) noexcept;
    /// One read(2) at the file's own position.
    void read(FileSlot file, std::span<std::byte> into, Token token) noexcept;
    /// Once, level-triggered; `events` as for poll(2).
    void poll(FileSlot file, std::uint32_t events, Token token) noexcept;
    /// The new connection goes into the table at `into` and never becomes a descriptor.
    void accept(FileSlot listener, FileSlot into, Token token) noexcept;
    /// Empties a place of the table.
    void close(FileSlot slot, Token token) noexcept;
    /// Ends the operation that carries `target`; both complete.
    void cancel(Token target, Token token) noexcept;
    /// A send or a receive of nothing, which makes an AF_XDP socket's driver look at its rings. Not
    /// one of the outstanding operations: it completes only when it failed, with owner kKickOwner.
    void kick_sending(FileSlot file) noexcept;
    void kick_receiving(FileSlot file) noexcept;
    /// IORING_OP_URING_CMD with a payload of at most 16 bytes.
    void command(FileSlot file, std::uint32_t operation, std::span<const std::byte> payload,
                 Token token) noexcept;

    /// Submits what was asked for and waits for a completion, at most `wait_max`: zero looks and
    /// comes back, Duration::max() waits for ever. A signal ends the wait early; so it may come
    /// back with nothing.
    void submit_and_wait(Duration wait_max) noexcept;
    /// Submits, then sleeps for `time` or until `count` completions are due, whichever comes first:
    /// the kernel gathers what arrives meanwhile and wakes us once. May come back with nothing.
    void submit_and_gather(Duration time, std::uint32_t count) noexcept;
    [[nodiscard]] bool has_completed() const noexcept { return io_uring_cq_ready(&ring_) != 0; }
    /// The next finished operation, oldest first.
    [[nodiscard]] std::optional<Completed> poll_completed() noexcept;

    /// Gives the ring back; whatever is outstanding is cancelled by the kernel in its own time.
    void close_ring() noexcept;

    /// Token owner of kicks; nobody else's.
    static constexpr std::uint8_t kKickOwner = 0xff;

    /// Calls of io_uring_enter so far.
    [[nodiscard]] std::uint64_t enter_count() const noexcept { return enter_count_; }
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return outstanding_; }

private:
    [[nodiscard]] io_uring_sqe& take_entry(Token token) noexcept;
    [[nodiscard]] io_uring_sqe& take_room() noexcept;
    void finish_kick(io_uring_sqe& entry) noexcept;
    [[nodiscard]] int setup(const RingOptions& options, unsigned flags) noexcept;
    [[nodiscard]] OrErrno<void> register_all(const RingOptions& options,
                                             std::span<const std::byte> pinned) noexcept;
    [[nodiscard]] int restrict(const RingOptions& options) noexcept;

    io_uring ring_{};
    RingGrants grants_;
    std::uint32_t operations_max_ = 0;
    std::uint32_t outstanding_ = 0;
    std::uint64_t enter_count_ = 0;
    bool opened_ = false;
};

}  // namespace holdfast::netpath
