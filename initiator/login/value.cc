#include "initiator/login/value.h"

#include <array>
#include <limits>

#include "base/assert.h"
#include "initiator/login/ascii.h"

namespace holdfast::initiator {

namespace {

std::optional<std::uint8_t> base64_digit(char c) noexcept {
    if (is_upper(c)) return static_cast<std::uint8_t>(c - 'A');
    if (is_lower(c)) return static_cast<std::uint8_t>(c - 'a' + 26);
    if (is_digit(c)) return static_cast<std::uint8_t>(c - '0' + 52);
    if (c == '+') return std::uint8_t{62};
    if (c == '/') return std::uint8_t{63};
    return {};
}

bool has_prefix(std::string_view text, char letter) noexcept {
    const char upper = static_cast<char>(letter - 'a' + 'A');
    return text.size() >= 2 && text[0] == '0' && (text[1] == letter || text[1] == upper);
}

std::optional<std::uint64_t> parse_digits(std::string_view digits, std::uint64_t base) noexcept {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
    if (digits.empty()) return {};
    std::uint64_t value = 0;
    for (const char c : digits) {
        const auto digit = hex_value(c);
        if (!digit || *digit >= base) return {};
        if (value > (kMost - *digit) / base) return {};
        value = value * base + *digit;
    }
    return value;
}

std::optional<std::span<std::byte>> parse_hex(std::string_view digits,
                                              std::span<std::byte> out) noexcept {
    const std::size_t length = (digits.size() + 1) / 2;
    if (digits.empty() || length > out.size()) return {};
    std::size_t at = 0;
    bool is_low = digits.size() % 2 != 0;  // Section 6.1: (n + 1) / 2 bytes.
    out[0] = std::byte{0};
    for (const char c : digits) {
        const auto digit = hex_value(c);
        if (!digit) return {};
        if (is_low) {
            out[at] |= std::byte{*digit};
            ++at;
        } else {
            out[at] = static_cast<std::byte>(*digit << 4);
        }
        is_low = !is_low;
    }
    HF_ASSERT(at == length);
    return out.first(length);
}

std::optional<std::span<std::byte>> parse_base64(std::string_view digits,
                                                 std::span<std::byte> out) noexcept {
    if (digits.empty() || digits.size() % 4 != 0) return {};
    std::size_t padding = 0;
    while (padding < 2 && digits.ends_with('=')) {
        digits.remove_suffix(1);
        ++padding;
    }
    const std::size_t length = digits.size() * 6 / 8;
    if (length > out.size()) return {};
    std::uint32_t bits = 0;
    std::uint32_t bit_count = 0;
    std::size_t at = 0;
    for (const char c : digits) {
        const auto digit = base64_digit(c);
        if (!digit) return {};
        bits = (bits << 6) | *digit;
        bit_count += 6;
        if (bit_count < 8) continue;
        bit_count -= 8;
        out[at++] = static_cast<std::byte>(bits >> bit_count);
        bits &= (1U << bit_count) - 1;
    }
    if (bits != 0) return {};  // RFC 4648 section 3.5: pad bits are zero.
    HF_ASSERT(at == length);
    return out.first(length);
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) noexcept {
    if (has_prefix(text, 'x')) return parse_digits(text.substr(2), 16);
    if (text.size() > 1 && text.front() == '0') return {};
    return parse_digits(text, 10);
}

std::optional<bool> parse_boolean(std::string_view text) noexcept {
    if (text == "Yes") return true;
    if (text == "No") return false;
    return {};
}

std::optional<std::span<std::byte>> parse_binary(std::string_view text,
                                                 std::span<std::byte> out) noexcept {
    if (has_prefix(text, 'x')) return parse_hex(text.substr(2), out);
    if (has_prefix(text, 'b')) return parse_base64(text.substr(2), out);
    return {};
}

std::optional<std::uint64_t> parse_small_binary(std::string_view text) noexcept {
    if (!has_prefix(text, 'b')) return parse_number(text);
    std::array<std::byte, sizeof(std::uint64_t)> bytes{};
    const auto decoded = parse_base64(text.substr(2), bytes);
    if (!decoded) return {};
    std::uint64_t value = 0;
    for (const std::byte b : *decoded) value = (value << 8) | std::to_integer<std::uint64_t>(b);
    return value;
}

std::optional<std::string_view> ListItems::try_next() noexcept {
    if (at_end_) return {};
    const std::size_t comma = left_.find(',');
    const std::string_view item = left_.substr(0, comma);
    if (comma == std::string_view::npos) {
        at_end_ = true;
    } else {
        left_.remove_prefix(comma + 1);
    }
    return item;
}

}  // namespace holdfast::initiator
