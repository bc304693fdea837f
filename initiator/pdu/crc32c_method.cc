#include "initiator/crc32c_method.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>

namespace holdfast::initiator {

namespace {

/// crc32_iscsi counts in int.
constexpr std::size_t kPieceBytesMax = 1U << 30;
static_assert(kPieceBytesMax <= std::numeric_limits<int>::max());

/// ISA-L takes a pointer to non-const and only reads.
unsigned char* as_isal(std::span<const std::byte> bytes) noexcept {
    return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
}

constexpr std::size_t kStepBytes = sizeof(std::uint64_t);
static_assert(std::endian::native == std::endian::little, "the first byte is the lowest of a word");

/// [k][b]: the register after byte b and k zero bytes, from zero.
using Tables = std::array<std::array<std::uint32_t, 256>, kStepBytes>;

constexpr Tables make_tables() noexcept {
    // 0x1EDC6F41 with its bits reversed. RFC 7143 section 13.1.
    constexpr std::uint32_t kPolynomial = 0x82f6'3b78U;
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? kPolynomial : 0U);
        tables[0][byte] = crc;
    }
    for (std::size_t zeroes = 1; zeroes < kStepBytes; ++zeroes) {
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[zeroes - 1][byte];
            tables[zeroes][byte] = (before >> 8) ^ tables[0][before & 0xffU];
        }
    }
    return tables;
}

constexpr Tables kTables = make_tables();

constexpr std::uint32_t looked_up(std::size_t zeroes, std::uint64_t word, int byte) noexcept {
    return kTables[zeroes][word >> (8 * byte) & 0xffU];
}

std::atomic<CrcMethod> method_in_use{CrcMethod::Isal};

}  // namespace

std::uint32_t crc32c_isal(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(bytes.size(), kPieceBytesMax));
        crc = crc32_iscsi(as_isal(part), static_cast<int>(part.size()), crc);
        bytes = bytes.subspan(part.size());
    }
    return crc;
}

std::uint32_t crc32c_tables(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
    while (bytes.size() >= kStepBytes) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), kStepBytes);
        word ^= crc;
        crc = looked_up(7, word, 0) ^ looked_up(6, word, 1) ^ looked_up(5, word, 2) ^
              looked_up(4, word, 3) ^ looked_up(3, word, 4) ^ looked_up(2, word, 5) ^
              looked_up(1, word, 6) ^ looked_up(0, word, 7);
        bytes = bytes.subspan(kStepBytes);
    }
    for (const std::byte byte : bytes)
        crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint32_t>(byte)) & 0xffU];
    return crc;
}

void use_crc_method(CrcMethod method) noexcept {
    method_in_use.store(method, std::memory_order_relaxed);
}

CrcMethod crc_method_in_use() noexcept {
    return method_in_use.load(std::memory_order_relaxed);
}

std::uint32_t crc32c_update(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
    return crc_method_in_use() == CrcMethod::Isal ? crc32c_isal(crc, bytes)
                                                  : crc32c_tables(crc, bytes);
}

}  // namespace holdfast::initiator
