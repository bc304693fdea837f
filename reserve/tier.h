/// Which promise a machine allows (design, section 2), decided from facts. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/fixed_vector.h"

namespace holdfast::reserve {

/// Best first.
enum class Tier : std::uint8_t {
    A,  ///< Proven: once armed, no allocation is required for a write to complete.
    B,  ///< Reserved: the kernel's own packet allocations are covered by a computed reserve.
    C,  ///< Plain: data volumes; swap only when forced.
};

/// What the decision needs to know. Each fact was tried or read on this machine, never assumed.
struct HostFacts {
    std::uint32_t kernel_major = 0;
    std::uint32_t kernel_minor = 0;
    bool has_io_uring = false;
    bool has_ublk = false;                ///< /dev/ublk-control can be opened.
    bool has_seccomp = false;             ///< Filters that kill the process.
    bool may_lock_memory = false;         ///< Without a limit.
    bool may_run_fifo = false;            ///< SCHED_FIFO was tried.
    bool may_flush_io = false;            ///< PR_SET_IO_FLUSHER was tried.
    bool may_lower_oom_score = false;     ///< oom_score_adj -1000 was tried.
    bool may_set_kernel_reserve = false;  ///< vm.min_free_kbytes is writable.
    /// The reserve of the wanted attachments fits the machine; see kernel_need.h.
    bool reserve_fits = true;
    bool has_drop_gate = false;      ///< XDP classifier in front of the network stack.
    bool has_reserved_path = false;  ///< AF_XDP zero copy and our own TCP.
};

/// One thing that is missing.
struct TierReason {
    Tier costs = Tier::A;   ///< The best tier that it makes impossible.
    std::string_view text;  ///< What is missing and what to do; at most 95 characters, static.
};

struct TierVerdict {
    Tier tier = Tier::C;
    /// Worst first: what costs tier B comes before what only costs tier A.
    FixedVector<TierReason, 16> reasons;
};

[[nodiscard]] TierVerdict decide_tier(const HostFacts& facts) noexcept;

/// "A", "B" or "C".
[[nodiscard]] std::string_view name_of(Tier tier) noexcept;

}  // namespace holdfast::reserve
