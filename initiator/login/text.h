/// key=value text as Login and Text PDUs carry it. RFC 7143 section 6.1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "initiator/login/login_error.h"

namespace holdfast::initiator {

/// Text between two PDUs with C=0. Section 6.1 asks for at least 8192 bytes in a negotiation
/// sequence; this is also all we take, because we offer no method with long items.
inline constexpr std::size_t kTextBytesMax = 8192;

/// Ends a pair. Section 6.1.
inline constexpr char kPairEnd = '\0';

/// Longest key name. Section 6.1, standard-label.
inline constexpr std::size_t kKeyNameBytesMax = 63;

/// One pair; borrows from the text.
struct TextPair {
    std::string_view key;
    std::string_view value;
};

/// Takes the pairs of a whole text apart, one by one. Each must end in a null; nulls that follow
/// the last pair are taken for padding and ignored.
class TextPairs {
public:
    explicit TextPairs(std::string_view text) noexcept : left_(text) {}
    /// An empty result is the end. After an error the rest is lost.
    [[nodiscard]] std::expected<std::optional<TextPair>, LoginError> try_next() noexcept;

private:
    std::string_view left_;
};

/// True for a standard-label, and for the keys of the table that are none: X#NodeArchitecture has a
/// hash sign, iSCSIProtocolLevel and iSERHelloRequired begin with a small letter.
[[nodiscard]] bool is_key_name(std::string_view key) noexcept;

/// Joins the data segments of responses with C=1 and the one with C=0 that ends them. A pair may be
/// split anywhere between them.
class JoinedText {
public:
    /// False when it would become longer than kTextBytesMax; nothing is kept then.
    [[nodiscard]] bool try_append(std::span<const std::byte> segment) noexcept;
    void clear() noexcept { size_ = 0; }
    [[nodiscard]] std::string_view view() const noexcept {
        return as_text(std::span{cells_}.first(size_));
    }

private:
    std::array<std::byte, kTextBytesMax> cells_{};
    std::size_t size_ = 0;
};

/// The text of our next request. When a pair does not fit, nothing of it is written and
/// overflowed() stays true until clear().
class TextOut {
public:
    /// A null inside a value would end it: what follows one is left out.
    void pair(std::string_view key, std::string_view value) noexcept;
    void number(std::string_view key, std::uint64_t value) noexcept;
    void boolean(std::string_view key, bool value) noexcept { pair(key, value ? "Yes" : "No"); }
    /// As a hex constant, lower case.
    void binary(std::string_view key, std::span<const std::byte> value) noexcept;
    void clear() noexcept {
        size_ = 0;
        overflowed_ = false;
    }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return std::span{cells_}.first(size_);
    }
    [[nodiscard]] std::string_view view() const noexcept { return as_text(bytes()); }

private:
    void append(std::string_view text) noexcept;

    std::array<std::byte, kTextBytesMax> cells_{};
    std::size_t size_ = 0;
    bool overflowed_ = false;
};

}  // namespace holdfast::initiator
