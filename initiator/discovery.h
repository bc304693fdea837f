/// One discovery session: log in, ask SendTargets=All, hand out what comes, log out. RFC 7143
/// sections 4.3, 6.4, 11.10 and appendix C. Pure, with the same transport calls as engine.h; one
/// connection, so they carry no index.
///
/// One try: the caller decides whether and when to try again, and with which portal. Redirects are
/// followed. Findings are taken one by one with poll_finding(); the next part of a long answer is
/// asked for only after the last was taken, so the answer may have any length.
///
/// The ISID must differ from those of sessions to units of the same target: a login with theirs
/// would reinstate, that is end, them (section 7.4.2).
///
/// Timers: one deadline of TimerConfig::login for connect and login together, for each text answer,
/// and for the logout. Limits: those of SendTargetsParser. Thread: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"
#include "initiator/engine.h"
#include "initiator/login/login.h"
#include "initiator/login/send_targets.h"
#include "initiator/session_config.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::initiator {

/// How it stands.
enum class DiscoveryResult : std::uint8_t {
    Running,
    Done,           ///< Everything was found; no target at all is a success too.
    ConnectFailed,  ///< No connection, or it broke.
    LoginFailed,    ///< login_failure() says why.
    ProtocolError,  ///< The target broke the protocol, rejected the question or sent it away.
    TimedOut,
};

class DiscoverySession;

class Discovery {
public:
    static void add_to_plan(reserve::MemoryPlan& plan) noexcept;
    /// Copies `config`; uses its names, first portal, ISID, auth, digests and timers.
    Discovery(const SessionConfig& config, reserve::Region& region) noexcept;
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;
    ~Discovery();

    void start(Instant now) noexcept;
    void transport_up(Instant now, const FreshRandom& random) noexcept;
    void transport_lost(Instant now) noexcept;
    [[nodiscard]] std::span<std::span<std::byte>> rx_spaces(
        std::span<std::span<std::byte>> out) noexcept;
    void rx_filled(Instant now, std::size_t bytes) noexcept;
    [[nodiscard]] std::span<std::span<const std::byte>> tx_spans(
        std::span<std::span<const std::byte>> out) noexcept;
    void tx_sent(std::size_t bytes) noexcept;

    /// Connect, Close, Reset as in engine.h; Stopped is the last one, then result() is final.
    [[nodiscard]] std::optional<Order> poll_order() noexcept;
    /// Poll until empty after every rx_filled.
    [[nodiscard]] std::optional<Finding> poll_finding(Instant now) noexcept;

    [[nodiscard]] Instant next_wake() const noexcept;
    void wake(Instant now) noexcept;

    [[nodiscard]] DiscoveryResult result() const noexcept;
    [[nodiscard]] const LoginFailure& login_failure() const noexcept;

private:
    DiscoverySession& session_;  // Carved from the region.
};

}  // namespace holdfast::initiator
