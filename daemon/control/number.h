/// Numbers in text that people and files hand us. Pure.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace holdfast::daemon {

/// Largest LUN that flat space addressing can name. SAM-5 section 4.7.7.
inline constexpr std::uint32_t kLunMax = 16383;

/// The whole of `text` as a number; nothing when it is empty, holds anything else, or does not fit.
template <class T>
[[nodiscard]] std::optional<T> number_from(std::string_view text, int base = 10) noexcept {
    T value{};
    const auto [stop, error] = std::from_chars(text.begin(), text.end(), value, base);
    if (error != std::errc{} || stop != text.end()) return {};
    return value;
}

}  // namespace holdfast::daemon
