/// Control commands of the ublk driver, over a small ring of their own: they need large submission
/// entries, and the kernel runs them in a worker because they block.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/io/ublk_abi.h"

namespace holdfast::daemon {

/// See the file comment. Thread: the one that calls open(). One command at a time.
class UblkControl {
public:
    UblkControl() noexcept = default;
    UblkControl(const UblkControl&) = delete;
    UblkControl& operator=(const UblkControl&) = delete;
    ~UblkControl();

    /// Opens /dev/ublk-control; loads the module when it is not there. ENOENT: no driver.
    [[nodiscard]] OrErrno<void> open() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return opened_; }
    /// The ring takes commands to the driver's device and nothing else.
    [[nodiscard]] bool is_limited() const noexcept { return limited_; }
    /// Runs a command to its end. Blocks: only before arm(), and in a process that may block.
    [[nodiscard]] OrErrno<void> run(std::uint32_t operation,
                                    const ublk::ControlCommand& command) noexcept;
    /// Starts a command; its result comes from poll_result() once descriptor() has counted.
    [[nodiscard]] OrErrno<void> begin(std::uint32_t operation,
                                      const ublk::ControlCommand& command) noexcept;
    /// Zero or a negative errno; empty while the command runs.
    [[nodiscard]] std::optional<int> poll_result() noexcept;
    /// An eventfd that counts finished commands.
    [[nodiscard]] int descriptor() const noexcept { return finished_.get(); }

private:
    [[nodiscard]] OrErrno<void> set_up_ring() noexcept;

    UniqueFd device_;
    UniqueFd finished_;  // A ring cannot wait on another ring, but on this.
    io_uring ring_{};
    bool opened_ = false;
    bool limited_ = false;
};

}  // namespace holdfast::daemon
