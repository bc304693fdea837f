/// Sets vm.min_free_kbytes to what the attachments need (kernel_need.h) by the rules of the ledger
/// (reserve_ledger.h), and reads it back. Effectful. Thread: one, in the process that knows all
/// attachments.
#pragma once

#include <cstdint>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "reserve/reserve_ledger.h"

namespace holdfast::reserve {

/// What a settlement came to.
struct ReserveOutcome {
    LedgerNote note = LedgerNote::Enough;
    std::uint64_t min_free_kib = 0;  ///< As read back.
    FixedString<127> line;           ///< For the log and for status.
};

class KernelReserve {
public:
    static constexpr const char* kMinFreePath = "/proc/sys/vm/min_free_kbytes";

    /// `path` is borrowed; another one in tests. `ledger`: from a predecessor that is gone.
    explicit KernelReserve(const char* path = kMinFreePath,
                           const ReserveLedger& ledger = {}) noexcept
        : path_(path), ledger_(ledger) {}

    /// After every attach and detach, with the need of all attachments together: min_free_kib_for()
    /// of the whole plan, 0 when there is none. EACCES, EPERM, EROFS: not allowed. EIO: the kernel
    /// took the figure and shows another one.
    [[nodiscard]] OrErrno<ReserveOutcome> settle(std::uint64_t wanted_kib) noexcept;

    /// For a successor.
    [[nodiscard]] const ReserveLedger& ledger() const noexcept { return ledger_; }

private:
    const char* path_;
    ReserveLedger ledger_;
};

/// MemTotal of /proc/meminfo, KiB.
[[nodiscard]] OrErrno<std::uint64_t> memory_kib() noexcept;

}  // namespace holdfast::reserve
