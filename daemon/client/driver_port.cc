#include "daemon/client/driver_port.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/control/failures.h"
#include "daemon/control/spec_builder.h"

namespace holdfast::daemon {

namespace {

constexpr Duration kPortTurn = Duration::from_ms(100);
constexpr std::size_t kNoticesMax = 32;
constexpr std::uint64_t kRequestStepBytes = 4096;  // What ports promise: UnitPort.

Failure failure_of_open(Errno error, bool demands_zero_copy) {
    if (error == Errno{ENOSYS} || error == Errno{EPERM})
        return {.code = ExitCode::NotPermitted,
                .sentence =
                    "io_uring is not available here; check kernel.io_uring_disabled and the "
                    "container's seccomp profile"};
    if (error == Errno{ENOMEM})
        return {.code = ExitCode::Failed,
                .sentence =
                    "the planned memory cannot be had; lower --depth or --request-size, or "
                    "raise ulimit -l"};
    // What a driver says that can only copy, or whose device does not let it.
    if (demands_zero_copy && (error == Errno{EOPNOTSUPP} || error == Errno{EINVAL}))
        return {.code = ExitCode::NotPermitted,
                .sentence =
                    "the interface's driver has no AF_XDP zero copy here; leave --zero-copy out"};
    return {
        .code = ExitCode::Failed,
        .sentence = fmt::format("cannot set up ring and sockets: {}; lower --depth", error.text())};
}

/// A target that refuses for reasons of its own (RFC 7143 section 11.13.5, class 3) may take us the
/// next time.
bool is_busy(const initiator::Notice& notice) noexcept {
    constexpr std::uint64_t kTargetErrorClass = 3;
    return notice.kind == initiator::NoticeKind::LoginRefused && notice.a >> 8 == kTargetErrorClass;
}

}  // namespace

OrFailure<std::unique_ptr<DriverPort>> DriverPort::open(const DriverConfig& config,
                                                        Duration timeout) {
    std::unique_ptr<DriverPort> port{new DriverPort{config.limits}};
    if (const auto opened = port->driver_.open(config); !opened)
        return std::unexpected{
            failure_of_open(opened.error(), config.reserved && config.reserved->demands_zero_copy)};
    port->is_open_ = true;
    port->driver_.start();
    if (const auto in = port->log_in(config.session.portals.size(), timeout); !in)
        return std::unexpected{in.error()};
    return port;
}

DriverPort::~DriverPort() {
    if (!is_open_) return;
    const Instant deadline = Driver::clock() + kCloseMax;
    const auto is_over = [this] {
        return driver_.state() == DriverState::Stopped || driver_.state() == DriverState::GaveUp;
    };
    if (is_over()) return;
    driver_.stop();
    while (!is_over() && Driver::clock() < deadline) {
        turn(kPortTurn);
        while (driver_.poll_completion()) continue;
    }
    if (!is_over()) driver_.stop();
}

// The unit's own limit (VPD B0) holds as well. One below a step cannot be kept; the unit says so.
std::uint32_t DriverPort::request_bytes_max() const {
    const initiator::DeviceFacts& facts = driver_.facts();
    const std::uint64_t unit_max = std::uint64_t{facts.transfer_blocks_max} * facts.block_bytes;
    if (unit_max == 0) return limits_.request_bytes_max;
    const std::uint64_t whole =
        std::max(unit_max - unit_max % kRequestStepBytes, kRequestStepBytes);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(limits_.request_bytes_max, whole));
}

OrFailure<void> DriverPort::log_in(std::size_t portals, Duration timeout) {
    const Instant deadline = Driver::clock() + timeout;
    while (driver_.state() == DriverState::Opening) {
        turn(kPortTurn);
        const auto refusals = std::ranges::count(notices_, initiator::NoticeKind::ConnectFailed,
                                                 &initiator::Notice::kind);
        const bool every_portal_refused = static_cast<std::size_t>(refusals) >= portals;
        const bool is_over = every_portal_refused && std::ranges::none_of(notices_, is_busy);
        if (is_over || Driver::clock() >= deadline) break;
    }
    if (driver_.state() == DriverState::Ready) return {};
    if (unresolved_) return std::unexpected{*unresolved_};
    return std::unexpected{failure_of_notices(notices_)};
}

OrFailure<void> DriverPort::run_once(Duration wait_max) {
    turn(wait_max);
    if (driver_.state() == DriverState::Ready) return {};
    return std::unexpected{failure_of_notices(notices_)};
}

void DriverPort::turn(Duration wait_max) {
    driver_.run_once(wait_max);
    while (const auto host = driver_.poll_host()) {
        const auto found = resolve_host(host->view());
        unresolved_ = found ? std::nullopt : std::optional{found.error()};
        driver_.answer_host(host->view(), found ? std::optional{*found} : std::nullopt);
    }
    keep_notices();
}

void DriverPort::keep_notices() {
    while (const auto notice = driver_.poll_notice()) {
        if (notices_.size() == kNoticesMax) notices_.erase(notices_.begin());
        notices_.push_back(*notice);
    }
}

}  // namespace holdfast::daemon
