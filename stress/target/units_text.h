/// Durations and sizes as people write them: 50ms, 2.5s, 64K, 1G.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.h"

namespace holdfast::target {

/// A number with one of ns, us, ms, s, m. A bare number is refused: its unit would be a guess.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
/// A whole number, optionally with K, M, G or T (powers of 1024).
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
[[nodiscard]] std::optional<double> parse_fraction(std::string_view text);
/// Hexadecimal without a prefix, as in 29/00.
[[nodiscard]] std::optional<std::uint8_t> parse_hex_octet(std::string_view text);

}  // namespace holdfast::target
