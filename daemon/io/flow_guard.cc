#include "daemon/io/flow_guard.h"

#include <algorithm>
#include <optional>

#include "netpath/io/socket_address.h"

namespace holdfast::daemon {

namespace {

std::optional<netpath::steer::FlowRule> rule_for(const initiator::Portal& portal) noexcept {
    const auto address = netpath::SocketAddress::from_text(portal.host.view(), portal.port);
    if (!address || portal.port == 0) return {};
    return netpath::steer::FlowRule{.flow = {.remote = address->ip(), .remote_port = portal.port},
                                    .path = netpath::steer::FlowPath::Kernel};
}

bool is_same(const initiator::Portal& a, const initiator::Portal& b) noexcept {
    return a.port == b.port && a.host == b.host;
}

}  // namespace

bool FlowGuard::add(const initiator::Portal& portal) noexcept {
    const auto rule = rule_for(portal);
    return rule && table_->try_add_flow(owner_, *rule);
}

bool FlowGuard::begin(std::span<const initiator::Portal> portals, Instant now) noexcept {
    table_->remove_flows_of(owner_);
    table_->renew_lease(now);
    bool fits = true;
    for (const initiator::Portal& portal : portals)
        fits = configured_.try_push(portal) && add(portal) && fits;
    return fits;
}

void FlowGuard::on_turn(const initiator::Portal& portal, Instant now) noexcept {
    table_->renew_lease(now);
    if (portal.port == 0 || (portal.port == last_port_ && portal.host == last_host_)) return;
    last_port_ = portal.port;
    last_host_ = portal.host;
    const auto is_this = [&portal](const initiator::Portal& one) { return is_same(one, portal); };
    if (std::ranges::any_of(configured_, is_this) || std::ranges::any_of(redirects_, is_this))
        return;
    if (redirects_.full()) {
        if (const auto oldest = rule_for(redirects_[0])) table_->remove_flow(owner_, *oldest);
        std::shift_left(redirects_.begin(), redirects_.end(), 1);
        redirects_.pop();
    }
    redirects_.push(portal);
    static_cast<void>(add(portal));
}

}  // namespace holdfast::daemon
