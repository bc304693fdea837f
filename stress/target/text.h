/// Key=value text of login and text requests. RFC 7143 section 6.1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::target {

struct KeyValue {
    std::string key;
    std::string value;
};

/// Splits joined text into pairs. Nothing when a pair lacks its '=' or its NUL, or has an empty
/// key.
[[nodiscard]] std::optional<std::vector<KeyValue>> parse_text(std::string_view text);

/// A number as section 6.1 writes it: decimal without leading zeros, or 0x and hex digits; below
/// 2^64.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view value);

/// The values of a comma-separated list. Borrows.
[[nodiscard]] std::vector<std::string_view> split_list(std::string_view value);

/// Binary values: 0x hex or 0b base64. Section 6.1.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> parse_binary(std::string_view value);
[[nodiscard]] std::string hex_text(const std::vector<std::uint8_t>& binary);

/// Collects pairs of an answer, each with its NUL.
class TextWriter {
public:
    void add(std::string_view key, std::string_view value);
    void add(std::string_view key, std::uint64_t value) { add(key, std::to_string(value)); }
    [[nodiscard]] std::string take() { return std::exchange(text_, {}); }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

private:
    std::string text_;
};

}  // namespace holdfast::target
