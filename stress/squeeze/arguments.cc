#include "stress/squeeze/arguments.h"

#include <algorithm>
#include <charconv>

namespace holdfast::stress {
namespace {

bool takes_word(const Option& option) {
    return !std::holds_alternative<bool*>(option.value);
}

std::expected<void, std::string> assign(const Option& option, const char* word) {
    if (bool* const* flag = std::get_if<bool*>(&option.value)) {
        **flag = true;
        return {};
    }
    if (const char** const* text = std::get_if<const char**>(&option.value)) {
        **text = word;
        return {};
    }
    const std::string_view digits{word};
    std::uint64_t number = 0;
    const auto [end, code] = std::from_chars(digits.begin(), digits.end(), number);
    if (code != std::errc{} || end != digits.end())
        return std::unexpected{std::string{option.name} + " takes a whole number, not '" + word +
                               "'"};
    *std::get<std::uint64_t*>(option.value) = number;
    return {};
}

}  // namespace

std::expected<void, std::string> parse_arguments(std::span<char* const> words,
                                                 std::span<const Option> options) {
    while (!words.empty()) {
        const std::string_view name{words.front()};
        const auto option = std::ranges::find(options, name, &Option::name);
        if (option == options.end())
            return std::unexpected{"unknown option '" + std::string{name} + "'"};
        words = words.subspan(1);
        const char* word = nullptr;
        if (takes_word(*option)) {
            if (words.empty()) return std::unexpected{std::string{name} + " needs a value"};
            word = words.front();
            words = words.subspan(1);
        }
        if (auto assigned = assign(*option, word); !assigned) return assigned;
    }
    return {};
}

std::string describe(std::span<const Option> options) {
    std::string text;
    for (const Option& option : options) {
        text += "  ";
        text += option.name;
        text += takes_word(option) ? " VALUE  " : "  ";
        text += option.about;
        text += '\n';
    }
    return text;
}

}  // namespace holdfast::stress
