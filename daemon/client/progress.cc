#include "daemon/client/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "daemon/control/log_drain.h"

namespace holdfast::daemon {

namespace {

constexpr Duration kFirstAfter = Duration::from_s(1);
constexpr Duration kInterval = Duration::from_ms(200);

void write_error(const std::string& text) {
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

Progress::Progress(std::string_view doing, std::uint64_t total_bytes)
    : doing_(doing),
      total_bytes_(total_bytes),
      is_terminal_(::isatty(STDERR_FILENO) == 1),
      started_(monotonic_now()),
      next_at_(started_ + kFirstAfter) {}

Progress::~Progress() {
    if (is_shown_) write_error("\r\x1b[K");
}

void Progress::at(std::uint64_t done_bytes) {
    if (!is_terminal_) return;
    const Instant now = monotonic_now();
    if (now < next_at_) return;
    next_at_ = now + kInterval;
    is_shown_ = true;
    write_error("\r\x1b[K" + line(doing_, done_bytes, total_bytes_, now - started_));
}

std::string Progress::line(std::string_view doing, std::uint64_t done_bytes,
                           std::uint64_t total_bytes, Duration elapsed) {
    const double seconds = static_cast<double>(std::max<std::int64_t>(elapsed.ms(), 1)) / 1000.0;
    const auto rate = static_cast<std::uint64_t>(static_cast<double>(done_bytes) / seconds);
    if (total_bytes == 0)
        return fmt::format("{}: {}, {}/s", doing, size_text(done_bytes), size_text(rate));
    const double share = static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
    return fmt::format("{}: {:.0f} %, {} of {}, {}/s", doing, std::min(share, 1.0) * 100.0,
                       size_text(done_bytes), size_text(total_bytes), size_text(rate));
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) return fmt::format("{} B", bytes);
    double value = static_cast<double>(bytes) / 1024.0;
    std::size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < kUnits.size()) {
        value /= 1024.0;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace holdfast::daemon
