#include "base/bytes.h"

#include <gtest/gtest.h>

#include <array>

namespace holdfast {
namespace {

std::array<std::byte, 16> counting_bytes() {
    std::array<std::byte, 16> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i + 1);
    return bytes;
}

// Goal: multi-byte fields are big-endian at any offset.
// Rows: PDU-01
TEST(Bytes, FieldsAreBigEndian) {
    const auto bytes = counting_bytes();
    const std::span<const std::byte, 16> view{bytes};
    EXPECT_EQ(u8_at<3>(view), 0x04);
    EXPECT_EQ(be16_at<1>(view), 0x0203);
    EXPECT_EQ(be24_at<5>(view), 0x060708U);
    EXPECT_EQ(be32_at<7>(view), 0x08090a0bU);
    EXPECT_EQ((be64_at<8>(view)), 0x090a0b0c0d0e0f10ULL);
}

// Goal: what is stored is what is read.
TEST(Bytes, StoredFieldsReadBack) {
    std::array<std::byte, 16> bytes{};
    const std::span<std::byte, 16> room{bytes};
    const std::span<const std::byte, 16> view{bytes};
    put_be24<5>(room, 0xabcdefU);
    put_be32<8>(room, 0xdeadbeefU);
    EXPECT_EQ(be24_at<5>(view), 0xabcdefU);
    EXPECT_EQ(be32_at<8>(view), 0xdeadbeefU);
    put_be64<8>(room, 0x0102030405060708ULL);
    EXPECT_EQ(be64_at<8>(view), 0x0102030405060708ULL);
}

// Goal: a reader never gives more than is left, and a refused read takes nothing.
TEST(ByteReader, RefusesWhatIsNotThere) {
    const auto bytes = counting_bytes();
    for (std::size_t length = 0; length <= bytes.size(); ++length) {
        ByteReader reader{std::span{bytes}.first(length)};
        EXPECT_EQ(reader.try_be64().has_value(), length >= 8);
        const std::size_t left = reader.left_bytes();
        EXPECT_FALSE(reader.try_bytes(left + 1).has_value());
        EXPECT_EQ(reader.left_bytes(), left);
        EXPECT_TRUE(reader.try_bytes(left).has_value());
        EXPECT_FALSE(reader.try_u8().has_value());
    }
}

// Goal: a writer that has overflowed writes no further field, not even one that would fit.
TEST(ByteWriter, StopsAtTheFirstFieldThatDoesNotFit) {
    std::array<std::byte, 5> room{};
    ByteWriter writer{room};
    writer.be32(0x01020304);
    EXPECT_FALSE(writer.overflowed());
    writer.be32(0x05060708);
    writer.u8(0xff);
    EXPECT_TRUE(writer.overflowed());
    EXPECT_EQ(writer.used_bytes(), 4U);
    EXPECT_EQ(room[4], std::byte{0});
}

}  // namespace
}  // namespace holdfast
