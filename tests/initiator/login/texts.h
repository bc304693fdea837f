/// key=value text for tests.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "initiator/login/text.h"

namespace holdfast::initiator::testing {

/// The pairs, each with its null.
inline std::string text_of(std::initializer_list<std::string_view> pairs) {
    std::string text;
    for (const std::string_view pair : pairs) {
        text += pair;
        text += '\0';
    }
    return text;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

/// A hex constant.
inline std::string hex_of(std::span<const std::byte> bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex = "0x";
    for (const std::byte b : bytes) {
        hex += kDigits[std::to_integer<std::size_t>(b) >> 4];
        hex += kDigits[std::to_integer<std::size_t>(b) & 15U];
    }
    return hex;
}

/// The pairs of a text as "key=value" strings; ends with "!" when the text is malformed.
inline std::vector<std::string> pairs_of(std::string_view text) {
    std::vector<std::string> result;
    TextPairs pairs{text};
    while (true) {
        const auto pair = pairs.try_next();
        if (!pair) {
            result.emplace_back("!");
            return result;
        }
        if (!*pair) return result;
        result.push_back(std::string{(*pair)->key} + "=" + std::string{(*pair)->value});
    }
}

/// The value of a key in a text; "(missing)" when it is not there.
inline std::string value_in(std::string_view text, std::string_view key) {
    for (const std::string& pair : pairs_of(text)) {
        const std::size_t equals = pair.find('=');
        if (pair.substr(0, equals) == key) return pair.substr(equals + 1);
    }
    return "(missing)";
}

}  // namespace holdfast::initiator::testing
