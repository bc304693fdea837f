#include "initiator/scsi/sense.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/initiator/scsi/bytes_text.h"

namespace holdfast::initiator::scsi {
namespace {

// Medium error, unrecovered read error 11h/00h, information 0x01020304 valid.
const std::vector<std::byte> kFixed = hex("f0 00 03 01 02 03 04 0a 00 00 00 00 11 00 00 00 00 00");
// The same in descriptor form, information 0x0102030405060708.
const std::vector<std::byte> kDescriptor =
    hex("72 03 11 00 00 00 00 0c 00 0a 80 00 01 02 03 04 05 06 07 08");

// Goal: fixed and descriptor sense give the same summary, current and deferred.
// Rows: RSP-04
TEST(Sense, BothFormatsAreRead) {
    for (const int deferred : {0, 1}) {
        auto fixed = kFixed;
        fixed[0] |= std::byte(deferred);
        auto descriptor = kDescriptor;
        descriptor[0] |= std::byte(deferred);
        const auto from_fixed = parse_sense(fixed);
        const auto from_descriptor = parse_sense(descriptor);
        ASSERT_TRUE(from_fixed && from_descriptor);
        for (const auto& summary : {*from_fixed, *from_descriptor}) {
            EXPECT_EQ(summary.key, SenseKey::MediumError);
            EXPECT_EQ(summary.code(), 0x1100);
            EXPECT_EQ(summary.for_notice(), 0x03'1100U);
            EXPECT_EQ(summary.is_deferred, deferred == 1);
        }
        EXPECT_EQ(from_fixed->information, 0x0102'0304U);
        EXPECT_EQ(from_descriptor->information, 0x0102'0304'0506'0708U);
    }
}

// Goal: sense cut at any byte gives what arrived and zeroes for the rest, never a wrong code.
// Rows: RSP-04
TEST(Sense, EveryShortLengthGivesWhatArrived) {
    for (std::size_t size = 0; size <= kFixed.size(); ++size) {
        const auto summary = parse_sense(std::span{kFixed}.first(size));
        ASSERT_EQ(summary.has_value(), size >= 3) << size;
        if (!summary) continue;
        EXPECT_EQ(summary->key, SenseKey::MediumError);
        EXPECT_EQ(summary->asc, size >= 13 ? 0x11 : 0) << size;
        EXPECT_EQ(summary->information.has_value(), size >= 7) << size;
    }
    for (std::size_t size = 0; size <= kDescriptor.size(); ++size) {
        const auto summary = parse_sense(std::span{kDescriptor}.first(size));
        ASSERT_EQ(summary.has_value(), size >= 2) << size;
        if (!summary) continue;
        EXPECT_EQ(summary->asc, size >= 3 ? 0x11 : 0) << size;
        EXPECT_EQ(summary->information.has_value(), size == kDescriptor.size()) << size;
    }
}

// Goal: only the four formats of SPC-4 are sense; the VALID bit is not part of the format.
// Method: all 256 first bytes.
// Rows: RSP-04
TEST(Sense, OtherResponseCodesAreNotSense) {
    for (int first = 0; first < 256; ++first) {
        auto sense = kFixed;
        sense[0] = std::byte(first);
        const int code = first & 0x7f;
        EXPECT_EQ(parse_sense(sense).has_value(), code >= 0x70 && code <= 0x73) << first;
    }
}

// Goal: an ADDITIONAL SENSE LENGTH of any value never makes the parser read what did not arrive,
// and hides what it does not count.
// Rows: RSP-04, SEC-01
TEST(Sense, AdditionalLengthIsBelievedOnlyDownwards) {
    for (int length = 0; length < 256; ++length) {
        auto fixed = kFixed;
        fixed[7] = std::byte(length);
        EXPECT_EQ(parse_sense(fixed)->asc, length >= 5 ? 0x11 : 0) << length;
        auto descriptor = kDescriptor;
        descriptor[7] = std::byte(length);
        EXPECT_EQ(parse_sense(descriptor)->information.has_value(), length >= 12) << length;
    }
}

// Goal: descriptors of length 0 or longer than the rest end the search and nothing else.
// Rows: RSP-04, SEC-01
TEST(Sense, BrokenDescriptorsAreSkipped) {
    const auto zero_then_information =
        hex("72 03 11 00 00 00 00 0e 02 00 00 0a 80 00 01 02 03 04 05 06 07 08");
    EXPECT_TRUE(parse_sense(zero_then_information)->information);
    for (int length = 0; length < 256; ++length) {
        auto sense = kDescriptor;
        sense[9] = std::byte(length);
        EXPECT_EQ(parse_sense(sense)->information.has_value(), length == 10) << length;
        EXPECT_EQ(parse_sense(sense)->asc, 0x11);
    }
}

// Goal: SenseLength of a response is checked against the bytes that arrived; a length of 65535 with
// 20 bytes of data reads nothing (QEMU copied it all once).
// Method: all lengths against all data sizes up to 40.
// Rows: RSP-03, SEC-01
TEST(SenseInResponse, LengthBeyondTheDataIsAFormatError) {
    for (std::size_t arrived = 0; arrived <= 40; ++arrived) {
        for (std::uint32_t says = 0; says <= 0xffff; says = says < 64 ? says + 1 : says * 2 + 1) {
            std::vector<std::byte> segment(2 + arrived, std::byte{0x70});
            segment[0] = std::byte(says >> 8);
            segment[1] = std::byte(says & 0xff);
            const auto sense = sense_in_response(segment);
            ASSERT_EQ(sense.has_value(), says <= arrived) << says << " of " << arrived;
            if (sense) {
                EXPECT_EQ(sense->size(), says);
            }
        }
    }
    EXPECT_FALSE(sense_in_response({}));
    EXPECT_FALSE(sense_in_response(hex("00")));
}

}  // namespace
}  // namespace holdfast::initiator::scsi
