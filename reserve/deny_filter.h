/// The system call filter of a process that may block, allocate and open files, such as the control
/// process: what it can never need kills it. It cannot start a program or a process, look into
/// another one, change mounts, namespaces, users or modules, nor make a ring, whose operations no
/// filter sees.
///
/// A list of what is forbidden, because resolvers and their plug-ins need what nobody can list.
#pragma once

#include <span>
#include <string_view>

#include "reserve/protection.h"

namespace holdfast::reserve {

struct DeniedCall {
    int number;  ///< __NR_*.
    std::string_view name;
};

/// The whole table. clone is denied unless it makes a thread; clone3, whose flags a filter cannot
/// see, is answered with ENOSYS.
[[nodiscard]] std::span<const DeniedCall> denied_calls() noexcept;

/// Loads the filter for ever and reads back that one is on. Sets no_new_privs. Uses the heap.
[[nodiscard]] Protection enter_deny_filter() noexcept;

}  // namespace holdfast::reserve
