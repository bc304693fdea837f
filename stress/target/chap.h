/// CHAP as RFC 7143 section 12.1.3 uses it: hash(identifier, secret, challenge).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace holdfast::target {

using Octets = std::vector<std::uint8_t>;

/// CHAP_A values.
inline constexpr int kChapMd5 = 5;
inline constexpr int kChapSha1 = 6;
inline constexpr int kChapSha256 = 7;
inline constexpr int kChapSha3 = 8;

/// Nothing when the algorithm is unknown.
[[nodiscard]] std::optional<Octets> chap_response(int algorithm, std::uint8_t identifier,
                                                  std::string_view secret, const Octets& challenge);

}  // namespace holdfast::target
