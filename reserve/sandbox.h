/// The seccomp filters of our processes, one table for each of their roles. Everything that is not
/// in the table kills the process.
///
/// That of an armed I/O process is so short that "armed means fixed" also holds against the kernel
/// (no mmap, brk, mremap, mprotect), and a captured process can open, connect and execute nothing
/// new. One that stands by has a longer one, and the short one on top of it when it has taken over.
///
/// seccomp does not see what io_uring does for us: the rings are limited, too
/// (netpath/io/ring_limits.h).
///
/// Limit: kCallsMax calls of an armed process.
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

/// What a call may do beyond its name. `value` is that of AllowedCall.
enum class CallLimit : std::uint8_t {
    None,
    OwnProcess,     ///< Its first argument must be our process id.
    StandardError,  ///< Its first argument must be descriptor 2.
    StatusFile,     ///< Its first argument must be the descriptor of /proc/self/status.
    FirstIs,        ///< Its first argument must be `value`.
    SecondIs,
    ThirdIs,
    FirstHas,    ///< Its first argument must have all bits of `value`.
    ThirdLacks,  ///< Its third argument must have no bit of `value`.
    Missing,     ///< It is answered as a kernel without it would.
};

/// More are not needed by an armed process, so a longer table is a mistake.
inline constexpr std::size_t kCallsMax = 12;

struct AllowedCall {
    int number;  ///< __NR_*.
    std::string_view name;
    std::string_view reason;
    CallLimit limit = CallLimit::None;
    std::uint64_t value = 0;
};

/// The tables. A call that stands in one more than once may be made in each of these ways.
/// Control's stands in a file of its own, because a process locks all that it is linked with.
using AllowedCalls = std::span<const AllowedCall>;
[[nodiscard]] AllowedCalls armed_calls() noexcept;     ///< An I/O process that serves.
[[nodiscard]] AllowedCalls standing_calls() noexcept;  ///< One that stands by, and takes over.
[[nodiscard]] AllowedCalls supervisor_calls() noexcept;
[[nodiscard]] AllowedCalls control_calls() noexcept;

/// A filter that is built and not on yet: so that a process which has it needs neither the heap nor
/// a file to enter the sandbox later.
class Sandbox {
public:
    /// Uses the heap, and has given everything back when it returns.
    [[nodiscard]] static OrErrno<Sandbox> build(AllowedCalls calls) noexcept;

    /// As enter_sandbox(). Once.
    [[nodiscard]] OrErrno<Protection> enter() noexcept;

private:
    // Room for several times the table of an armed process, and for the longest one.
    FixedVector<sock_filter, 512> program_;
    UniqueFd status_;  // /proc/self/status, because the filter has no open; nor close.
};

/// Loads the filter into every thread of the process, for ever, and reads back that it is on.
/// Uses the heap, so before arming. The row says what the kernel reports in /proc/self/status.
/// ENOTSUP: under a sanitizer, which maps memory whenever it likes. EBUSY: another thread has a
/// filter of its own.
[[nodiscard]] OrErrno<Protection> enter_sandbox(AllowedCalls calls) noexcept;

/// The same as a row that tells a refusal, too, and lowers no tier.
[[nodiscard]] Protection sandbox_layer(AllowedCalls calls) noexcept;

}  // namespace holdfast::reserve
