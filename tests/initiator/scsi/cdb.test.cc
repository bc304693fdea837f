#include "initiator/scsi/cdb.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace holdfast::initiator::scsi {
namespace {

[[nodiscard]] std::vector<int> bytes_of(std::span<const std::byte> from) {
    std::vector<int> bytes;
    for (const std::byte b : from) bytes.push_back(std::to_integer<int>(b));
    return bytes;
}

constexpr Extent kExtent{Lba{0x0102'0304'0506'0708}, BlockCount{0x0a0b'0c0d}};

// Goal: the three commands that move blocks put LBA and count where SBC-3 wants them, and differ in
// operation code and flags only.
// Rows: TSK-02, PDU-01, PDU-02
TEST(Cdb, BlockCommandsCarryLbaAndCountBigEndian) {
    const std::vector<int> tail = {1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0};
    const auto with_tail = [&tail](int operation, int flags) {
        std::vector<int> all = {operation, flags};
        all.insert(all.end(), tail.begin(), tail.end());
        return all;
    };
    EXPECT_EQ(bytes_of(read_16(kExtent)), with_tail(0x88, 0));
    EXPECT_EQ(bytes_of(write_16(kExtent, Durability::Cached)), with_tail(0x8a, 0));
    EXPECT_EQ(bytes_of(write_16(kExtent, Durability::ForceUnitAccess)), with_tail(0x8a, 0x08));
    EXPECT_EQ(bytes_of(write_same_16(kExtent, Deallocation::Keep)), with_tail(0x93, 0));
    EXPECT_EQ(bytes_of(write_same_16(kExtent, Deallocation::Unmap)), with_tail(0x93, 0x08));
}

// Goal: the commands without blocks are what SPC-4 and SBC-3 say, byte for byte, with all other
// bytes 0, NACA among them.
// Rows: TSK-02, STA-08
TEST(Cdb, OtherCommandsMatchTheStandardsByteForByte) {
    struct Case {
        Cdb built;
        std::vector<int> expected;  // Without the zeroes at the end.
    };
    const std::vector<Case> cases = {
        {test_unit_ready(), {0}},
        {inquiry(36), {0x12, 0, 0, 0, 36}},
        {inquiry_page(0x83, 0x3fc), {0x12, 1, 0x83, 0x03, 0xfc}},
        {read_capacity_16(32), {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}},
        {report_luns(0x1000), {0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10}},
        {mode_sense_6(8, 192), {0x1a, 8, 8, 0, 192}},
        {mode_sense_10(8, 0x102), {0x5a, 8, 8, 0, 0, 0, 0, 1, 2}},
        {synchronize_cache_10(), {0x35}},
        {synchronize_cache_16(), {0x91}},
        {unmap(24), {0x42, 0, 0, 0, 0, 0, 0, 0, 24}},
        {report_supported_operation(Operation::WriteSame16, 32),
         {0xa3, 0x0c, 1, 0x93, 0, 0, 0, 0, 0, 32}},
    };
    for (Case one : cases) {
        one.expected.resize(16, 0);
        EXPECT_EQ(bytes_of(one.built), one.expected);
    }
}

// Goal: the two lengths of an UNMAP list count what follows them, and each descriptor stands whole.
TEST(UnmapList, CarriesItsLengthsAndDescriptors) {
    std::array<std::byte, 64> room{};
    room.fill(std::byte{0xee});
    const std::array<Extent, 2> extents = {kExtent, Extent{Lba{9}, BlockCount{1}}};
    const auto list = put_unmap_list(room, extents);
    EXPECT_EQ(bytes_of(list),
              (std::vector<int>{0, 38, 0, 32, 0, 0, 0, 0,  //
                                1, 2,  3, 4,  5, 6, 7, 8, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 0,
                                0, 0,  0, 0,  0, 0, 0, 9, 0,    0,    0,    1,    0, 0, 0, 0}));
    EXPECT_EQ(list.size(), unmap_list_bytes(2));
    EXPECT_EQ(room[40], std::byte{0xee});
}

// Goal: an extent that the CDB cannot express is our bug, found at once. (A count of 0 in WRITE
// SAME would mean "to the end of the unit".)
TEST(CdbDeathTest, ExtentsThatDoNotFitAreOurBug) {
    const Extent too_long{Lba{0}, BlockCount{0x1'0000'0000}};
    const Extent empty{Lba{0}, BlockCount{0}};
    EXPECT_DEATH(static_cast<void>(read_16(too_long)), "blocks");
    EXPECT_DEATH(static_cast<void>(write_same_16(empty, Deallocation::Unmap)), "blocks");
}

}  // namespace
}  // namespace holdfast::initiator::scsi
