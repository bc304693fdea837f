#include "initiator/scsi/lun.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/initiator/scsi/bytes_text.h"

namespace holdfast::initiator::scsi {
namespace {

// Goal: each number takes the form that targets expect for it, and comes back from that form.
// Rows: PDU-15
TEST(Lun, NumbersTakeTheSingleLevelForms) {
    EXPECT_EQ(lun_of_number(0)->raw(), 0U);
    EXPECT_EQ(lun_of_number(5)->raw(), 0x0005'0000'0000'0000U);
    EXPECT_EQ(lun_of_number(255)->raw(), 0x00ff'0000'0000'0000U);
    EXPECT_EQ(lun_of_number(256)->raw(), 0x4100'0000'0000'0000U);
    EXPECT_EQ(lun_of_number(16383)->raw(), 0x7fff'0000'0000'0000U);
    EXPECT_EQ(lun_of_number(16384)->raw(), 0xd200'4000'0000'0000U);
    EXPECT_EQ(lun_of_number(0xff'ffff)->raw(), 0xd2ff'ffff'0000'0000U);
    EXPECT_FALSE(lun_of_number(0x100'0000));
    for (std::uint32_t number = 0; number < 0x100'0000; number += number < 20'000 ? 1 : 4093) {
        ASSERT_EQ(number_of_lun(*lun_of_number(number)), number);
    }
}

// Goal: LUN 5 in peripheral form is LUN 5 in flat form; what has several levels is only itself.
// Rows: PDU-15
TEST(Lun, FormsOfOneNumberAreOneUnit) {
    const Lun peripheral{0x0005'0000'0000'0000};
    const Lun flat{0x4005'0000'0000'0000};
    const Lun two_levels{0x0005'0001'0000'0000};
    const Lun other_bus{0x0105'0000'0000'0000};
    EXPECT_TRUE(is_same_lun(peripheral, flat));
    EXPECT_FALSE(is_same_lun(peripheral, two_levels));
    EXPECT_FALSE(is_same_lun(peripheral, other_bus));
    EXPECT_TRUE(is_same_lun(two_levels, two_levels));
    EXPECT_FALSE(number_of_lun(other_bus));
}

// Goal: whatever length the list claims, exactly the whole entries that arrived are read, and the
// list knows whether there are more.
// Method: all claims from 0 to 64 and the largest, all cuts.
// Rows: RES-06, SEC-01, BUG-05
TEST(LunList, ReadsOnlyWholeEntriesThatArrived) {
    const auto three = hex("00000018 00000000 0000000000000000 0001000000000000 4102000000000000");
    for (std::uint32_t claim = 0; claim <= 65; ++claim) {
        for (std::size_t size = 0; size <= three.size(); ++size) {
            auto data = three;
            const std::uint32_t says = claim == 65 ? 0xffff'ffffU : claim;
            for (std::size_t i = 0; i < 4; ++i) data[i] = std::byte(says >> (24 - 8 * i));
            const auto list = LunList::parse(std::span{data}.first(size));
            ASSERT_EQ(list.has_value(), size >= 8);
            if (!list) continue;
            const std::size_t expected = std::min<std::size_t>(says, size - 8) / 8;
            ASSERT_EQ(list->size(), expected);
            EXPECT_EQ(list->is_truncated(), says / 8 > expected);
            EXPECT_EQ(list->bytes_wanted(), 8 + std::uint64_t{says});
        }
    }
    const auto list = LunList::parse(three);
    EXPECT_EQ(list->at(2), Lun{0x4102'0000'0000'0000});
    EXPECT_TRUE(list->contains(Lun{0x4001'0000'0000'0000}));
    EXPECT_FALSE(list->contains(Lun{0x0002'0000'0000'0000}));
}

}  // namespace
}  // namespace holdfast::initiator::scsi
