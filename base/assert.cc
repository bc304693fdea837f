#include "base/assert.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace holdfast {

namespace {

/// A failing write is ignored: there is nobody left to tell.
void say(std::string_view text) noexcept {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

void assert_failed(const char* expression, const char* file, int line) noexcept {
    std::array<char, 12> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), line).ptr;
    say("holdfast: assertion failed: ");
    say(expression);
    say(" at ");
    say(file);
    say(":");
    say({digits.begin(), end});
    say("\n");
    std::abort();
}

}  // namespace holdfast
