/// A kernel setting that is raised while attachments need it, by the rules of the ledger
/// (setting_ledger.h), read back, and given back with the last of them. Effectful. Thread: one, in
/// the process that knows all attachments.
#pragma once

#include <cstdint>

#include "base/errno.h"
#include "reserve/setting_ledger.h"

namespace holdfast::reserve {

/// Packet memory that no ordinary allocation gets: kernel_need.h. KiB.
inline constexpr const char* kMinFreePath = "/proc/sys/vm/min_free_kbytes";

/// What a setting came to, for whoever reports it.
struct SettingState {
    std::uint64_t wanted = 0;  ///< By all attachments together; 0: nobody wants it.
    std::uint64_t value = 0;   ///< As read back; 0: not touched, or a refusal.
    std::uint64_t found = 0;   ///< Before our first write.
};

/// What a settlement came to.
struct SettingOutcome {
    LedgerNote note = LedgerNote::Enough;
    std::uint64_t value = 0;  ///< As read back.
    std::uint64_t found = 0;  ///< Before our first write; the same when nothing is ours.
};

class RaisedSetting {
public:
    /// `path` is borrowed. `ledger`: from a predecessor that is gone.
    explicit RaisedSetting(const char* path, const SettingLedger& ledger = {}) noexcept
        : path_(path), ledger_(ledger) {}

    /// After every attach and detach, with what all attachments need together, 0 when there is
    /// none. EACCES, EPERM, EROFS: not allowed. EIO: the kernel took the figure and shows another.
    [[nodiscard]] OrErrno<SettingOutcome> settle(std::uint64_t wanted) noexcept;

    /// For a successor.
    [[nodiscard]] const SettingLedger& ledger() const noexcept { return ledger_; }

    /// settle() as a state.
    [[nodiscard]] SettingState settle_to(std::uint64_t wanted) noexcept;

private:
    const char* path_;
    SettingLedger ledger_;
};

/// MemTotal of /proc/meminfo, KiB.
[[nodiscard]] OrErrno<std::uint64_t> memory_kib() noexcept;

}  // namespace holdfast::reserve
