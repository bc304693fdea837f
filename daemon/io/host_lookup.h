/// Host names that came in a redirect (RFC 7143 section 13.8), between a driver that resolves
/// nothing and whoever does: control for an I/O process, the client for a session of its own.
///
/// Pure; bounded by its connections. Timer: kAnswerMax. Without an answer by then, or without an
/// address in it, the last address known for that name counts: the resolver may itself lie swapped
/// out on the device, and the name service may be away for the same reason as the target.
/// Limit: kKnownMax names are remembered, the oldest goes first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/engine.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

using HostName = FixedString<255>;
/// An IPv4 or IPv6 address in text, with a numeric scope at most.
using HostAddress = FixedString<63>;

/// See the file comment. Thread: the driver's.
class HostLookup {
public:
    static constexpr Duration kAnswerMax = Duration::from_s(5);
    static constexpr std::size_t kKnownMax = 4;

    /// What became of the name of one connection.
    struct Settled {
        initiator::ConnIndex conn{};
        std::uint16_t port = 0;
        std::optional<HostAddress> address{};  ///< Empty: not known.
    };

    /// The connection waits for this portal's host, until poll_settled() or cancel().
    void begin(initiator::ConnIndex conn, const initiator::Portal& portal, Instant now) noexcept;
    /// True when the connection was waiting.
    bool cancel(initiator::ConnIndex conn) noexcept;

    /// The next name to look up; each waiting name once.
    [[nodiscard]] std::optional<HostName> poll_wanted() noexcept;
    /// `address` empty: the name has none, or cannot be asked for now. Answers that nobody waits
    /// for are remembered, too.
    void on_answer(std::string_view host, const std::optional<HostAddress>& address) noexcept;

    [[nodiscard]] std::optional<Settled> poll_settled(Instant now) noexcept;
    [[nodiscard]] Instant next_wake() const noexcept;

private:
    static constexpr std::size_t kConnectionsMax = initiator::EngineLimits::kConnectionsMax;

    struct Waiting {
        initiator::Portal portal{};
        Instant deadline = Instant::never();
        bool is_wanted = false;    // Not polled yet.
        bool is_answered = false;  // `known_` has it, or nobody has.
        bool is_active = false;
    };
    struct Known {
        HostName host{};
        HostAddress address{};
    };

    void remember(std::string_view host, const HostAddress& address) noexcept;
    [[nodiscard]] Known* find(std::string_view host) noexcept;

    std::array<Waiting, kConnectionsMax> waiting_{};
    FixedVector<Known, kKnownMax> known_{};
};

}  // namespace holdfast::daemon
