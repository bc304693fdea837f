/// One row per protection: what was asked for, what the kernel says, and what to do about the
/// difference (design, invariant 9). Plain data, so that it can be published in shared memory.
#pragma once

#include <string_view>

#include "base/fixed_vector.h"

namespace holdfast::reserve {

/// `found` is always read from the kernel after setting, never assumed.
struct Protection {
    FixedString<31> name;
    FixedString<31> wanted;
    FixedString<31> found;
    FixedString<95> advice;  ///< What an operator can do. Empty when it holds.
    bool holds = false;
    bool lowers_tier = true;  ///< When it does not hold. False: it is no part of the promise.
};

/// Enough for every row that one process can have.
using Protections = FixedVector<Protection, 24>;

/// A row from texts that are cut where they do not fit.
[[nodiscard]] inline Protection protection(std::string_view name, std::string_view wanted,
                                           std::string_view found, bool holds,
                                           std::string_view advice) noexcept {
    Protection row;
    row.name.assign_cut(name);
    row.wanted.assign_cut(wanted);
    row.found.assign_cut(found);
    if (!holds) row.advice.assign_cut(advice);
    row.holds = holds;
    return row;
}

/// A layer of the sandbox without which the promise still stands.
[[nodiscard]] inline Protection layer(std::string_view name, std::string_view wanted,
                                      std::string_view found, bool holds,
                                      std::string_view advice) noexcept {
    Protection row = protection(name, wanted, found, holds, advice);
    row.lowers_tier = false;
    return row;
}

}  // namespace holdfast::reserve
