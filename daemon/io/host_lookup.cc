#include "daemon/io/host_lookup.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::daemon {

using initiator::ConnIndex;
using initiator::Portal;

void HostLookup::begin(ConnIndex conn, const Portal& portal, Instant now) noexcept {
    Waiting& one = waiting_[conn.raw()];
    HF_ASSERT(!one.is_active && !portal.host.empty());
    one = {.portal = portal, .deadline = now + kAnswerMax, .is_wanted = true, .is_active = true};
}

bool HostLookup::cancel(ConnIndex conn) noexcept {
    const bool was_active = waiting_[conn.raw()].is_active;
    waiting_[conn.raw()] = {};
    return was_active;
}

std::optional<HostName> HostLookup::poll_wanted() noexcept {
    const auto next = std::ranges::find(waiting_, true, &Waiting::is_wanted);
    if (next == waiting_.end()) return {};
    for (Waiting& one : waiting_)
        if (one.portal.host == next->portal.host) one.is_wanted = false;
    HF_ASSERT(next->is_active);
    return next->portal.host;
}

void HostLookup::on_answer(std::string_view host,
                           const std::optional<HostAddress>& address) noexcept {
    if (address) remember(host, *address);
    for (Waiting& one : waiting_)
        if (one.is_active && one.portal.host.view() == host) one.is_answered = true;
}

void HostLookup::remember(std::string_view host, const HostAddress& address) noexcept {
    if (Known* const before = find(host)) {
        before->address = address;
        return;
    }
    Known made{.host = {}, .address = address};
    if (!made.host.try_assign(host)) return;  // No name that was asked for is so long.
    if (known_.full()) {
        std::shift_left(known_.begin(), known_.end(), 1);
        known_.pop();
    }
    known_.push(made);
}

std::optional<HostLookup::Settled> HostLookup::poll_settled(Instant now) noexcept {
    const auto done = std::ranges::find_if(waiting_, [now](const Waiting& one) {
        return one.is_active && (one.is_answered || one.deadline <= now);
    });
    if (done == waiting_.end()) return {};
    Settled settled{.conn = ConnIndex{static_cast<std::uint8_t>(done - waiting_.begin())},
                    .port = done->portal.port,
                    .address = {}};
    if (const Known* const known = find(done->portal.host.view())) settled.address = known->address;
    *done = {};
    return settled;
}

Instant HostLookup::next_wake() const noexcept {
    Instant until = Instant::never();
    for (const Waiting& one : waiting_) until = earlier(until, one.deadline);
    return until;
}

HostLookup::Known* HostLookup::find(std::string_view host) noexcept {
    for (Known& one : known_)
        if (one.host.view() == host) return &one;
    return nullptr;
}

}  // namespace holdfast::daemon
