/// Flight recordings on disk: one file for each loss, the oldest ones given up. Blocking; never
/// synced, because the disk may be the very one that is lost.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/errno.h"

namespace holdfast::daemon {

/// Files are DIRECTORY/NAME-YYYYMMDDTHHMMSS.mmmZ.pcapng, mode 0600: names and block addresses are
/// nobody else's business. A directory that is not there is made.
class FlightStore {
public:
    /// At most `kept` files of each attachment; 0: nothing is ever written.
    FlightStore(std::string directory, std::uint32_t kept)
        : directory_(std::move(directory)), kept_(kept) {}

    [[nodiscard]] bool is_on() const noexcept { return kept_ > 0; }
    /// Writes and returns the path. `wall_ns`: when, since 1970, UTC.
    [[nodiscard]] OrErrno<std::string> keep(std::string_view name, std::int64_t wall_ns,
                                            std::string_view pcapng) const;

private:
    void drop_oldest(std::string_view name) const;

    std::string directory_;
    std::uint32_t kept_;
};

}  // namespace holdfast::daemon
