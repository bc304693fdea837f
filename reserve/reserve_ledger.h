/// Whose figure stands in vm.min_free_kbytes, and what to write next. Pure.
///
/// Rules: raise when the attachments need more than there is; never go below what was found; never
/// touch a figure that is not the one we wrote; give the found figure back with the last
/// attachment.
#pragma once

#include <cstdint>
#include <optional>

#include "base/fixed_vector.h"

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
struct ReserveLedger {
    std::uint64_t found_kib = 0;    ///< Before our first write.
    std::uint64_t written_kib = 0;  ///< Our last write; 0: the figure is not ours.
    [[nodiscard]] bool is_ours() const noexcept { return written_kib != 0; }
};

struct LedgerStep {
    ReserveLedger next;  ///< Valid once `write_kib` was written.
    std::optional<std::uint64_t> write_kib;
    LedgerNote note = LedgerNote::Enough;
};

/// `present_kib`: what the kernel has now. `wanted_kib`: what all attachments need together, 0 when
/// there is none.
[[nodiscard]] LedgerStep settle(const ReserveLedger& ledger, std::uint64_t present_kib,
                                std::uint64_t wanted_kib) noexcept;

/// One line for the log and for status, such as
/// "vm.min_free_kbytes raised from 1826 to 16384 KiB".
[[nodiscard]] FixedString<127> line_of(const LedgerStep& step, std::uint64_t present_kib) noexcept;

}  // namespace holdfast::reserve
