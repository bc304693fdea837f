/// Values of text keys. RFC 7143 section 6.1. Every function takes the whole value: nothing may
/// stand before or behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace holdfast::initiator {

/// Words that are answers only and never proposals. Section 6.2.
inline constexpr std::string_view kNotUnderstood = "NotUnderstood";
inline constexpr std::string_view kIrrelevant = "Irrelevant";
inline constexpr std::string_view kReject = "Reject";
/// "A missing function", in lists. Section 6.2.1.
inline constexpr std::string_view kNone = "None";

/// numerical-value: decimal without leading zero, or 0x hexadecimal, below 2^64. Empty otherwise.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text) noexcept;

/// boolean-value: exactly Yes or No. Empty otherwise.
[[nodiscard]] std::optional<bool> parse_boolean(std::string_view text) noexcept;

/// binary-value of no given length: hexadecimal (an odd digit count is legal: the first digit is
/// then a byte of its own) or base64 (RFC 4648, padded). Returns the used front of `out`; empty
/// when malformed, without digits, or longer than `out`. `out` is scratch in that case.
[[nodiscard]] std::optional<std::span<std::byte>> parse_binary(std::string_view text,
                                                               std::span<std::byte> out) noexcept;

/// regular-binary-value of at most 64 bits as a number: decimal, hexadecimal or base64.
[[nodiscard]] std::optional<std::uint64_t> parse_small_binary(std::string_view text) noexcept;

/// list-of-values: the items between commas.
class ListItems {
public:
    explicit ListItems(std::string_view list) noexcept : left_(list) {}
    /// Empty at the end. An empty list has one empty item.
    [[nodiscard]] std::optional<std::string_view> try_next() noexcept;

private:
    std::string_view left_;
    bool at_end_ = false;
};

}  // namespace holdfast::initiator
