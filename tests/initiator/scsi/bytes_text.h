/// Bytes written as hex text, for tests.
#pragma once

#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::initiator::scsi {

/// "01 2f" -> two bytes. Blanks and line ends are skipped.
[[nodiscard]] inline std::vector<std::byte> hex(std::string_view text) {
    std::vector<std::byte> bytes;
    std::string digits;
    for (const char c : text) {
        if (std::isxdigit(static_cast<unsigned char>(c)) == 0) continue;
        digits.push_back(c);
        if (digits.size() < 2) continue;
        bytes.push_back(std::byte(std::stoi(digits, nullptr, 16)));
        digits.clear();
    }
    return bytes;
}

/// Printable text as bytes.
[[nodiscard]] inline std::vector<std::byte> ascii(std::string_view text) {
    std::vector<std::byte> bytes;
    for (const char c : text) bytes.push_back(std::byte(c));
    return bytes;
}

[[nodiscard]] inline std::vector<std::byte> joined(std::vector<std::byte> first,
                                                   const std::vector<std::byte>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

}  // namespace holdfast::initiator::scsi
