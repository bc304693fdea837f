/// Keeps the classifier's table right for one attachment: the lease, and the flows of its session.
/// The kernel chooses the local ports, so a flow is everything that comes from a portal. Shared
/// memory only: for an armed loop. docs/classifier.md.
#pragma once

#include <span>
#include <string_view>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/session_config.h"
#include "netpath/classifier/table.h"

namespace holdfast::daemon {

/// See the file comment. Thread: the loop's.
class FlowGuard {
public:
    /// Portals that targets redirected us to, beside the configured ones.
    static constexpr std::size_t kRedirectsMax = 8;

    /// `table` outlives this.
    FlowGuard(const netpath::classifier::ClassifierTable& table,
              netpath::classifier::FlowOwner owner) noexcept
        : table_(&table), owner_(owner) {}

    /// What a predecessor left behind goes; the portals' flows come. False: the table is full.
    [[nodiscard]] bool begin(std::span<const initiator::Portal> portals, Instant now) noexcept;
    /// `portal`: the last one that was connected to.
    void on_turn(const initiator::Portal& portal, Instant now) noexcept;
    /// The flows go; the lease runs out by itself or is another attachment's.
    void end() noexcept { table_->remove_flows_of(owner_); }

private:
    [[nodiscard]] bool add(const initiator::Portal& portal) noexcept;

    const netpath::classifier::ClassifierTable* table_;
    netpath::classifier::FlowOwner owner_;
    FixedVector<initiator::Portal, 4> configured_;
    FixedVector<initiator::Portal, kRedirectsMax> redirects_;  // The oldest first.
    std::uint16_t last_port_ = 0;
    FixedString<255> last_host_;
};

}  // namespace holdfast::daemon
