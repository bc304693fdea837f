// World: the wire. Loans are used late: what the engine lends is read or written only when the
// transport gets to it, so that a buffer that changes hands too early is noticed.
#include <algorithm>
#include <cstring>

#include "tests/sim/allocation_guard.h"
#include "tests/sim/coverage.h"
#include "tests/sim/world.h"

namespace holdfast::sim {

using initiator::ConnIndex;
using initiator::Engine;
using initiator::FreshRandom;

namespace {

constexpr std::size_t kReadAhead = 256 * 1024;

}  // namespace

Micros World::delay() {
    const Micros usual = 20 + static_cast<Micros>(random_.below(200));
    return random_.one_in(50) ? usual * 50 : usual;
}

void World::open_link(ConnIndex index) {
    auto& place = links_.at(index.raw());
    if (place) return fail("Connect while a connection is open");
    Link& link = place.emplace();
    link.index = index;
    if (random_.one_in(2)) link.holds_for = 1 + static_cast<Micros>(random_.below(2000));
    const bool has_faults = faults_on_ && !is_calm_;
    const bool is_refused = restart_done_at_ != kNever || (has_faults && random_.one_in(12));
    if (has_faults && random_.one_in(30)) {
        // Nobody answers. A kernel tries for about so long; it is not asked to.
        if (random_.one_in(2)) link.fails_at = now_ + 130'000'000;
    } else if (is_refused) {
        link.fails_at = now_ + delay();
    } else if (is_link_down_) {
        link.fails_at = now_ + 3'000'000;
    } else {
        link.up_at = now_ + 2 * delay();
        if (has_faults && random_.one_in(survives_cuts_ ? 2 : 4))
            link.cut_after = random_.below(60'000);
    }
}

void World::cut_for_target(Link& link) {
    if (link.is_dead_for_target || link.conn == 0) return;
    link.is_dead_for_target = true;
    target_->lost(link.conn);
}

void World::take_tx(Link& link) {
    if (link.tx_at > now_ || link.tx_lent.empty()) return;
    if (link.is_tight && link.clog_to_target_until > now_ && !link.is_leaving) {
        tap().saw(Happening::Clogged);
        return;
    }
    link.tx_at = kNever;
    std::size_t total = 0;
    for (const auto span : link.tx_lent) total += span.size();
    std::size_t most = random_.one_in(3) ? 1 + random_.below(total) : total;
    Bytes taken;
    Held held{.spans = {}, .sent = {}, .until = now_ + link.holds_for};
    for (const auto span : link.tx_lent) {
        const std::size_t part = std::min(span.size(), most);
        const auto bytes = span.first(part);
        const auto at = taken.size();
        taken.resize(at + part);
        std::memcpy(std::span{taken}.subspan(at).data(), bytes.data(), part);
        most -= part;
        if (part > 0) held.spans.push_back(bytes);
    }
    link.tx_lent.clear();
    const std::size_t count = taken.size();
    held.sent = taken;
    for (const std::uint8_t byte : taken) mix(byte);
    if (!link.has_gap && !link.is_dead_for_target) {
        if (count >= link.cut_after) {
            taken.resize(link.cut_after);
            link.peer_closed_at = now_ + delay();
        }
        link.cut_after -= std::min<std::uint64_t>(link.cut_after, count);
        wire_free_at_ = std::max(wire_free_at_, now_ + delay());
        link.to_target.push_back({std::move(taken), wire_free_at_});
    }
    if (link.is_leaving) return;  // The engine has said goodbye: too late to tell.
    const EngineScope scope;
    engine_->tx_sent(link.index, Instant::from_ns(now_ * 1000), count);
    const ForeignScope pause;
    link.held.push_back(std::move(held));
}

void World::release_tx(Link& link) {
    while (!link.held.empty() && link.held.front().until <= now_) {
        const Held held = std::move(link.held.front());
        link.held.pop_front();
        std::size_t at = 0;
        for (const auto span : held.spans) {
            const auto sent = std::as_bytes(std::span{held.sent}).subspan(at, span.size());
            if (!std::ranges::equal(span, sent))
                return fail("bytes changed that the transport might have sent again");
            at += span.size();
        }
        if (link.is_leaving) continue;
        const EngineScope scope;
        engine_->tx_released(link.index, at);
    }
}

void World::fill_rx(Link& link) {
    if (link.rx_lent.empty() || link.rx_at > now_ || link.arrived.empty()) return;
    link.rx_at = kNever;
    std::size_t most = std::min(kReadAhead, link.arrived.size());
    if (random_.one_in(4)) most = 1 + random_.below(most);
    std::size_t moved = 0;
    for (const auto space : link.rx_lent) {
        const std::size_t part = std::min(space.size(), most - moved);
        std::memcpy(space.data(), std::span{link.arrived}.subspan(moved).data(), part);
        moved += part;
    }
    link.rx_lent.clear();
    link.arrived.erase(link.arrived.begin(),
                       link.arrived.begin() + static_cast<std::ptrdiff_t>(moved));
    mix(moved);
    if (link.is_leaving) return;
    const EngineScope scope;
    engine_->rx_filled(link.index, Instant::from_ns(now_ * 1000), moved);
}

void World::deliver_to_target(Link& link) {
    if (link.clog_to_target_until > now_) return;
    while (!link.to_target.empty() && link.to_target.front().at <= now_) {
        const Chunk chunk = std::move(link.to_target.front());
        link.to_target.pop_front();
        if (link.is_dead_for_target || link.conn == 0) continue;
        target_->receive(link.conn, now_, chunk.bytes);
    }
}

void World::deliver_to_us(Link& link) {
    if (link.conn != 0) {
        Bytes output = target_->take_output(link.conn);
        const bool is_lost = link.has_gap || link.is_dead_for_target;
        if (!output.empty() && !is_lost) {
            const Micros last = link.to_us.empty() ? now_ : link.to_us.back().at;
            link.to_us.push_back({std::move(output), std::max(last, now_ + delay())});
        }
        if (target_->wants_close(link.conn) && link.peer_closed_at == kNever) {
            const Micros last = link.to_us.empty() ? now_ : link.to_us.back().at;
            link.peer_closed_at = last + delay();
        }
    }
    while (!link.to_us.empty() && link.to_us.front().at <= now_ && link.clog_to_us_until <= now_) {
        const Bytes& bytes = link.to_us.front().bytes;
        link.arrived.insert(link.arrived.end(), bytes.begin(), bytes.end());
        link.to_us.pop_front();
        if (link.rx_at == kNever) link.rx_at = now_ + static_cast<Micros>(random_.below(30));
    }
}

/// Our end is gone; the engine is not told.
void World::drop_link(Link& link) {
    // What is on its way arrives before the reset does, unless the reset is lost.
    while (!link.to_target.empty() && !link.is_dead_for_target && !is_link_down_ &&
           link.conn != 0) {
        target_->receive(link.conn, now_, link.to_target.front().bytes);
        link.to_target.pop_front();
    }
    const bool learns = !is_link_down_ && !(faults_on_ && random_.one_in(4));
    if (learns) cut_for_target(link);
    links_.at(link.index.raw()).reset();
}

void World::end_link(Link& link) {
    const ConnIndex index = link.index;
    tap().saw(link.is_leaving ? Happening::TransportGone : Happening::TransportLost);
    drop_link(link);
    const EngineScope scope;
    engine_->transport_lost(index, Instant::from_ns(now_ * 1000));
}

void World::move_wire() {
    for (auto& link : links_) {
        if (link) move_link(*link);
    }
}

void World::move_link(Link& link) {
    if (link.fails_at <= now_) return end_link(link);
    if (link.up_at <= now_ && !link.is_up) {
        link.is_up = true;
        link.up_at = kNever;
        link.conn = target_->accept();
        FreshRandom fresh{};
        for (std::byte& byte : fresh) byte = static_cast<std::byte>(random_.next());
        tap().saw(Happening::TransportUp);
        const EngineScope scope;
        engine_->transport_up(link.index, Instant::from_ns(now_ * 1000), fresh);
    }
    take_tx(link);
    release_tx(link);
    deliver_to_target(link);
    deliver_to_us(link);
    fill_rx(link);
    const bool is_drained = link.arrived.empty() && link.to_us.empty();
    const bool is_closed = link.peer_closed_at <= now_ && (is_drained || random_.one_in(3));
    if (link.gone_at <= now_ || (is_closed && !link.is_leaving)) end_link(link);
}

void World::lend_spans() {
    for (auto& link : links_) {
        if (link) lend_spans_of(*link);
    }
}

void World::lend_spans_of(Link& link) {
    if (!link.is_up || link.is_leaving) return;
    const EngineScope scope;
    if (link.tx_lent.empty()) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        const auto spans = engine_->tx_spans(link.index, Instant::from_ns(now_ * 1000), room);
        const ForeignScope pause;
        link.tx_lent.assign(spans.begin(), spans.end());
        if (!link.tx_lent.empty()) link.tx_at = now_ + static_cast<Micros>(random_.below(40));
    }
    if (link.rx_lent.empty()) {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spaces = engine_->rx_spaces(link.index, room);
        const ForeignScope pause;
        link.rx_lent.assign(spaces.begin(), spaces.end());
        if (!link.rx_lent.empty()) link.rx_at = now_ + static_cast<Micros>(random_.below(30));
    }
}

Micros World::next_wire_event() const {
    Micros next = kNever;
    for (const auto& link : links_) {
        if (link) next = std::min(next, next_event_of(*link));
    }
    return next;
}

Micros World::next_event_of(const Link& link) const {
    Micros next = std::min({link.up_at, link.fails_at, link.gone_at});
    const Micros clogged_tx = link.is_tight && !link.is_leaving ? link.clog_to_target_until : 0;
    if (!link.tx_lent.empty()) next = std::min(next, std::max(link.tx_at, clogged_tx));
    if (!link.held.empty()) next = std::min(next, link.held.front().until);
    if (!link.rx_lent.empty() && !link.arrived.empty()) next = std::min(next, link.rx_at);
    return std::min(next, next_delivery_of(link));
}

/// What goes on without us.
Micros World::next_delivery_of(const Link& link) const {
    Micros next = kNever;
    if (!link.to_target.empty()) {
        next = std::max(link.to_target.front().at, link.clog_to_target_until);
    }
    if (!link.to_us.empty()) {
        next = std::min(next, std::max(link.to_us.front().at, link.clog_to_us_until));
    }
    if (link.peer_closed_at > now_) next = std::min(next, link.peer_closed_at);
    return next;
}

}  // namespace holdfast::sim
