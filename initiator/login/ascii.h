/// Characters of text keys, names and numbers. ASCII only and without a locale: <cctype> has one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace holdfast::initiator {

/// For writing hexadecimal. RFC 7143 section 6.1 allows both cases.
inline constexpr std::string_view kHexDigits = "0123456789abcdef";

[[nodiscard]] constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
[[nodiscard]] constexpr bool is_lower(char c) noexcept {
    return c >= 'a' && c <= 'z';
}
[[nodiscard]] constexpr bool is_upper(char c) noexcept {
    return c >= 'A' && c <= 'Z';
}
[[nodiscard]] constexpr bool is_letter(char c) noexcept {
    return is_lower(c) || is_upper(c);
}
/// The value of a hexadecimal digit of either case; empty for other characters.
[[nodiscard]] constexpr std::optional<std::uint8_t> hex_value(char c) noexcept {
    if (is_digit(c)) return static_cast<std::uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
    return {};
}
[[nodiscard]] constexpr bool is_hex(char c) noexcept {
    return hex_value(c).has_value();
}

}  // namespace holdfast::initiator
