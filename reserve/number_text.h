/// Decimal numbers to and from text, without allocation. Pure.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/assert.h"

namespace holdfast::reserve {

/// A number in decimal, kept in place: `NumberText{42}.view()`.
class NumberText {
public:
    template <std::integral T>
    explicit NumberText(T value) noexcept {
        const auto done = std::to_chars(cells_.begin(), cells_.end(), value);
        HF_ASSERT(done.ec == std::errc{});
        size_ = static_cast<std::size_t>(done.ptr - cells_.begin());
    }
    [[nodiscard]] std::string_view view() const noexcept { return {cells_.data(), size_}; }

private:
    std::array<char, 24> cells_{};  // -2^63 has 20 characters.
    std::size_t size_ = 0;
};

/// The decimal or hexadecimal number at the front of `text`, which moves behind it. Empty, with
/// `text` untouched, when there is none or it does not fit T.
template <std::integral T>
[[nodiscard]] std::optional<T> try_take_number(std::string_view& text, int base = 10) noexcept {
    T value{};
    const char* const begin = std::to_address(text.begin());
    const auto done = std::from_chars(begin, std::to_address(text.end()), value, base);
    if (done.ec != std::errc{}) return {};
    text.remove_prefix(static_cast<std::size_t>(done.ptr - begin));
    return value;
}

/// `text` without the spaces and tabs at its front.
[[nodiscard]] constexpr std::string_view without_leading_blanks(std::string_view text) noexcept {
    const std::size_t first = text.find_first_not_of(" \t");
    return first == std::string_view::npos ? std::string_view{} : text.substr(first);
}

}  // namespace holdfast::reserve
