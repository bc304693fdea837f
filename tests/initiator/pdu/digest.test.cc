#include "initiator/pdu/digest.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "initiator/pdu/initiator_pdu.h"
#include "tests/initiator/pdu/headers.h"

namespace holdfast::initiator {
namespace {

std::vector<std::byte> bytes_of(std::size_t count, unsigned first, int step) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i < count; ++i) {
        bytes.push_back(
            static_cast<std::byte>(static_cast<int>(first) + static_cast<int>(i) * step));
    }
    return bytes;
}

DigestBytes digest_of(std::span<const std::byte> bytes) {
    Crc32c crc;
    crc.update(bytes);
    return crc.wire();
}

DigestBytes wire(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return {std::byte{a}, std::byte{b}, std::byte{c}, std::byte{d}};
}

std::uint32_t reversed_bits(std::uint32_t value) {
    std::uint32_t result = 0;
    for (int i = 0; i < 32; ++i) result |= (value >> i & 1U) << (31 - i);
    return result;
}

// Goal: the vectors of appendix A.4, as bytes on the wire.
// Rows: DIG-01, DIG-02
TEST(Digest, VectorsOfTheStandard) {
    EXPECT_EQ(digest_of(bytes_of(32, 0x00, 0)), wire(0xaa, 0x36, 0x91, 0x8a));
    EXPECT_EQ(digest_of(bytes_of(32, 0xff, 0)), wire(0x43, 0xab, 0xa8, 0x62));
    EXPECT_EQ(digest_of(bytes_of(32, 0x00, 1)), wire(0x4e, 0x79, 0xdd, 0x46));
    EXPECT_EQ(digest_of(bytes_of(32, 0x1f, -1)), wire(0x5c, 0xdb, 0x3f, 0x11));
    testing::Header read{0x01, 0xc0};
    read.set8(16, 0x14).set8(22, 0x04).set8(27, 0x14).set8(31, 0x18).set8(32, 0x28).set8(40, 0x02);
    EXPECT_EQ(header_digest(read.bhs()), wire(0x56, 0x3a, 0x96, 0xd9));
}

// Goal: data with their digest behind them always leave the remainder that section 13.1 names.
// Rows: DIG-02
TEST(Digest, ResidueIsConstant) {
    for (std::size_t length = 0; length < 100; ++length) {
        auto bytes = bytes_of(length, 0x35, 7);
        const DigestBytes digest = digest_of(bytes);
        bytes.insert(bytes.end(), digest.begin(), digest.end());
        Crc32c crc;
        crc.update(bytes);
        EXPECT_EQ(reversed_bits(~crc.value()), 0x1c2d'19edU);
    }
}

// Goal: where the pieces end does not matter.
// Method: a message of 61 bytes at every pair of split points.
// Rows: PDU-22, DIG-03
TEST(Digest, EverySplitGivesTheSame) {
    const auto bytes = bytes_of(61, 3, 11);
    const std::span<const std::byte> all{bytes};
    const DigestBytes whole = digest_of(all);
    for (std::size_t i = 0; i <= all.size(); ++i) {
        for (std::size_t j = i; j <= all.size(); ++j) {
            Crc32c crc;
            crc.update(all.first(i));
            crc.update(all.subspan(i, j - i));
            crc.update(all.subspan(j));
            ASSERT_EQ(crc.wire(), whole);
        }
    }
}

// Goal: padding is part of the digest: zeroes when we send, whatever came when we receive.
// Rows: PDU-05, PDU-06, DIG-03
TEST(Digest, PaddingIsCovered) {
    for (std::uint32_t length = 1; length <= 16; ++length) {
        const auto data = bytes_of(length, 0x41, 1);
        const std::array<std::span<const std::byte>, 2> pieces{std::span{data}.first(length / 2),
                                                               std::span{data}.subspan(length / 2)};
        auto padded = data;
        padded.resize(length + padding_bytes(length), std::byte{0});
        EXPECT_EQ(padded.size() % 4, 0U);
        EXPECT_EQ(data_digest(pieces), digest_of(padded));

        auto received = data;
        received.resize(padded.size(), std::byte{0xee});
        Crc32c crc;
        crc.update(data);
        crc.update(std::span{received}.subspan(length));
        EXPECT_TRUE(digest_matches(crc, digest_of(received)));
        EXPECT_EQ(digest_matches(crc, digest_of(padded)), padded.size() == length);
    }
}

// Goal: every single flipped bit of data or digest is noticed.
// Rows: DIG-07, DIG-08
TEST(Digest, EveryFlippedBitIsNoticed) {
    const auto data = bytes_of(64, 9, 5);
    const DigestBytes good = digest_of(data);
    for (std::size_t bit = 0; bit < data.size() * 8; ++bit) {
        auto bad = data;
        bad[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        Crc32c crc;
        crc.update(bad);
        ASSERT_FALSE(digest_matches(crc, good));
    }
    Crc32c crc;
    crc.update(data);
    for (std::size_t bit = 0; bit < 32; ++bit) {
        DigestBytes bad = good;
        bad[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        ASSERT_FALSE(digest_matches(crc, bad));
    }
}

// Goal: a patched header has another digest: it is computed after the last patch.
// Rows: DIG-15
TEST(Digest, PatchedHeaderHasAnotherDigest) {
    testing::Header header{0};
    write(header.out(), NopOutHeader{});
    const DigestBytes before = header_digest(header.bhs());
    patch_expected_stat_sn(header.out(), StatSn{1});
    EXPECT_NE(header_digest(header.bhs()), before);
}

// Goal: lengths of all parts for every data length up to 64 and every choice of digests.
// Rows: PDU-05, PDU-09, DIG-03, DIG-04, DIG-05
TEST(Layout, PartsAddUp) {
    for (std::uint32_t data = 0; data <= 64; ++data) {
        for (const bool header_digest_on : {false, true}) {
            for (const bool data_digest_on : {false, true}) {
                const PduLayout layout = layout_of(data, {header_digest_on, data_digest_on});
                EXPECT_EQ(layout.header_bytes, 48U);
                EXPECT_EQ(layout.header_digest_bytes, header_digest_on ? 4U : 0U);
                EXPECT_EQ(layout.data_bytes, data);
                EXPECT_LT(layout.padding_bytes, 4U);
                EXPECT_EQ((data + layout.padding_bytes) % 4, 0U);
                EXPECT_EQ(layout.data_digest_bytes, data_digest_on && data != 0 ? 4U : 0U);
                EXPECT_EQ(layout.total_bytes() % 4, 0U);
                EXPECT_EQ(layout.data_offset(), 48U + layout.header_digest_bytes);
                const testing::Header header = testing::data_in().data(data);
                EXPECT_EQ(layout_of(header.bhs(), {header_digest_on, data_digest_on}), layout);
            }
        }
    }
    EXPECT_EQ(DigestsInUse{}, (DigestsInUse{false, false}));
}

// Goal: the largest announced PDU is computed without overflow.
// Rows: PDU-11, PDU-12
TEST(Layout, LargestAnnouncementIsExact) {
    const testing::Header header = testing::data_in().set8(4, 255).data(0xff'ffff);
    const PduLayout layout = layout_of(header.bhs(), {true, true});
    EXPECT_EQ(layout.header_bytes, 48U + 1020U);
    EXPECT_EQ(layout.total_bytes(), 48U + 1020U + 4U + (1U << 24) + 4U);
}

}  // namespace
}  // namespace holdfast::initiator
