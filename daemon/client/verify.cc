#include "daemon/client/verify.h"

#include <algorithm>

#include "daemon/client/pattern.h"
#include "daemon/client/progress.h"
#include "daemon/client/stream.h"

namespace holdfast::daemon {

namespace {

OrFailure<void> write_range(UnitPort& port, const UnitRange& range, std::uint64_t seed) {
    Progress progress{"writing", range.length_bytes};
    const auto written = write_stream(
        port, range,
        [&](std::span<std::byte> room, std::uint64_t address) -> OrFailure<std::size_t> {
            fill_pattern(room, address, seed);
            progress.at(address - range.offset_bytes);
            return room.size();
        });
    if (!written) return std::unexpected{written.error()};
    return flush(port);
}

OrFailure<void> check_range(UnitPort& port, const UnitRange& range, std::uint64_t seed) {
    Progress progress{"checking", range.length_bytes};
    return read_stream(
        port, range,
        [&](std::span<const std::byte> data, std::uint64_t address) -> OrFailure<void> {
            progress.at(address - range.offset_bytes);
            if (const auto mismatch = check_pattern(data, address, seed))
                return fail(ExitCode::Mismatch, sentence_of(*mismatch));
            return {};
        });
}

}  // namespace

OrFailure<VerifyResult> verify(UnitPort& port, const VerifyPlan& plan) {
    const std::uint64_t multiple =
        std::max<std::uint64_t>(port.facts().block_bytes, kPatternUnitBytes);
    const auto range = range_on(port.facts(), plan.range, multiple);
    if (!range) return std::unexpected{range.error()};
    if (plan.writes) {
        if (const auto written = write_range(port, *range, plan.seed); !written)
            return std::unexpected{written.error()};
    }
    if (const auto checked = check_range(port, *range, plan.seed); !checked)
        return std::unexpected{checked.error()};
    return VerifyResult{.bytes = range->length_bytes};
}

}  // namespace holdfast::daemon
