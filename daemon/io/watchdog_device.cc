#include "daemon/io/watchdog_device.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace holdfast::daemon {

namespace {

void put(int file, char sign) noexcept {
    [[maybe_unused]] const ssize_t done = ::write(file, &sign, sizeof(sign));
}

}  // namespace

OrErrno<WatchdogDevice> WatchdogDevice::open(const char* path, Duration timeout) noexcept {
    WatchdogDevice made;
    made.file_ = UniqueFd{::open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!made.file_) return std::unexpected(Errno::last());
    int seconds = static_cast<int>(timeout.ms() / 1000);
    const bool is_set = ::ioctl(made.file_.get(), WDIOC_SETTIMEOUT, &seconds) == 0 ||
                        ::ioctl(made.file_.get(), WDIOC_GETTIMEOUT, &seconds) == 0;
    made.patience_ = is_set && seconds > 0 ? Duration::from_s(seconds) : timeout;
    return made;
}

void WatchdogDevice::show_life() const noexcept {
    if (file_) put(file_.get(), '\0');
}

void WatchdogDevice::stop() noexcept {
    if (!file_) return;
    put(file_.get(), 'V');  // The magic close: what comes last before the end.
    file_.reset();
}

}  // namespace holdfast::daemon
