/// A logical unit that takes requests: what reading, writing, verifying and measuring stand on.
/// The product has one behind it that drives an engine over TCP (driver_port.h); tests have one in
/// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"
#include "daemon/control/failure.h"
#include "initiator/device_facts.h"
#include "initiator/request.h"

namespace holdfast::daemon {

/// Thread: one.
class UnitPort {
public:
    UnitPort() = default;
    UnitPort(const UnitPort&) = delete;
    UnitPort& operator=(const UnitPort&) = delete;
    virtual ~UnitPort() = default;

    [[nodiscard]] virtual const initiator::DeviceFacts& facts() const = 0;
    /// Requests at once; tags are 0 up to depth - 1.
    [[nodiscard]] virtual std::uint16_t depth() const = 0;
    /// Data of one request at most; a multiple of 4096.
    [[nodiscard]] virtual std::uint32_t request_bytes_max() const = 0;
    /// The tag's own buffer, request_bytes_max() long.
    [[nodiscard]] virtual std::span<std::byte> buffer(std::uint16_t tag) = 0;
    [[nodiscard]] virtual initiator::Submitted submit(const initiator::Request& request) = 0;
    [[nodiscard]] virtual std::optional<initiator::Completion> poll_completion() = 0;
    /// Moves things on; sleeps at most `wait_max` when there is nothing to do. Fails when the
    /// session has ended for good.
    [[nodiscard]] virtual OrFailure<void> run_once(Duration wait_max) = 0;
};

}  // namespace holdfast::daemon
