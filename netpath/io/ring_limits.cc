#include "netpath/io/ring_limits.h"

#include "base/assert.h"
#include "base/fixed_vector.h"

namespace holdfast::netpath {

namespace {

using Restrictions = FixedVector<io_uring_restriction, 24>;

void allow_operation(Restrictions& list, std::uint8_t operation) noexcept {
    io_uring_restriction entry{};
    entry.opcode = IORING_RESTRICTION_SQE_OP;
    entry.sqe_op = operation;
    list.push(entry);
}

void allow_registering(Restrictions& list, std::uint8_t operation) noexcept {
    io_uring_restriction entry{};
    entry.opcode = IORING_RESTRICTION_REGISTER_OP;
    entry.register_op = operation;
    list.push(entry);
}

void set_flags(Restrictions& list, std::uint16_t rule, std::uint8_t flags) noexcept {
    io_uring_restriction entry{};
    entry.opcode = rule;
    entry.sqe_flags = flags;
    list.push(entry);
}

/// The result of the entry that was prepared last; positive when there is none.
int answer_of(io_uring& ring) noexcept {
    io_uring_cqe* done = nullptr;
    if (io_uring_submit_and_wait(&ring, 1) < 0 || io_uring_peek_cqe(&ring, &done) != 0) return 1;
    const int result = done->res;
    io_uring_cqe_seen(&ring, done);
    return result;
}

io_uring_sqe& entry_of(io_uring& ring) noexcept {
    io_uring_sqe* const entry = io_uring_get_sqe(&ring);
    HF_ASSERT(entry != nullptr);
    return *entry;
}

}  // namespace

int limit_ring(io_uring& ring, const RingLimits& limits) noexcept {
    Restrictions list;
    for (const std::uint8_t operation : limits.operations) allow_operation(list, operation);
    for (const std::uint8_t operation : limits.registrations) allow_registering(list, operation);
    // Linux 7.x takes a list without registrations for no limit on them: name a harmless one.
    if (limits.registrations.empty()) allow_registering(list, IORING_UNREGISTER_EVENTFD);
    // Without a completion: Ring::kick_sending().
    set_flags(list, IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
              IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS);
    if (limits.files == RingFiles::Registered)
        set_flags(list, IORING_RESTRICTION_SQE_FLAGS_REQUIRED, IOSQE_FIXED_FILE);
    return io_uring_register_restrictions(&ring, list.span().data(),
                                          static_cast<unsigned>(list.size()));
}

bool refuses_the_rest(io_uring& ring, RingFiles files) noexcept {
    io_uring_sqe& idle = entry_of(ring);
    io_uring_prep_nop(&idle);
    idle.flags = IOSQE_FIXED_FILE;  // So that it is refused for what it does, not for its form.
    if (answer_of(ring) != -EACCES) return false;
    if (files == RingFiles::Registered) {
        // No descriptor has this number, so that nothing happens where it is not refused.
        io_uring_prep_read(&entry_of(ring), -1, nullptr, 0, 0);
        if (answer_of(ring) != -EACCES) return false;
    }
    return io_uring_register_eventfd(&ring, -1) == -EACCES;
}

}  // namespace holdfast::netpath
