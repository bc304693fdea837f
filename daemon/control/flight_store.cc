#include "daemon/control/flight_store.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <vector>

#include "daemon/control/file.h"

namespace holdfast::daemon {

namespace {

constexpr std::string_view kSuffix = ".pcapng";
/// YYYYMMDDTHHMMSS.mmmZ
constexpr std::size_t kStampBytes = 20;

std::string stamp_of(std::int64_t wall_ns) {
    using namespace std::chrono;
    const system_clock::time_point when{
        duration_cast<system_clock::duration>(nanoseconds{wall_ns})};
    const auto ms = wall_ns / 1'000'000 % 1000;
    return fmt::format("{:%Y%m%dT%H%M%S}.{:03}Z", fmt::gmtime(system_clock::to_time_t(when)), ms);
}

/// Of this attachment, and of no other whose name begins the same.
bool is_of(std::string_view file, std::string_view name) {
    return file.size() == name.size() + 1 + kStampBytes + kSuffix.size() &&
           file.starts_with(name) && file.substr(name.size()).starts_with('-') &&
           file.ends_with(kSuffix);
}

}  // namespace

OrErrno<std::string> FlightStore::keep(std::string_view name, std::int64_t wall_ns,
                                       std::string_view pcapng) const {
    constexpr mode_t kDirectoryMode = 0700;
    constexpr mode_t kFileMode = 0600;
    if (const auto made = make_directories(directory_, kDirectoryMode); !made)
        return std::unexpected{made.error()};
    std::string path = fmt::format("{}/{}-{}{}", directory_, name, stamp_of(wall_ns), kSuffix);
    if (const auto written = write_file(path, pcapng, kFileMode); !written)
        return std::unexpected{written.error()};
    drop_oldest(name);
    return path;
}

void FlightStore::drop_oldest(std::string_view name) const {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (auto at = std::filesystem::directory_iterator{directory_, error};
         !error && at != std::filesystem::directory_iterator{}; at.increment(error)) {
        if (is_of(at->path().filename().string(), name)) files.push_back(at->path());
    }
    std::ranges::sort(files);  // Their names are their dates.
    const std::size_t surplus = files.size() > kept_ ? files.size() - kept_ : 0;
    for (std::size_t i = 0; i < surplus; ++i) std::filesystem::remove(files[i], error);
}

}  // namespace holdfast::daemon
