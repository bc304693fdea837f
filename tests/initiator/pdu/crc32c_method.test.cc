#include "initiator/crc32c_method.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "initiator/pdu/digest.h"

namespace holdfast::initiator {
namespace {

std::vector<std::byte> noise(std::size_t bytes) {
    std::mt19937 random{static_cast<std::mt19937::result_type>(bytes)};
    std::vector<std::byte> made(bytes);
    for (std::byte& byte : made) byte = static_cast<std::byte>(random());
    return made;
}

/// Puts ISA-L back, whatever a test chose.
struct MethodGuard {
    ~MethodGuard() { use_crc_method(CrcMethod::Isal); }
};

// Goal: the methods agree on every length up to two steps and more, at every alignment, from every
// register, and on large pieces.
// Rows: DIG-01
TEST(CrcMethods, Agree) {
    const auto bytes = noise(300'000);
    std::uint32_t crc = 0xffff'ffffU;
    for (std::size_t offset = 0; offset < 9; ++offset) {
        for (std::size_t length = 0; length < 70; ++length) {
            const auto piece = std::span{bytes}.subspan(offset, length);
            EXPECT_EQ(crc32c_tables(crc, piece), crc32c_isal(crc, piece))
                << offset << ' ' << length;
            crc = crc32c_isal(crc, piece) + 1;
        }
    }
    EXPECT_EQ(crc32c_tables(crc, bytes), crc32c_isal(crc, bytes));
}

// Goal: a digest may change methods in the middle; the choice takes effect.
TEST(CrcMethods, ChangeWithinADigest) {
    const MethodGuard guard;
    const auto bytes = noise(1001);
    Crc32c whole;
    whole.update(bytes);
    Crc32c mixed;
    mixed.update(std::span{bytes}.first(333));
    use_crc_method(CrcMethod::Tables);
    EXPECT_EQ(crc_method_in_use(), CrcMethod::Tables);
    mixed.update(std::span{bytes}.subspan(333));
    EXPECT_EQ(mixed.value(), whole.value());
}

}  // namespace
}  // namespace holdfast::initiator
