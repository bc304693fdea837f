/// The seccomp filter of an armed I/O process. Everything that is not in one short table kills the
/// process: so that "armed means fixed" also holds against the kernel (no mmap, brk, mremap,
/// mprotect), and a captured process can open, connect and execute nothing new.
///
/// seccomp does not see what io_uring does for us: the rings are limited, too
/// (netpath/io/ring_limits.h).
///
/// Limit: kCallsMax calls.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/unique_fd.h"
#include "reserve/protection.h"

namespace holdfast::reserve {

/// What a call may do beyond its name.
enum class CallLimit : std::uint8_t {
    None,
    OwnProcess,     ///< Its first argument must be our process id.
    StandardError,  ///< Its first argument must be descriptor 2.
    StatusFile,     ///< Its first argument must be the descriptor of /proc/self/status.
};

/// More are not needed, so a longer table is a mistake.
inline constexpr std::size_t kCallsMax = 12;

struct AllowedCall {
    int number;  ///< __NR_*.
    std::string_view name;
    std::string_view reason;
    CallLimit limit = CallLimit::None;
};

/// The whole table.
[[nodiscard]] std::span<const AllowedCall> allowed_calls() noexcept;

/// A filter that is built and not on yet: so that a process which has it needs neither the heap nor
/// a file to enter the sandbox later.
class Sandbox {
public:
    /// Uses the heap, and has given everything back when it returns.
    [[nodiscard]] static OrErrno<Sandbox> build() noexcept;

    /// As enter_sandbox(). Once.
    [[nodiscard]] OrErrno<Protection> enter() noexcept;

private:
    // Room for several times the present table.
    FixedVector<sock_filter, 512> program_;
    UniqueFd status_;  // /proc/self/status, because the filter has no open; nor close.
};

/// Loads the filter into every thread of the process, for ever, and reads back that it is on.
/// Uses the heap, so before arming. The row says what the kernel reports in /proc/self/status.
/// ENOTSUP: under a sanitizer, which maps memory whenever it likes. EBUSY: another thread has a
/// filter of its own.
[[nodiscard]] OrErrno<Protection> enter_sandbox() noexcept;

}  // namespace holdfast::reserve
