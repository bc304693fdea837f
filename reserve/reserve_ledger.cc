#include "reserve/reserve_ledger.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "base/assert.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

// The figure is not ours: only ever raise.
LedgerStep settle_fresh(std::uint64_t present_kib, std::uint64_t wanted_kib,
                        LedgerNote when_enough) noexcept {
    if (wanted_kib <= present_kib) return {.next = {}, .write_kib = {}, .note = when_enough};
    return {.next = {.found_kib = present_kib, .written_kib = wanted_kib},
            .write_kib = wanted_kib,
            .note = LedgerNote::Raised};
}

}  // namespace

LedgerStep settle(const ReserveLedger& ledger, std::uint64_t present_kib,
                  std::uint64_t wanted_kib) noexcept {
    using enum LedgerNote;
    if (!ledger.is_ours()) return settle_fresh(present_kib, wanted_kib, Enough);
    HF_ASSERT(ledger.found_kib < ledger.written_kib);
    if (present_kib != ledger.written_kib) return settle_fresh(present_kib, wanted_kib, NotOurs);
    if (wanted_kib <= ledger.found_kib) {
        return {.next = {},
                .write_kib = ledger.found_kib,
                .note = wanted_kib == 0 ? Restored : Lowered};
    }
    if (wanted_kib == present_kib) return {.next = ledger, .write_kib = {}, .note = Enough};
    return {.next = {.found_kib = ledger.found_kib, .written_kib = wanted_kib},
            .write_kib = wanted_kib,
            .note = wanted_kib > present_kib ? Raised : Lowered};
}

FixedString<127> line_of(const LedgerStep& step, std::uint64_t present_kib) noexcept {
    FixedString<127> line;
    const NumberText from{present_kib};
    const NumberText to{step.write_kib.value_or(present_kib)};
    const auto say = [&line](std::initializer_list<std::string_view> parts) {
        for (const std::string_view part : parts) {
            if (!line.try_append(part)) return;
        }
    };
    switch (step.note) {
    case LedgerNote::Enough: say({"vm.min_free_kbytes is enough at ", to.view(), " KiB"}); break;
    case LedgerNote::Raised:
        say({"vm.min_free_kbytes raised from ", from.view(), " to ", to.view(), " KiB"});
        break;
    case LedgerNote::Lowered:
        say({"vm.min_free_kbytes lowered from ", from.view(), " to ", to.view(), " KiB"});
        break;
    case LedgerNote::Restored:
        say({"vm.min_free_kbytes restored from ", from.view(), " to ", to.view(), " KiB"});
        break;
    case LedgerNote::NotOurs:
        say({"vm.min_free_kbytes was changed by somebody else to ", from.view(),
             " KiB: left alone"});
        break;
    }
    return line;
}

}  // namespace holdfast::reserve
