/// What a ublk device is given when it serves: one setting of its queue, and an announcement, so
/// that udev rules see its names. A process of its own does it, because the kernel waits for every
/// request of the device meanwhile.
#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast::daemon {

/// True for kernels ("6.12.1-amd64") that notice the death of a ublk server only through a fetch
/// that is outstanding: before 6.16.
[[nodiscard]] bool kernel_needs_spare_tag(std::string_view release) noexcept;

/// Announces the device again. Where the kernel needs it, also lets the block layer use one tag
/// fewer than the device has, so that one fetch is always outstanding: with every tag in flight a
/// dead server is noticed after 30 s only. Blocks. A refusal of the second is a line on standard
/// error; one of the first does not matter, because there may be no udev.
void settle_device(std::int32_t id, std::uint16_t depth) noexcept;

}  // namespace holdfast::daemon
