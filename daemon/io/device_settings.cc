#include "daemon/io/device_settings.h"

#include <sys/utsname.h>

#include <array>

#include "base/fixed_vector.h"
#include "daemon/io/child.h"
#include "reserve/kernel_file.h"
#include "reserve/number_text.h"

namespace holdfast::daemon {

namespace {

// The least that the block layer takes for nr_requests: BLKDEV_MIN_RQ.
constexpr std::uint16_t kRequestsMin = 4;

/// With its zero.
std::array<char, 64> path_of(std::int32_t id, std::string_view rest) noexcept {
    std::array<char, 64> path{};
    FixedString<63> text;
    text.assign_cut("/sys/class/block/ublkb");
    static_cast<void>(text.try_append(reserve::NumberText{id}.view()) && text.try_append(rest));
    text.view().copy(path.data(), path.size() - 1);
    return path;
}

bool spares_one_tag(std::int32_t id, std::uint16_t depth) noexcept {
    utsname names{};
    if (::uname(&names) == 0 && !kernel_needs_spare_tag(&names.release[0])) return true;
    if (depth <= kRequestsMin) return true;
    const auto path = path_of(id, "/queue/nr_requests");
    return reserve::write_kernel_number(path.data(), depth - 1).has_value();
}

}  // namespace

bool kernel_needs_spare_tag(std::string_view release) noexcept {
    const auto major = reserve::try_take_number<int>(release);
    if (!major || !release.starts_with('.')) return true;
    release.remove_prefix(1);
    const auto minor = reserve::try_take_number<int>(release);
    if (!minor) return true;
    return *major < 6 || (*major == 6 && *minor < 16);
}

void settle_device(std::int32_t id, std::uint16_t depth) noexcept {
    const auto events = path_of(id, "/uevent");
    static_cast<void>(reserve::write_kernel_file(events.data(), "change"));
    if (spares_one_tag(id, depth)) return;
    put_lines(
        "holdfastd: nr_requests of a device cannot be set: its death may go unnoticed for "
        "30 s\n");
}

}  // namespace holdfast::daemon
