/// From what the unit told us to the limits of a ublk device. Pure.
#pragma once

#include <cstdint>

#include "daemon/io/ublk_abi.h"
#include "initiator/device_facts.h"

namespace holdfast::daemon {

/// Limits for the block layer. `request_bytes_max`: largest data of one request, a multiple of
/// 4096. A unit that reports nothing about discards gets none.
[[nodiscard]] ublk::Params ublk_params_of(const initiator::DeviceFacts& facts,
                                          std::uint32_t request_bytes_max, bool read_only) noexcept;

/// The unit's size in 512-byte sectors.
[[nodiscard]] std::uint64_t ublk_sectors_of(const initiator::DeviceFacts& facts) noexcept;

}  // namespace holdfast::daemon
