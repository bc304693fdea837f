#include "daemon/client/unit_range.h"

#include <fmt/format.h>

namespace holdfast::daemon {

OrFailure<UnitRange> range_on(const initiator::DeviceFacts& facts, const WantedRange& wanted,
                              std::uint64_t multiple_bytes) {
    const std::uint64_t size = size_bytes(facts);
    if (wanted.offset_bytes >= size)
        return fail(ExitCode::Usage,
                    fmt::format("the LUN has {} bytes, so --offset {} is beyond its end; choose a "
                                "smaller one",
                                size, wanted.offset_bytes));
    const std::uint64_t left = size - wanted.offset_bytes;
    std::uint64_t length = wanted.length_bytes.value_or(left - left % multiple_bytes);
    if (length > left)
        return fail(ExitCode::Usage,
                    fmt::format("the LUN has {} bytes from --offset on, but --length is {}; choose "
                                "a smaller one",
                                left, length));
    if (wanted.offset_bytes % multiple_bytes != 0 || length % multiple_bytes != 0 || length == 0)
        return fail(ExitCode::Usage,
                    fmt::format("--offset and --length must be multiples of {} bytes, and --length "
                                "not 0",
                                multiple_bytes));
    return UnitRange{.offset_bytes = wanted.offset_bytes, .length_bytes = length};
}

}  // namespace holdfast::daemon
