/// Membership in a short list.
#pragma once

#include <algorithm>
#include <ranges>

namespace holdfast::target {

template <std::ranges::input_range List, class T>
[[nodiscard]] constexpr bool is_one_of(const T& value, const List& list) {
    return std::ranges::find(list, value) != std::ranges::end(list);
}

}  // namespace holdfast::target
