/// One setting of a ublk device's queue, which only a process that may block can make: the kernel
/// waits for every request of the device meanwhile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/errno.h"

namespace holdfast::daemon {

/// True for kernels ("6.12.1-amd64") that notice the death of a ublk server only through a fetch
/// that is outstanding: before 6.16.
[[nodiscard]] bool kernel_needs_spare_tag(std::string_view release) noexcept;

/// Lets the block layer use one tag fewer than the device has, so that one fetch is always
/// outstanding: with every tag in flight a dead server is noticed after 30 s only. Does nothing
/// where the kernel does not need it, or the device is too shallow.
[[nodiscard]] OrErrno<void> spare_one_tag(const std::string& device, std::uint16_t depth);

}  // namespace holdfast::daemon
