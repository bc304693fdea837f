/// Takes a fuzzer's input apart. What is beyond the end reads as zero, so every input has a
/// meaning.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace holdfast::fuzz {

class Input {
public:
    Input(const std::uint8_t* data, std::size_t size)
        : left_(std::as_bytes(std::span{data, size})) {}

    [[nodiscard]] bool empty() const { return left_.empty(); }
    std::uint8_t byte() {
        if (left_.empty()) return 0;
        const auto value = std::to_integer<std::uint8_t>(left_.front());
        left_ = left_.subspan(1);
        return value;
    }
    std::uint16_t word() {
        const unsigned high = byte();
        return static_cast<std::uint16_t>(high << 8 | byte());
    }
    /// At most `count` bytes.
    std::span<const std::byte> bytes(std::size_t count) {
        const auto taken = left_.first(std::min(count, left_.size()));
        left_ = left_.subspan(taken.size());
        return taken;
    }
    std::span<const std::byte> rest() { return bytes(left_.size()); }
    std::string_view text() { return as_text(rest()); }

private:
    std::span<const std::byte> left_;
};

}  // namespace holdfast::fuzz
