/// A range of bytes on a unit, judged against its size and block size. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "daemon/control/failure.h"
#include "initiator/device_facts.h"

namespace holdfast::daemon {

/// What the user asked for.
struct WantedRange {
    std::uint64_t offset_bytes = 0;
    std::optional<std::uint64_t> length_bytes{};  ///< Empty: up to the end.
};

/// Whole blocks within the unit.
struct UnitRange {
    std::uint64_t offset_bytes = 0;
    std::uint64_t length_bytes = 0;
};

[[nodiscard]] inline std::uint64_t size_bytes(const initiator::DeviceFacts& facts) {
    return facts.blocks * facts.block_bytes;
}

/// Fails when the range leaves the unit, is empty, or does not consist of whole multiples of
/// `multiple_bytes`.
[[nodiscard]] OrFailure<UnitRange> range_on(const initiator::DeviceFacts& facts,
                                            const WantedRange& wanted,
                                            std::uint64_t multiple_bytes);

}  // namespace holdfast::daemon
