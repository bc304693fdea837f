#include "netpath/io/ring.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "netpath/io/ring_limits.h"

namespace holdfast::netpath {

namespace {

// From kernel 6.1 on; liburing 2.3 knows the name, older kernels refuse it with EINVAL.
constexpr unsigned kBestFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
constexpr unsigned kAlwaysFlags =
    IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
// A registered buffer is at most 1 GiB.
constexpr std::size_t kPinnedPieceBytes = std::size_t{1} << 30;
constexpr std::size_t kPinnedPiecesMax = 4;

std::uint64_t pack(Token token) noexcept {
    return std::bit_cast<std::uint64_t>(token);
}
Token unpack(std::uint64_t user_data) noexcept {
    return std::bit_cast<Token>(user_data);
}
static_assert(sizeof(Token) == sizeof(std::uint64_t));

void use_table(io_uring_sqe& entry) noexcept {
    entry.flags |= IOSQE_FIXED_FILE;
}

void set_wait_first(io_uring_sqe& entry, bool wait_first) noexcept {
    if (wait_first) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

int slot_of(FileSlot file) noexcept {
    return static_cast<int>(file.raw());
}

unsigned length_of(std::size_t bytes) noexcept {
    return static_cast<unsigned>(std::min<std::size_t>(bytes, 1U << 30));
}

__kernel_timespec timespec_of(Duration wait) noexcept {
    constexpr std::int64_t kNsPerSecond = 1'000'000'000;
    return {.tv_sec = wait.ns() / kNsPerSecond, .tv_nsec = wait.ns() % kNsPerSecond};
}

RingFiles files_of(const RingOptions& options) noexcept {
    return options.with_accept ? RingFiles::Any : RingFiles::Registered;
}

}  // namespace

Ring::~Ring() {
    close_ring();
}

void Ring::close_ring() noexcept {
    if (opened_) io_uring_queue_exit(&ring_);
    opened_ = false;
}

int Ring::setup(const RingOptions& options, unsigned flags) noexcept {
    io_uring_params params{};
    params.flags = kAlwaysFlags | flags;
    params.cq_entries = std::bit_ceil(options.operations * 2);
    return io_uring_queue_init_params(std::bit_ceil(options.operations), &ring_, &params);
}

OrErrno<void> Ring::open(const RingOptions& options, std::span<const std::byte> pinned) noexcept {
    HF_ASSERT(!opened_);
    HF_ASSERT(options.operations > 0 && options.files > 0);
    int result = setup(options, kBestFlags);
    grants_.defer_taskrun = grants_.single_issuer = result == 0;
    if (result == -EINVAL) {
        result = setup(options, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN);
        grants_.single_issuer = result == 0;
    }
    if (result == -EINVAL) result = setup(options, IORING_SETUP_COOP_TASKRUN);
    if (result == -EINVAL) result = setup(options, 0);
    if (result < 0) return std::unexpected(Errno{-result});
    opened_ = true;
    operations_max_ = options.operations;
    return register_all(options, pinned);
}

OrErrno<void> Ring::register_all(const RingOptions& options,
                                 std::span<const std::byte> pinned) noexcept {
    HF_ASSERT(opened_);
    const int files = io_uring_register_files_sparse(&ring_, options.files);
    if (files < 0) return std::unexpected(Errno{-files});

    FixedVector<iovec, kPinnedPiecesMax> pieces;
    for (auto rest = pinned; !rest.empty() && !pieces.full();) {
        const auto piece = rest.first(std::min(rest.size(), kPinnedPieceBytes));
        // The kernel's interface has no const; registering never writes.
        pieces.push({.iov_base = const_cast<std::byte*>(piece.data()), .iov_len = piece.size()});
        rest = rest.subspan(piece.size());
    }
    grants_.pinned =
        !pieces.empty() && io_uring_register_buffers(&ring_, pieces.span().data(),
                                                     static_cast<unsigned>(pieces.size())) == 0;
    const bool is_limited = restrict(options) == 0;
    const int enabled = io_uring_enable_rings(&ring_);
    if (enabled < 0) return std::unexpected(Errno{-enabled});
    grants_.restricted = is_limited && refuses_the_rest(ring_, files_of(options));
    // Possible on an enabled ring only, because the kernel ties it to the submitting task.
    grants_.registered_ring = io_uring_register_ring_fd(&ring_) == 1;
    return {};
}

int Ring::restrict(const RingOptions& options) noexcept {
    FixedVector<std::uint8_t, 16> operations;
    for (const std::uint8_t operation :
         {IORING_OP_CONNECT, IORING_OP_RECV, IORING_OP_RECVMSG, IORING_OP_SEND, IORING_OP_SENDMSG,
          IORING_OP_READ, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL})
        operations.push(operation);
    if (options.with_commands) operations.push(IORING_OP_URING_CMD);
    if (options.with_accept) {
        operations.push(IORING_OP_ACCEPT);
        operations.push(IORING_OP_CLOSE);
    }
    constexpr std::array<std::uint8_t, 3> kRegistrations{
        IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS};
    return limit_ring(ring_, {.operations = operations.span(),
                              .registrations = kRegistrations,
                              .files = files_of(options)});
}

OrErrno<void> Ring::set_file(FileSlot slot, int fd) noexcept {
    HF_ASSERT(opened_);
    const int result = io_uring_register_files_update(&ring_, slot.raw(), &fd, 1);
    if (result < 0) return std::unexpected(Errno{-result});
    return {};
}

io_uring_sqe& Ring::take_entry(Token token) noexcept {
    HF_ASSERT(opened_);
    // More than planned would overflow the completion queue, for which the kernel allocates.
    HF_ASSERT(outstanding_ < operations_max_);
    io_uring_sqe& entry = take_room();
    entry.user_data = pack(token);
    ++outstanding_;
    return entry;
}

io_uring_sqe& Ring::take_room() noexcept {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
        // Cancels may briefly fill the queue although the operations are within the limit.
        const int submitted = io_uring_submit(&ring_);
        ++enter_count_;
        HF_ASSERT(submitted >= 0);
        entry = io_uring_get_sqe(&ring_);
    }
    HF_ASSERT(entry != nullptr);
    return *entry;
}

// Every prep of liburing clears the entry but user_data, so that is set by take_entry().

void Ring::connect(FileSlot file, const sockaddr* address, socklen_t bytes, Token token) noexcept {
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_connect(&entry, slot_of(file), address, bytes);
    use_table(entry);
}

void Ring::receive(FileSlot file, std::span<std::byte> into, bool wait_first,
                   Token token) noexcept {
    HF_ASSERT(!into.empty());
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_recv(&entry, slot_of(file), into.data(), length_of(into.size()), 0);
    set_wait_first(entry, wait_first);
    use_table(entry);
}

void Ring::receive_message(FileSlot file, msghdr& message, bool wait_first, Token token) noexcept {
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_recvmsg(&entry, slot_of(file), &message, 0);
    set_wait_first(entry, wait_first);
    use_table(entry);
}

void Ring::send(FileSlot file, std::span<const std::byte> from, Token token) noexcept {
    HF_ASSERT(!from.empty());
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_send(&entry, slot_of(file), from.data(), length_of(from.size()), MSG_NOSIGNAL);
    use_table(entry);
}

void Ring::send_message(FileSlot file, const msghdr& message, Token token) noexcept {
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_sendmsg(&entry, slot_of(file), &message, MSG_NOSIGNAL);
    use_table(entry);
}

void Ring::read(FileSlot file, std::span<std::byte> into, Token token) noexcept {
    HF_ASSERT(!into.empty());
    io_uring_sqe& entry = take_entry(token);
    // Offset -1: the file's own position.
    io_uring_prep_read(&entry, slot_of(file), into.data(), length_of(into.size()),
                       ~std::uint64_t{0});
    use_table(entry);
}

void Ring::poll(FileSlot file, std::uint32_t events, Token token) noexcept {
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_poll_add(&entry, slot_of(file), events);
    use_table(entry);
}

void Ring::accept(FileSlot listener, FileSlot into, Token token) noexcept {
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_accept_direct(&entry, slot_of(listener), nullptr, nullptr, 0, into.raw());
    use_table(entry);
}

void Ring::close(FileSlot slot, Token token) noexcept {
    io_uring_prep_close_direct(&take_entry(token), slot.raw());
}

void Ring::cancel(Token target, Token token) noexcept {
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_cancel64(&entry, pack(target), 0);
    use_table(entry);  // It names no file, but a limited ring wants the flag on every entry.
}

void Ring::kick_sending(FileSlot file) noexcept {
    io_uring_sqe& entry = take_room();
    // The socket refuses a call that may wait.
    io_uring_prep_send(&entry, slot_of(file), nullptr, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
    finish_kick(entry);
}

void Ring::kick_receiving(FileSlot file) noexcept {
    io_uring_sqe& entry = take_room();
    io_uring_prep_recv(&entry, slot_of(file), nullptr, 0, MSG_DONTWAIT);
    finish_kick(entry);
}

void Ring::finish_kick(io_uring_sqe& entry) noexcept {
    HF_ASSERT(opened_);
    entry.user_data = pack({.owner = kKickOwner});
    use_table(entry);
    entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void Ring::command(FileSlot file, std::uint32_t operation, std::span<const std::byte> payload,
                   Token token) noexcept {
    // What is left of a 64-byte entry for the command.
    constexpr std::size_t kPayloadBytesMax = 16;
    HF_ASSERT(payload.size() <= kPayloadBytesMax);
    io_uring_sqe& entry = take_entry(token);
    io_uring_prep_rw(IORING_OP_URING_CMD, &entry, slot_of(file), nullptr, 0, 0);
    entry.cmd_op = operation;
    // The payload lies where other operations have addr3 and the padding behind it.
    std::array<std::uint64_t, 2> words{};
    if (!payload.empty()) std::memcpy(words.data(), payload.data(), payload.size());
    entry.addr3 = words[0];
    entry.__pad2[0] = words[1];
    use_table(entry);
}

void Ring::submit_and_wait(Duration wait_max) noexcept {
    HF_ASSERT(opened_);
    ++enter_count_;
    if (wait_max <= Duration{}) {
        io_uring_submit_and_get_events(&ring_);
        return;
    }
    if (wait_max == Duration::max()) {
        io_uring_submit_and_wait(&ring_, 1);
        return;
    }
    // With IORING_FEAT_EXT_ARG (5.11 and later, so every kernel that has R_DISABLED rings with
    // SINGLE_ISSUER) this is an argument of io_uring_enter, not an IORING_OP_TIMEOUT.
    __kernel_timespec limit = timespec_of(wait_max);
    io_uring_cqe* first = nullptr;
    io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
}

void Ring::submit_and_gather(Duration time, std::uint32_t count) noexcept {
    HF_ASSERT(opened_ && time > Duration{} && count > 0);
    ++enter_count_;
    __kernel_timespec limit = timespec_of(time);
    io_uring_cqe* first = nullptr;
    io_uring_submit_and_wait_timeout(&ring_, &first, count, &limit, nullptr);
}

std::optional<Completed> Ring::poll_completed() noexcept {
    io_uring_cqe* entry = nullptr;
    if (io_uring_cq_ready(&ring_) == 0 || io_uring_peek_cqe(&ring_, &entry) != 0) return {};
    const Completed completed{
        .token = unpack(entry->user_data), .result = entry->res, .flags = entry->flags};
    io_uring_cqe_seen(&ring_, entry);
    const bool is_counted = completed.token.owner != kKickOwner;
    if (is_counted && (completed.flags & IORING_CQE_F_MORE) == 0) {
        HF_ASSERT(outstanding_ > 0);
        --outstanding_;
    }
    return completed;
}

}  // namespace holdfast::netpath
