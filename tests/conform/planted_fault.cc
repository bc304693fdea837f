/// The client with one of the simulator's planted faults in its engine: holdfast-sabotaged, for the
/// conformance suite alone. HOLDFAST_PLANTED_FAULT is the number of the fault, 0 is none; a run
/// that does not say which one it wants must not pass for a test of anything, so it ends with 2.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "initiator/session/sabotage.h"

namespace holdfast::initiator {

namespace {

[[nodiscard]] Sabotage wanted() {
    const char* const text = std::getenv("HOLDFAST_PLANTED_FAULT");
    const std::string_view word = text == nullptr ? "" : text;
    unsigned number = 0;
    const auto [end, error] = std::from_chars(word.begin(), word.end(), number);
    const bool is_known = number <= static_cast<unsigned>(Sabotage::ExcuseClogs);
    if (error != std::errc{} || end != word.end() || !is_known) {
        std::fputs(
            "holdfast-sabotaged: HOLDFAST_PLANTED_FAULT is to be a number of "
            "initiator/session/sabotage.h\n",
            stderr);
        std::exit(2);
    }
    return static_cast<Sabotage>(number);
}

}  // namespace

// Before main(), which is the client's own.
Sabotage planted_sabotage = wanted();
Denial planted_denial;

}  // namespace holdfast::initiator
