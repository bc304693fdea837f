/// The machine's own watchdog, /dev/watchdog: it resets the machine when no sign of life comes in
/// time. Off unless the configuration asks for it.
#pragma once

#include "base/errno.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace holdfast::daemon {

/// See the file comment. From opening on it counts. One that is destroyed otherwise, such as by our
/// death, goes on counting.
class WatchdogDevice {
public:
    WatchdogDevice() noexcept = default;

    /// Opens `path` and asks for `timeout`, in whole seconds. What a device cannot do it rounds,
    /// and one without the question keeps its own; patience() says what holds. EBUSY: somebody else
    /// has it.
    [[nodiscard]] static OrErrno<WatchdogDevice> open(const char* path, Duration timeout) noexcept;

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(file_); }
    [[nodiscard]] Duration patience() const noexcept { return patience_; }
    void show_life() const noexcept;
    /// The orderly end: it stops counting, unless the kernel was told never to (nowayout).
    void stop() noexcept;

private:
    UniqueFd file_;
    Duration patience_{};
};

}  // namespace holdfast::daemon
