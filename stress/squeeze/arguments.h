/// `--name value` on a command line: a table of what is allowed, filled in place. Pure.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace holdfast::stress {

/// One option. Where it points says what it takes: a bool none, the others one word.
struct Option {
    std::string_view name;  // with its two dashes
    std::variant<bool*, std::uint64_t*, const char**> value;
    std::string_view about;
};

/// Reads the words after the program's name into `options`. The error is a sentence for the user.
[[nodiscard]] std::expected<void, std::string> parse_arguments(std::span<char* const> words,
                                                               std::span<const Option> options);

/// One line per option.
[[nodiscard]] std::string describe(std::span<const Option> options);

}  // namespace holdfast::stress
