#include "reserve/setting_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace holdfast::reserve {
namespace {

void expect_rules(const SettingLedger& ledger, std::uint64_t present, std::uint64_t wanted) {
    const LedgerStep step = settle(ledger, present, wanted);
    const std::uint64_t after = step.write.value_or(present);
    const bool ours = ledger.is_ours() && present == ledger.written;
    EXPECT_GE(after, wanted) << "the attachments get what they need";
    if (ours) {
        EXPECT_EQ(after, std::max(wanted, ledger.found));
    } else {
        EXPECT_GE(after, present) << "an operator's figure never falls";
    }
    if (step.next.is_ours()) {
        EXPECT_EQ(step.next.written, after);
        EXPECT_EQ(step.next.found, ours ? ledger.found : present);
    }
    EXPECT_NE(step.write, present) << "no idle write";
}

TEST(SettingLedger, EveryStateAndEveryFigure) {
    // Goal: the rules in the file comment hold in every situation.
    // Method: all small ledgers, present and wanted figures.
    for (std::uint64_t found = 0; found < 6; ++found) {
        for (std::uint64_t written = 0; written < 6; ++written) {
            if (written != 0 && found >= written) continue;  // Never happens: we only raise.
            const SettingLedger ledger{.found = written == 0 ? 0 : found, .written = written};
            for (std::uint64_t present = 0; present < 7; ++present) {
                for (std::uint64_t wanted = 0; wanted < 7; ++wanted) {
                    expect_rules(ledger, present, wanted);
                }
            }
        }
    }
}

TEST(SettingLedger, AttachAndDetachGiveTheFoundFigureBack) {
    // Goal: the ordinary life: two attachments come and go.
    LedgerStep step = settle({}, 1826, 16384);
    EXPECT_EQ(step.note, LedgerNote::Raised);
    step = settle(step.next, 16384, 21504);
    EXPECT_EQ(step.note, LedgerNote::Raised);
    step = settle(step.next, 21504, 16384);
    EXPECT_EQ(step.note, LedgerNote::Lowered);
    step = settle(step.next, 16384, 0);
    EXPECT_EQ(step.note, LedgerNote::Restored);
    EXPECT_EQ(step.write, 1826U);
    EXPECT_FALSE(step.next.is_ours());
}

TEST(SettingLedger, AChangeBehindOurBackStays) {
    // Goal: neither raised again nor restored over what somebody set meanwhile.
    const LedgerStep raised = settle({}, 1826, 16384);
    const LedgerStep step = settle(raised.next, 65536, 0);
    EXPECT_EQ(step.note, LedgerNote::NotOurs);
    EXPECT_FALSE(step.write);
    EXPECT_FALSE(step.next.is_ours());
}

}  // namespace
}  // namespace holdfast::reserve
