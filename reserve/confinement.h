/// Two layers of the sandbox that leave an armed process without files: a mount namespace in which
/// there is /dev and nothing else, and a Landlock domain without any file at all.
///
/// Neither is part of the promise about memory, so that their absence lowers no tier.
/// Effectful. Thread: the one that will be armed. In this order, and before the system call filter.
#pragma once

#include <span>

#include "reserve/protection.h"

namespace holdfast::reserve {

/// A mount namespace of our own, whose root is /dev, read-only: no file system that we might serve
/// is in it, and our end unmounts nothing. What stands in /dev is found in / from then on.
/// Needs CAP_SYS_ADMIN. Tried and told as one row.
[[nodiscard]] Protection leave_mounts() noexcept;

/// No file can be opened, made, moved or removed any more; what is open stays usable. Sets
/// no_new_privs. Tried and told as one row; kernels before 5.13, or booted without it, have none.
[[nodiscard]] Protection enter_landlock() noexcept;

/// The same for a process that may read every file and directory, and do anything but execute
/// beneath the `writable` folders; one that is not there is left out.
[[nodiscard]] Protection enter_landlock(std::span<const char* const> writable) noexcept;

}  // namespace holdfast::reserve
