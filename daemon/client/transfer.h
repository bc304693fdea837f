/// `holdfast read` and `holdfast write`: a range of the unit to or from a file descriptor.
#pragma once

#include <cstdint>

#include "daemon/client/unit_port.h"
#include "daemon/client/unit_range.h"

namespace holdfast::daemon {

/// Copies the range to `fd`. The offset must be a multiple of the block size, the length need not
/// be. Returns the bytes copied.
[[nodiscard]] OrFailure<std::uint64_t> read_to(UnitPort& port, const WantedRange& wanted, int fd);

/// Copies from `fd` up to its end, at most `wanted`'s length, and flushes. A tail that fills no
/// block keeps the rest of that block as it was. Fails when the input is longer than the room.
[[nodiscard]] OrFailure<std::uint64_t> write_from(UnitPort& port, const WantedRange& wanted,
                                                  int fd);

}  // namespace holdfast::daemon
