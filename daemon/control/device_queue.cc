#include "daemon/control/device_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>

#include "base/unique_fd.h"

namespace holdfast::daemon {

namespace {

// The least that the block layer takes for nr_requests: BLKDEV_MIN_RQ.
constexpr std::uint16_t kRequestsMin = 4;

}  // namespace

bool kernel_needs_spare_tag(std::string_view release) noexcept {
    int major = 0;
    int minor = 0;
    const auto [dot, error] = std::from_chars(release.begin(), release.end(), major);
    if (error != std::errc{} || dot == release.end() || *dot != '.') return true;
    const std::string_view rest =
        release.substr(static_cast<std::size_t>(dot - release.begin()) + 1);
    if (std::from_chars(rest.begin(), rest.end(), minor).ec != std::errc{}) return true;
    return major < 6 || (major == 6 && minor < 16);
}

OrErrno<void> spare_one_tag(const std::string& device, std::uint16_t depth) {
    utsname names{};
    if (::uname(&names) == 0 && !kernel_needs_spare_tag(&names.release[0])) return {};
    if (depth <= kRequestsMin) return {};
    const std::string path =
        fmt::format("/sys/class/block/{}/queue/nr_requests", device.substr(device.rfind('/') + 1));
    const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!fd) return std::unexpected{Errno::last()};
    const std::string value = fmt::format("{}", depth - 1);
    if (::write(fd.get(), value.data(), value.size()) < 0) return std::unexpected{Errno::last()};
    return {};
}

}  // namespace holdfast::daemon
