#include "stress/target/units_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>

namespace holdfast::target {
namespace {

/// The number that the text starts with; what follows it stays in `text`.
template <class T, class... Format>
std::optional<T> take_number(std::string_view& text, Format... format) {
    T number{};
    const auto [stop, error] = std::from_chars(std::to_address(text.begin()),
                                               std::to_address(text.end()), number, format...);
    if (error != std::errc{}) return {};
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    return number;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
    struct Unit {
        std::string_view name;
        double ns;
    };
    constexpr std::array kUnits{Unit{"ns", 1}, Unit{"us", 1e3}, Unit{"ms", 1e6}, Unit{"s", 1e9},
                                Unit{"m", 60e9}};
    const auto number = take_number<double>(text);
    const auto unit = std::ranges::find(kUnits, text, &Unit::name);
    if (!number || unit == kUnits.end()) return {};
    const double ns = *number * unit->ns;
    // A century: anything longer is a slip, and would not fit much longer.
    if (!std::isfinite(ns) || ns < 0 || ns > 3e18) return {};
    return Duration::from_ns(static_cast<std::int64_t>(ns));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    struct Unit {
        std::string_view name;
        unsigned shift;
    };
    constexpr std::array kUnits{Unit{"", 0}, Unit{"K", 10}, Unit{"M", 20}, Unit{"G", 30},
                                Unit{"T", 40}};
    const auto number = take_number<std::uint64_t>(text);
    const auto unit = std::ranges::find(kUnits, text, &Unit::name);
    if (!number || unit == kUnits.end()) return {};
    if (*number > (std::numeric_limits<std::uint64_t>::max() >> unit->shift)) return {};
    return *number << unit->shift;
}

std::optional<double> parse_fraction(std::string_view text) {
    const auto number = take_number<double>(text);
    if (!number || !text.empty() || !(*number >= 0.0 && *number <= 1.0)) return {};
    return number;
}

std::optional<std::uint8_t> parse_hex_octet(std::string_view text) {
    const auto number = take_number<std::uint8_t>(text, 16);
    if (!number || !text.empty()) return {};
    return number;
}

}  // namespace holdfast::target
