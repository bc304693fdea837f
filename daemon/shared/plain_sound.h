/// Whether plain values that another process wrote can be used as what they claim to be. Pure.
#pragma once

#include <cstddef>
#include <cstring>

#include "base/fixed_vector.h"

namespace holdfast::daemon::plain {

/// A bool from another process may hold any byte, and reading such a bool is undefined.
inline bool is_sound(const bool& flag) noexcept {
    unsigned char raw = 0;
    std::memcpy(&raw, &flag, 1);
    return raw <= 1;
}

/// Its length may be any number.
template <std::size_t N>
bool is_sound(const FixedString<N>& text) noexcept {
    return text.size() <= N;
}

}  // namespace holdfast::daemon::plain
