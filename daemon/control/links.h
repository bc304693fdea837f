/// /dev/holdfast/NAME, made and removed by control itself, because small systems have no udev. The
/// rules in daemon/install add by-id and by-path where there is one.
#pragma once

#include <string>
#include <string_view>

#include "base/errno.h"

namespace holdfast::daemon {

/// Makes or replaces DIRECTORY/NAME -> device, atomically.
[[nodiscard]] OrErrno<void> make_link(const std::string& directory, std::string_view name,
                                      const std::string& device);

/// Removes the link if there is one; anything but a symbolic link stays.
void remove_link(const std::string& directory, std::string_view name);

}  // namespace holdfast::daemon
