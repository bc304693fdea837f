#include "initiator/scsi/inquiry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/initiator/scsi/bytes_text.h"

namespace holdfast::initiator::scsi {
namespace {

const std::vector<std::byte> kStandard =
    joined(hex("00 00 05 12 1f 00 10 02"), ascii("IET     VIRTUAL-DISK    0001"));

[[nodiscard]] std::vector<std::byte> designator(int code_set, int kind,
                                                const std::vector<std::byte>& value) {
    std::vector<std::byte> bytes = {std::byte(code_set), std::byte(kind), std::byte{0},
                                    std::byte(value.size())};
    return joined(bytes, value);
}

// Goal: the names of a unit are read with their padding cut, at every length that may arrive.
TEST(StandardInquiry, EveryShortLengthGivesWhatArrived) {
    for (std::size_t size = 0; size <= kStandard.size(); ++size) {
        const auto parsed = parse_standard_inquiry(std::span{kStandard}.first(size));
        ASSERT_EQ(parsed.has_value(), size >= 5);
        if (!parsed) continue;
        EXPECT_EQ(parsed->version, 5);
        const std::string_view product = "VIRTUAL-DISK";
        const std::size_t product_size = size > 16 ? std::min<std::size_t>(size - 16, 12) : 0;
        EXPECT_EQ(parsed->product.view(), product.substr(0, product_size)) << size;
    }
    const auto whole = parse_standard_inquiry(kStandard);
    EXPECT_EQ(whole->vendor.view(), "IET");
    EXPECT_EQ(whole->revision.view(), "0001");
}

// Goal: ADDITIONAL LENGTH hides bytes it does not count, and never adds any.
// Rows: SEC-01
TEST(StandardInquiry, AdditionalLengthIsBelievedOnlyDownwards) {
    for (int length = 0; length < 256; ++length) {
        auto data = kStandard;
        data[4] = std::byte(length);
        const auto parsed = parse_standard_inquiry(data);
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->revision.view().size(),
                  static_cast<std::size_t>(std::clamp(length - 27, 0, 4)));
    }
}

// Goal: qualifier and type are told apart for every first byte.
TEST(StandardInquiry, FirstByteSplitsIntoQualifierAndType) {
    for (int first = 0; first < 256; ++first) {
        auto data = kStandard;
        data[0] = std::byte(first);
        const auto parsed = parse_standard_inquiry(data);
        EXPECT_EQ(parsed->qualifier * 32 + parsed->device_type, first);
    }
}

// Goal: text from a target is printable ASCII when it leaves the parser, whatever it was.
// Rows: NAM-08
TEST(StandardInquiry, TextIsMadePrintable) {
    for (int c = 0; c < 256; ++c) {
        auto data = kStandard;
        data[9] = std::byte(c);
        const auto parsed = parse_standard_inquiry(data);
        for (const char shown : parsed->vendor.view()) {
            EXPECT_TRUE(shown >= ' ' && shown <= '~') << c;
        }
    }
}

// Goal: the body of a page is what arrived of what its length claims; another page is no body.
// Rows: SEC-01
TEST(VpdBody, IsCutToWhatArrived) {
    const auto page = hex("00 80 00 04 41 42 43 44 45 46");
    EXPECT_EQ(vpd_body(page, VpdPage::UnitSerialNumber)->size(), 4U);
    EXPECT_FALSE(vpd_body(page, VpdPage::BlockLimits));
    for (std::size_t size = 0; size <= page.size(); ++size) {
        for (const std::uint32_t claim : {0U, 1U, 4U, 6U, 7U, 255U, 0xffffU}) {
            auto data = page;
            data[2] = std::byte(claim >> 8);
            data[3] = std::byte(claim & 0xff);
            const auto body = vpd_body(std::span{data}.first(size), VpdPage::UnitSerialNumber);
            ASSERT_EQ(body.has_value(), size >= 4);
            if (body) {
                EXPECT_EQ(body->size(), std::min<std::size_t>(claim, size - 4));
            }
        }
    }
}

// Goal: serial numbers lose their padding; one longer than we keep is cut, not overrun.
TEST(SerialNumber, IsTrimmedAndCut) {
    EXPECT_EQ(parse_serial_number(ascii("   beaf11  ")).view(), "beaf11");
    EXPECT_EQ(parse_serial_number({}).view(), "");
    EXPECT_EQ(parse_serial_number(ascii(std::string(36, ' '))).view(), "");
    EXPECT_EQ(parse_serial_number(std::vector<std::byte>(8)).view(), "");
    EXPECT_EQ(parse_serial_number(ascii(std::string(255, 'x'))).size(), 64U);
}

// Goal: of all designators the strongest one of the unit itself is chosen, in any order of the
// page. Method: every permutation of four good ones and two that do not name the unit.
TEST(Designators, TheStrongestOfTheUnitIsChosen) {
    const auto naa = designator(1, 0x03, hex("60 01 40 5a bc de f0 12 34 56 78 9a bc de f0 12"));
    std::vector<std::vector<std::byte>> all = {
        designator(1, 0x13, hex("5f ff ff ff ff ff ff ff")),  // Of the port.
        designator(1, 0x03, hex("30 00 00 01 00 00 00 01")),  // NAA, shorter.
        designator(1, 0x02, hex("00 11 22 33 44 55 66 77")),
        designator(3, 0x08, ascii("iqn.2004-01.com.example:disk")),
        designator(2, 0x01, ascii("VENDOR  disk")),
        naa,
    };
    std::ranges::sort(all);
    do {
        std::vector<std::byte> body;
        for (const auto& one : all) body = joined(body, one);
        const Designator best = best_designator(body);
        ASSERT_EQ(best.type, 3);
        ASSERT_EQ(best.text.view(), "6001405abcdef0123456789abcdef012");
    } while (std::ranges::next_permutation(all).found);
}

// Goal: each kind is written in its own way, and what names nothing is not a name.
TEST(Designators, EachKindHasItsText) {
    const auto text = [](int code_set, int kind, const std::vector<std::byte>& value) {
        return best_designator(designator(code_set, kind, value));
    };
    EXPECT_EQ(text(1, 2, hex("00112233 44556677")).text.view(), "0011223344556677");
    EXPECT_EQ(text(3, 8, joined(ascii("eui.0102"), hex("00 00"))).text.view(), "eui.0102");
    EXPECT_EQ(text(2, 1, ascii("IET     0001")).text.view(), "IET     0001");
    EXPECT_EQ(text(1, 1, hex("49 45 54 00")).text.view(), "49455400");
    EXPECT_EQ(text(2, 1, ascii("        ")).type, 0);
    EXPECT_EQ(text(1, 3, hex("00 00 00 00 00 00 00 00")).type, 0);
    EXPECT_EQ(text(1, 3, {}).type, 0);
    EXPECT_EQ(text(1, 4, hex("00 00 00 01")).type, 0);  // Relative port: not of the unit.
    const std::string long_name = "iqn." + std::string(200, 'a') + "end";
    EXPECT_EQ(text(3, 8, ascii(long_name)).text.view(), long_name.substr(long_name.size() - 128));
    EXPECT_EQ(text(1, 3, std::vector<std::byte>(255, std::byte{0x5a})).text.size(), 128U);
}

// Goal: zero-length designators and lengths beyond the page end in the best of what stood before.
// Method: the length of each of three designators takes all 256 values; the page is cut at each
// byte. Rows: SEC-01
TEST(Designators, HostileLengthsAreHarmless) {
    const auto first = designator(2, 0x01, ascii("FIRST"));
    auto page = joined(joined(first, designator(1, 3, {})),
                       designator(1, 0x03, hex("60 01 02 03 04 05 06 07")));
    EXPECT_EQ(best_designator(page).type, 3);
    for (std::size_t size = 0; size < page.size(); ++size) {
        const auto best = best_designator(std::span{page}.first(size));
        EXPECT_EQ(best.type, size >= first.size() ? 1 : 0);
    }
    for (const std::size_t at : {std::size_t{3}, first.size() + 3, first.size() + 7}) {
        for (int length = 0; length < 256; ++length) {
            auto data = page;
            data[at] = std::byte(length);
            EXPECT_LE(best_designator(data).text.size(), 128U);
        }
    }
}

// Goal: block limits of every length that the standards have had, 12 bytes to 60, are read as far
// as they go, each field whole or not at all.
TEST(BlockLimits, EachFieldIsWholeOrNotReported) {
    const auto body =
        hex("01 00 00 08 00 00 80 00 00 00 04 00 00 00 00 00"
            "00 20 00 00 00 00 00 01 00 00 00 20 80 00 00 10"
            "00 00 00 00 00 40 00 00 0000000000000000000000000000000000000000");
    for (std::size_t size = 0; size <= body.size(); ++size) {
        const BlockLimits limits = parse_block_limits(std::span{body}.first(size));
        EXPECT_EQ(limits.transfer_granularity_blocks, size >= 4 ? 8 : 0);
        EXPECT_EQ(limits.transfer_blocks_max, size >= 8 ? 0x8000U : 0);
        EXPECT_EQ(limits.transfer_blocks_optimal, size >= 12 ? 0x400U : 0);
        EXPECT_EQ(limits.unmap_blocks_max, size >= 20 ? 0x20'0000U : 0);
        EXPECT_EQ(limits.unmap_descriptors_max, size >= 24 ? 1U : 0);
        EXPECT_EQ(limits.unmap_granularity, size >= 28 ? 0x20U : 0);
        EXPECT_EQ(limits.unmap_alignment, size >= 32 ? 0x10U : 0);
        EXPECT_EQ(limits.write_same_blocks_max, size >= 40 ? 0x40'0000U : 0);
    }
    auto not_valid = body;
    not_valid[28] = std::byte{0};
    EXPECT_EQ(parse_block_limits(not_valid).unmap_alignment, 0U);
}

// Goal: provisioning flags stand where SBC-3 and SBC-4 agree; an LBPRZ that one of them does not
// know is no promise of zeroes.
// Method: all 256 flag bytes.
TEST(Provisioning, FlagsAreReadBitByBit) {
    for (int flags = 0; flags < 256; ++flags) {
        const std::vector<std::byte> body = {std::byte{0}, std::byte(flags)};
        const Provisioning parsed = parse_provisioning(body);
        EXPECT_EQ(parsed.unmap, (flags & 0x80) != 0);
        EXPECT_EQ(parsed.write_same_unmap, (flags & 0x40) != 0);
        EXPECT_EQ(parsed.reads_zero, ((flags >> 2) & 7) == 1);
    }
    EXPECT_FALSE(parse_provisioning({}).unmap);
    EXPECT_EQ(parse_rotation_rate(hex("00 01")), 1);
    EXPECT_EQ(parse_rotation_rate(hex("1c")), 0);
}

}  // namespace
}  // namespace holdfast::initiator::scsi
