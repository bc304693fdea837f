#include "daemon/io/crc_choice.h"

#include <algorithm>
#include <array>

#include "daemon/io/driver.h"
#include "reserve/memory_map.h"

namespace holdfast::daemon {

namespace {

using Update = std::uint32_t (*)(std::uint32_t, std::span<const std::byte>) noexcept;

Duration best_time(Update update) noexcept {
    constexpr int kTries = 5;
    constexpr std::array<std::byte, reserve::kPageBytes> kPage{};
    // Each try continues the last one, so that none can be left out.
    volatile std::uint32_t crc = 0;
    Duration best = Duration::max();
    for (int i = 0; i < kTries; ++i) {
        const Instant begin = Driver::clock();
        crc = update(crc, kPage);
        best = std::min(best, Driver::clock() - begin);
    }
    return best;
}

}  // namespace

initiator::CrcMethod quicker_crc_method() noexcept {
    using initiator::CrcMethod;
    return best_time(initiator::crc32c_tables) < best_time(initiator::crc32c_isal)
               ? CrcMethod::Tables
               : CrcMethod::Isal;
}

}  // namespace holdfast::daemon
