/// Where to connect next: the configured portals in turn, or where a target sent us.
/// RFC 7143 sections 11.13.5 and 13.8. Pure; no timers. Limit: kRedirectsMax hops for one login.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/assert.h"
#include "initiator/session_config.h"

namespace holdfast::initiator {

class PortalChoice {
public:
    /// Hops before a chain of redirects counts as a loop.
    static constexpr std::uint16_t kRedirectsMax = 8;

    /// The portal for the next connect. A temporary redirect serves once.
    [[nodiscard]] const Portal& current(const SessionConfig& config) const noexcept {
        if (temporary_) return *temporary_;
        if (permanent_) return *permanent_;
        HF_ASSERT(index_ < config.portals.size());
        return config.portals[index_];
    }

    /// False when the chain is too long: that login has failed.
    [[nodiscard]] bool on_redirect(const Portal& to, bool is_permanent) noexcept {
        if (hops_ == kRedirectsMax) return false;
        ++hops_;
        if (is_permanent) {
            permanent_ = to;
            temporary_.reset();
        } else {
            temporary_ = to;
        }
        return true;
    }
    [[nodiscard]] std::uint16_t hops() const noexcept { return hops_; }

    /// A login succeeded: the chain is over, and what was temporary has served.
    void on_logged_in() noexcept {
        hops_ = 0;
        temporary_.reset();
    }
    /// Connect or login failed: back to what the operator configured, the next one in turn.
    void on_failed(const SessionConfig& config) noexcept {
        const bool was_redirected = temporary_ || permanent_;
        hops_ = 0;
        temporary_.reset();
        permanent_.reset();
        if (!was_redirected) index_ = (index_ + 1) % config.portals.size();
    }

private:
    std::size_t index_ = 0;
    std::uint16_t hops_ = 0;
    std::optional<Portal> temporary_{};
    std::optional<Portal> permanent_{};
};

}  // namespace holdfast::initiator
