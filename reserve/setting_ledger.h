/// Whose figure stands in a kernel setting that we may raise, such as vm.min_free_kbytes, and what
/// to write next. Pure.
///
/// Rules: raise when the attachments need more than there is; never go below what was found; never
/// touch a figure that is not the one we wrote; give the found figure back with the last
/// attachment.
#pragma once

#include <cstdint>
#include <optional>

namespace holdfast::reserve {

/// Why the figure is what it is after a step.
enum class LedgerNote : std::uint8_t {
    Enough,    ///< There already is as much as is needed; nothing written.
    Raised,    ///< Written, because the attachments need more.
    Lowered,   ///< Written, because fewer attachments need less; never below what was found.
    Restored,  ///< The found figure was written back: no attachment is left.
    NotOurs,   ///< Somebody else changed it after us: left alone, and not restored later.
};

/// Plain data; survives in whatever its owner keeps it in. A fresh ledger owns nothing.
struct SettingLedger {
    std::uint64_t found = 0;    ///< Before our first write.
    std::uint64_t written = 0;  ///< Our last write; 0: the figure is not ours.
    [[nodiscard]] bool is_ours() const noexcept { return written != 0; }
};

struct LedgerStep {
    SettingLedger next;  ///< Valid once `write` was written.
    std::optional<std::uint64_t> write;
    LedgerNote note = LedgerNote::Enough;
};

/// `present`: what the kernel has now. `wanted`: what all attachments need together, 0 when
/// there is none.
[[nodiscard]] LedgerStep settle(const SettingLedger& ledger, std::uint64_t present,
                                std::uint64_t wanted) noexcept;

}  // namespace holdfast::reserve
