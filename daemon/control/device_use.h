/// Who uses a block device, so that it is not taken away under a file system or a swap area.
#pragma once

#include <optional>
#include <string>

namespace holdfast::daemon {

/// "it is a swap area", "it is mounted on /srv", "dm-0 stands on it"; empty when nobody is seen to
/// use it. Partitions count. Reads /proc and /sys.
[[nodiscard]] std::optional<std::string> use_of_device(const std::string& device);

}  // namespace holdfast::daemon
