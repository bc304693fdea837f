#include "netpath/wire/checksum.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"

namespace holdfast::netpath::wire {

namespace {

/// Ones' complement addition of 64 bits: the carry comes back at the bottom.
std::uint64_t add_carry(std::uint64_t sum, std::uint64_t word) noexcept {
    const std::uint64_t total = sum + word;
    return total + (total < sum ? 1U : 0U);
}

std::uint16_t fold(std::uint64_t sum) noexcept {
    sum = (sum >> 32) + (sum & 0xffff'ffffU);
    sum = (sum >> 32) + (sum & 0xffff'ffffU);
    sum = (sum >> 16) + (sum & 0xffffU);
    sum = (sum >> 16) + (sum & 0xffffU);
    HF_ASSERT(sum <= 0xffffU);
    return static_cast<std::uint16_t>(sum);
}

/// Halves of words never carry within the length of a packet, and four sums of them do not wait for
/// each other: twice as fast as to add whole words with their carries.
std::uint64_t sum_of(std::span<const std::byte> bytes) noexcept {
    constexpr std::uint64_t kLow = 0xffff'ffffU;
    std::array<std::uint64_t, 4> words{};
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::uint64_t more_low = 0;
    std::uint64_t more_high = 0;
    HF_ASSERT_SLOW(bytes.size() < kLow);
    while (bytes.size() >= sizeof(words)) {
        std::memcpy(words.data(), bytes.data(), sizeof(words));
        low += (words[0] & kLow) + (words[2] & kLow);
        high += (words[0] >> 32) + (words[2] >> 32);
        more_low += (words[1] & kLow) + (words[3] & kLow);
        more_high += (words[1] >> 32) + (words[3] >> 32);
        bytes = bytes.subspan(sizeof(words));
    }
    std::uint64_t sum = add_carry(add_carry(low, high), add_carry(more_low, more_high));
    while (bytes.size() >= sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), sizeof(word));
        sum = add_carry(sum, word);
        bytes = bytes.subspan(sizeof(word));
    }
    std::uint64_t rest = 0;
    if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
    return add_carry(sum, rest);
}

}  // namespace

void Checksum::add(std::span<const std::byte> bytes) noexcept {
    const std::uint16_t part = fold(sum_of(bytes));
    // A piece that begins at an odd place has its bytes swapped: RFC 1071 section 2(B).
    sum_ = add_carry(sum_, is_odd_ ? std::byteswap(part) : part);
    if (bytes.size() % 2 != 0) is_odd_ = !is_odd_;
}

void Checksum::add(const Checksum& following) noexcept {
    const std::uint16_t part = fold(following.sum_);
    sum_ = add_carry(sum_, is_odd_ ? std::byteswap(part) : part);
    is_odd_ = is_odd_ != following.is_odd_;
}

void Checksum::add_be16(std::uint16_t value) noexcept {
    const std::uint16_t wire = bytes_detail::swapped(value);
    add(std::as_bytes(std::span{&wire, 1}));
}

void Checksum::add_pseudo_header(const IpAddress& from, const IpAddress& to, std::uint8_t protocol,
                                 std::uint32_t length) noexcept {
    HF_ASSERT(from.is_v6() == to.is_v6());
    add(from.bytes());
    add(to.bytes());
    add_be16(protocol);
    add_be16(static_cast<std::uint16_t>(length >> 16));
    add_be16(static_cast<std::uint16_t>(length & 0xffffU));
}

std::uint16_t Checksum::value() const noexcept {
    return bytes_detail::swapped(static_cast<std::uint16_t>(~fold(sum_)));
}

std::uint16_t checksum_of(std::span<const std::byte> bytes) noexcept {
    Checksum sum;
    sum.add(bytes);
    return sum.value();
}

}  // namespace holdfast::netpath::wire
