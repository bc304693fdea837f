#include "reserve/setting_ledger.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::reserve {

namespace {

// The figure is not ours: only ever raise.
LedgerStep settle_fresh(std::uint64_t present, std::uint64_t wanted,
                        LedgerNote when_enough) noexcept {
    if (wanted <= present) return {.next = {}, .write = {}, .note = when_enough};
    return {
        .next = {.found = present, .written = wanted}, .write = wanted, .note = LedgerNote::Raised};
}

}  // namespace

LedgerStep settle(const SettingLedger& ledger, std::uint64_t present,
                  std::uint64_t wanted) noexcept {
    using enum LedgerNote;
    if (!ledger.is_ours()) return settle_fresh(present, wanted, Enough);
    HF_ASSERT(ledger.found < ledger.written);
    if (present != ledger.written) return settle_fresh(present, wanted, NotOurs);
    if (wanted <= ledger.found) {
        return {.next = {}, .write = ledger.found, .note = wanted == 0 ? Restored : Lowered};
    }
    if (wanted == present) return {.next = ledger, .write = {}, .note = Enough};
    return {.next = {.found = ledger.found, .written = wanted},
            .write = wanted,
            .note = wanted > present ? Raised : Lowered};
}

}  // namespace holdfast::reserve
