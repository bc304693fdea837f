/// The system call filter of the maker, which starts every other process of ours, and so of all of
/// them below their own: what none of them can ever need kills.
///
/// A list of what is forbidden, because the maker's children begin with different needs: programs
/// are started, rings made, BPF loaded, the module of the driver, too. What each of them may do
/// afterwards is in reserve/sandbox.h.
#pragma once

#include <span>
#include <string_view>

#include "reserve/protection.h"

namespace holdfast::reserve {

struct DeniedCall {
    int number;  ///< __NR_*.
    std::string_view name;
};

/// The whole table.
[[nodiscard]] std::span<const DeniedCall> denied_calls() noexcept;

/// Loads the filter for ever and reads back that one is on. Sets no_new_privs. The 32-bit and x32
/// interfaces are closed with it.
[[nodiscard]] Protection enter_deny_filter() noexcept;

}  // namespace holdfast::reserve
