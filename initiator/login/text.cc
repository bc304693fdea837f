#include "initiator/login/text.h"

#include <algorithm>

#include "base/assert.h"
#include "initiator/login/ascii.h"
#include "initiator/login/key.h"

namespace holdfast::initiator {

namespace {

bool is_label_character(char c) noexcept {
    constexpr std::string_view kOthers = ".-+@_";
    return is_letter(c) || is_digit(c) || kOthers.find(c) != std::string_view::npos;
}

}  // namespace

bool is_key_name(std::string_view key) noexcept {
    if (key.empty() || key.size() > kKeyNameBytesMax) return false;
    if (key_of(key) != KeyId::Unknown) return true;
    if (!is_upper(key.front())) return false;
    return std::ranges::all_of(key, is_label_character);
}

std::expected<std::optional<TextPair>, LoginError> TextPairs::try_next() noexcept {
    if (left_.find_first_not_of(kPairEnd) == std::string_view::npos) {
        left_ = {};
        return std::optional<TextPair>{};
    }
    const std::size_t end = left_.find(kPairEnd);
    if (end == std::string_view::npos) return std::unexpected{LoginError::PairWithoutEnd};
    const std::string_view pair = left_.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return std::unexpected{LoginError::PairWithoutEquals};
    const TextPair result{pair.substr(0, equals), pair.substr(equals + 1)};
    if (!is_key_name(result.key)) return std::unexpected{LoginError::KeyMalformed};
    left_.remove_prefix(end + 1);
    return result;
}

bool JoinedText::try_append(std::span<const std::byte> segment) noexcept {
    if (segment.size() > cells_.size() - size_) {
        clear();
        return false;
    }
    std::ranges::copy(segment, std::span{cells_}.subspan(size_).begin());
    size_ += segment.size();
    return true;
}

void TextOut::append(std::string_view text) noexcept {
    if (overflowed_ || text.size() > cells_.size() - size_) {
        overflowed_ = true;
        return;
    }
    std::ranges::copy(std::as_bytes(std::span{text}), std::span{cells_}.subspan(size_).begin());
    size_ += text.size();
}

void TextOut::pair(std::string_view key, std::string_view value) noexcept {
    HF_ASSERT(is_key_name(key));
    const std::size_t before = size_;
    append(key);
    append("=");
    append(value.substr(0, value.find(kPairEnd)));
    append(std::string_view{&kPairEnd, 1});
    if (overflowed_) size_ = before;
}

void TextOut::number(std::string_view key, std::uint64_t value) noexcept {
    std::array<char, 20> digits{};  // 2^64 - 1 has 20.
    std::size_t at = digits.size();
    do {
        digits[--at] = static_cast<char>('0' + value % 10);
        value /= 10;
    } while (value != 0);
    const std::string_view all{digits.data(), digits.size()};
    pair(key, all.substr(at));
}

void TextOut::binary(std::string_view key, std::span<const std::byte> value) noexcept {
    HF_ASSERT(is_key_name(key) && !value.empty());
    const std::size_t before = size_;
    append(key);
    append("=0x");
    for (const std::byte b : value) {
        const auto octet = std::to_integer<std::size_t>(b);
        append(kHexDigits.substr(octet >> 4, 1));
        append(kHexDigits.substr(octet & 0xfU, 1));
    }
    append(std::string_view{&kPairEnd, 1});
    if (overflowed_) size_ = before;
}

}  // namespace holdfast::initiator
