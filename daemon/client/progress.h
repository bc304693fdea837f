/// A line on standard error that moves, when a person looks on and it takes more than a second.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"

namespace holdfast::daemon {

/// See the file comment. The line goes away when the object does.
class Progress {
public:
    /// `total` bytes are 100 %. Silent unless standard error is a terminal.
    Progress(std::string_view doing, std::uint64_t total_bytes);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();

    /// Cheap enough to call per request.
    void at(std::uint64_t done_bytes);

    /// "copying 42 %, 1.5 GiB of 3.6 GiB, 812 MiB/s"; for tests apart from the terminal.
    [[nodiscard]] static std::string line(std::string_view doing, std::uint64_t done_bytes,
                                          std::uint64_t total_bytes, Duration elapsed);

private:
    std::string doing_;
    std::uint64_t total_bytes_;
    bool is_terminal_;
    bool is_shown_ = false;
    Instant started_;
    Instant next_at_;
};

/// "512 B", "4.0 KiB", "1.5 GiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);

}  // namespace holdfast::daemon
