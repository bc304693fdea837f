/// A unit port over a session of its own, in this process, with no daemon and no privileges.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/client/unit_port.h"
#include "daemon/io/driver.h"

namespace holdfast::daemon {

/// See the file comment.
class DriverPort final : public UnitPort {
public:
    /// Logs in and probes; fails when that has not succeeded after `timeout`, or when every portal
    /// refused once.
    [[nodiscard]] static OrFailure<std::unique_ptr<DriverPort>> open(const DriverConfig& config,
                                                                     Duration timeout);
    /// Logs out, within kCloseMax.
    ~DriverPort() override;

    [[nodiscard]] const initiator::DeviceFacts& facts() const override { return driver_.facts(); }
    [[nodiscard]] std::uint16_t depth() const override { return limits_.depth; }
    [[nodiscard]] std::uint32_t request_bytes_max() const override;
    [[nodiscard]] std::span<std::byte> buffer(std::uint16_t tag) override {
        return driver_.buffer(tag);
    }
    [[nodiscard]] initiator::Submitted submit(const initiator::Request& request) override {
        return driver_.submit(request);
    }
    [[nodiscard]] std::optional<initiator::Completion> poll_completion() override {
        return driver_.poll_completion();
    }
    [[nodiscard]] OrFailure<void> run_once(Duration wait_max) override;

    [[nodiscard]] const initiator::EngineCounters& counters() const {
        return driver_.engine_counters();
    }

private:
    static constexpr Duration kCloseMax = Duration::from_s(3);

    explicit DriverPort(const initiator::EngineLimits& limits) : limits_(limits) {}
    [[nodiscard]] OrFailure<void> log_in(std::size_t portals, Duration timeout);
    /// One turn, and what its redirects and notices ask for. Blocks while a name is resolved.
    void turn(Duration wait_max);
    void keep_notices();

    Driver driver_;
    initiator::EngineLimits limits_;
    bool is_open_ = false;
    std::vector<initiator::Notice> notices_;  ///< The last ones, oldest first.
    std::optional<Failure> unresolved_;       ///< The last redirect led to a name without address.
};

}  // namespace holdfast::daemon
