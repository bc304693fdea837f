#include "reserve/reserve_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace holdfast::reserve {
namespace {

void expect_rules(const ReserveLedger& ledger, std::uint64_t present, std::uint64_t wanted) {
    const LedgerStep step = settle(ledger, present, wanted);
    const std::uint64_t after = step.write_kib.value_or(present);
    const bool ours = ledger.is_ours() && present == ledger.written_kib;
    EXPECT_GE(after, wanted) << "the attachments get what they need";
    if (ours) {
        EXPECT_EQ(after, std::max(wanted, ledger.found_kib));
    } else {
        EXPECT_GE(after, present) << "an operator's figure never falls";
    }
    if (step.next.is_ours()) {
        EXPECT_EQ(step.next.written_kib, after);
        EXPECT_EQ(step.next.found_kib, ours ? ledger.found_kib : present);
    }
    EXPECT_NE(step.write_kib, present) << "no idle write";
}

TEST(ReserveLedger, EveryStateAndEveryFigure) {
    // Goal: the rules in the file comment hold in every situation.
    // Method: all small ledgers, present and wanted figures.
    for (std::uint64_t found = 0; found < 6; ++found) {
        for (std::uint64_t written = 0; written < 6; ++written) {
            if (written != 0 && found >= written) continue;  // Never happens: we only raise.
            const ReserveLedger ledger{.found_kib = written == 0 ? 0 : found,
                                       .written_kib = written};
            for (std::uint64_t present = 0; present < 7; ++present) {
                for (std::uint64_t wanted = 0; wanted < 7; ++wanted) {
                    expect_rules(ledger, present, wanted);
                }
            }
        }
    }
}

TEST(ReserveLedger, AttachAndDetachGiveTheFoundFigureBack) {
    // Goal: the ordinary life: two attachments come and go.
    LedgerStep step = settle({}, 1826, 16384);
    EXPECT_EQ(step.note, LedgerNote::Raised);
    step = settle(step.next, 16384, 21504);
    EXPECT_EQ(step.note, LedgerNote::Raised);
    step = settle(step.next, 21504, 16384);
    EXPECT_EQ(step.note, LedgerNote::Lowered);
    step = settle(step.next, 16384, 0);
    EXPECT_EQ(step.note, LedgerNote::Restored);
    EXPECT_EQ(step.write_kib, 1826U);
    EXPECT_FALSE(step.next.is_ours());
}

TEST(ReserveLedger, AChangeBehindOurBackStays) {
    // Goal: neither raised again nor restored over what somebody set meanwhile.
    const LedgerStep raised = settle({}, 1826, 16384);
    const LedgerStep step = settle(raised.next, 65536, 0);
    EXPECT_EQ(step.note, LedgerNote::NotOurs);
    EXPECT_FALSE(step.write_kib);
    EXPECT_FALSE(step.next.is_ours());
}

TEST(ReserveLedger, LinesSayWhatHappened) {
    // Goal: each note has its sentence, with the figures.
    EXPECT_EQ(line_of(settle({}, 1826, 16384), 1826).view(),
              "vm.min_free_kbytes raised from 1826 to 16384 KiB");
    EXPECT_EQ(line_of(settle({}, 67584, 16384), 67584).view(),
              "vm.min_free_kbytes is enough at 67584 KiB");
    const ReserveLedger ours{.found_kib = 1826, .written_kib = 16384};
    EXPECT_EQ(line_of(settle(ours, 16384, 0), 16384).view(),
              "vm.min_free_kbytes restored from 16384 to 1826 KiB");
    EXPECT_EQ(line_of(settle(ours, 16384, 8192), 16384).view(),
              "vm.min_free_kbytes lowered from 16384 to 8192 KiB");
    const std::uint64_t huge = ~0ULL;
    EXPECT_EQ(line_of(settle(ours, huge, 0), huge).view(),
              "vm.min_free_kbytes was changed by somebody else to 18446744073709551615 KiB: left "
              "alone");
}

}  // namespace
}  // namespace holdfast::reserve
