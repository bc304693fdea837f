/// What a ring can be asked for once it is enabled. seccomp does not see what io_uring does for a
/// process, so this is the other half of its sandbox.
///
/// The kernel has no way to read restrictions back: refuses_the_rest() tries.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <span>

namespace holdfast::netpath {

/// Which files operations may name.
enum class RingFiles : std::uint8_t {
    Any,         ///< Of the table or the process: closing a place of the table needs this form.
    Registered,  ///< Of the table alone.
};

struct RingLimits {
    std::span<const std::uint8_t> operations;     ///< IORING_OP_*.
    std::span<const std::uint8_t> registrations;  ///< IORING_REGISTER_* of an enabled ring.
    RingFiles files = RingFiles::Registered;
};

/// Before the ring is enabled. Zero or a negative errno.
[[nodiscard]] int limit_ring(io_uring& ring, const RingLimits& limits) noexcept;

/// Whether an operation and a registration that nobody needs are refused, and an ordinary
/// descriptor, too, where `files` says so. On an enabled ring with nothing outstanding.
[[nodiscard]] bool refuses_the_rest(io_uring& ring, RingFiles files) noexcept;

}  // namespace holdfast::netpath
