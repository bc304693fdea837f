#include "stress/target/text.h"

#include <charconv>
#include <limits>

namespace holdfast::target {
namespace {

std::optional<std::uint8_t> hex_digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
    return {};
}

std::optional<std::uint8_t> base64_digit(char c) {
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto found = kAlphabet.find(c);
    if (found == std::string_view::npos) return {};
    return static_cast<std::uint8_t>(found);
}

/// An odd number of digits is legal: the first one then stands alone.
std::optional<std::vector<std::uint8_t>> parse_hex(std::string_view digits) {
    if (digits.empty()) return {};
    std::vector<std::uint8_t> binary;
    bool upper_half = digits.size() % 2 == 0;
    unsigned pending = 0;
    for (const char c : digits) {
        const auto digit = hex_digit(c);
        if (!digit) return {};
        if (upper_half) {
            pending = static_cast<unsigned>(*digit) << 4;
        } else {
            binary.push_back(static_cast<std::uint8_t>(pending | *digit));
        }
        if (!upper_half) pending = 0;
        upper_half = !upper_half;
    }
    return binary;
}

std::optional<std::vector<std::uint8_t>> parse_base64(std::string_view digits) {
    std::vector<std::uint8_t> binary;
    std::uint32_t bits = 0;
    int bit_count = 0;
    while (digits.ends_with('=')) digits.remove_suffix(1);
    if (digits.empty()) return {};
    for (const char c : digits) {
        const auto digit = base64_digit(c);
        if (!digit) return {};
        bits = (bits << 6) | *digit;
        bit_count += 6;
        if (bit_count < 8) continue;
        bit_count -= 8;
        binary.push_back(static_cast<std::uint8_t>((bits >> bit_count) & 0xffU));
    }
    return binary;
}

}  // namespace

std::optional<std::vector<KeyValue>> parse_text(std::string_view text) {
    std::vector<KeyValue> pairs;
    while (!text.empty()) {
        const auto end = text.find('\0');
        if (end == std::string_view::npos) return {};
        const auto pair = text.substr(0, end);
        text.remove_prefix(end + 1);
        // Some initiators send a spare NUL behind the last pair.
        if (pair.empty()) continue;
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos || equals == 0) return {};
        pairs.push_back(KeyValue{.key = std::string{pair.substr(0, equals)},
                                 .value = std::string{pair.substr(equals + 1)}});
    }
    return pairs;
}

std::optional<std::uint64_t> parse_number(std::string_view value) {
    int base = 10;
    if (value.starts_with("0x") || value.starts_with("0X")) {
        base = 16;
        value.remove_prefix(2);
    } else if (value.size() > 1 && value.front() == '0') {
        return {};
    }
    std::uint64_t number = 0;
    const auto* end = std::to_address(value.end());
    const auto [stop, error] = std::from_chars(std::to_address(value.begin()), end, number, base);
    if (error != std::errc{} || stop != end) return {};
    return number;
}

std::vector<std::string_view> split_list(std::string_view value) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto comma = value.find(',');
        parts.push_back(value.substr(0, comma));
        if (comma == std::string_view::npos) return parts;
        value.remove_prefix(comma + 1);
    }
}

std::optional<std::vector<std::uint8_t>> parse_binary(std::string_view value) {
    if (value.size() < 3) return {};
    const auto prefix = value.substr(0, 2);
    const auto digits = value.substr(2);
    if (prefix == "0x" || prefix == "0X") return parse_hex(digits);
    if (prefix == "0b" || prefix == "0B") return parse_base64(digits);
    return {};
}

std::string hex_text(const std::vector<std::uint8_t>& binary) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text = "0x";
    for (const std::uint8_t octet : binary) {
        text += kDigits[octet >> 4];
        text += kDigits[octet & 0x0fU];
    }
    return text;
}

void TextWriter::add(std::string_view key, std::string_view value) {
    text_.append(key).append(1, '=').append(value).append(1, '\0');
}

}  // namespace holdfast::target
