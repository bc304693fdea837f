// World: the wire. Loans are used late: what the engine lends is read or written only when the
// transport gets to it, so that a buffer that changes hands too early is noticed.
#include <algorithm>
#include <cstring>

#include "tests/sim/allocation_guard.h"
#include "tests/sim/world.h"

namespace holdfast::sim {

using initiator::ConnIndex;
using initiator::Engine;
using initiator::FreshRandom;

namespace {

constexpr ConnIndex kConn{0};
constexpr std::size_t kReadAhead = 256 * 1024;

}  // namespace

Micros World::delay() {
    const Micros usual = 20 + static_cast<Micros>(random_.below(200));
    return random_.one_in(50) ? usual * 50 : usual;
}

void World::open_link() {
    if (link_) return fail("Connect while a connection is open");
    link_.emplace();
    const bool is_refused = restart_done_at_ != kNever || (faults_on_ && random_.one_in(12));
    if (is_refused) {
        link_->fails_at = now_ + delay();
    } else if (is_link_down_) {
        link_->fails_at = now_ + 3'000'000;
    } else {
        link_->up_at = now_ + 2 * delay();
        if (faults_on_ && random_.one_in(4)) link_->cut_after = random_.below(60'000);
    }
}

void World::cut_for_target() {
    if (link_->is_dead_for_target || link_->conn == 0) return;
    link_->is_dead_for_target = true;
    target_->lost(link_->conn);
}

void World::take_tx() {
    if (tx_at_ > now_ || tx_lent_.empty()) return;
    tx_at_ = kNever;
    std::size_t total = 0;
    for (const auto span : tx_lent_) total += span.size();
    std::size_t most = random_.one_in(3) ? 1 + random_.below(total) : total;
    Bytes taken;
    for (const auto span : tx_lent_) {
        const std::size_t part = std::min(span.size(), most);
        const auto bytes = span.first(part);
        const auto at = taken.size();
        taken.resize(at + part);
        std::memcpy(std::span{taken}.subspan(at).data(), bytes.data(), part);
        most -= part;
    }
    tx_lent_.clear();
    const std::size_t count = taken.size();
    for (const std::uint8_t byte : taken) mix(byte);
    if (!link_->has_gap && !link_->is_dead_for_target) {
        if (count >= link_->cut_after) {
            taken.resize(link_->cut_after);
            link_->peer_closed_at = now_ + delay();
        }
        link_->cut_after -= std::min<std::uint64_t>(link_->cut_after, count);
        wire_free_at_ = std::max(wire_free_at_, now_ + delay());
        link_->to_target.push_back({std::move(taken), wire_free_at_});
    }
    if (link_->is_leaving) return;  // The engine has said goodbye: too late to tell.
    const EngineScope scope;
    engine_->tx_sent(kConn, Instant::from_ns(now_ * 1000), count);
}

void World::fill_rx() {
    if (rx_lent_.empty() || rx_at_ > now_ || link_->arrived.empty()) return;
    rx_at_ = kNever;
    std::size_t most = std::min(kReadAhead, link_->arrived.size());
    if (random_.one_in(4)) most = 1 + random_.below(most);
    std::size_t moved = 0;
    for (const auto space : rx_lent_) {
        const std::size_t part = std::min(space.size(), most - moved);
        std::memcpy(space.data(), std::span{link_->arrived}.subspan(moved).data(), part);
        moved += part;
    }
    rx_lent_.clear();
    link_->arrived.erase(link_->arrived.begin(),
                         link_->arrived.begin() + static_cast<std::ptrdiff_t>(moved));
    mix(moved);
    if (link_->is_leaving) return;
    const EngineScope scope;
    engine_->rx_filled(kConn, Instant::from_ns(now_ * 1000), moved);
}

void World::deliver_to_target() {
    while (!link_->to_target.empty() && link_->to_target.front().at <= now_) {
        const Chunk chunk = std::move(link_->to_target.front());
        link_->to_target.pop_front();
        if (link_->is_dead_for_target || link_->conn == 0) continue;
        target_->receive(link_->conn, now_, chunk.bytes);
    }
}

void World::deliver_to_us() {
    if (link_->conn != 0) {
        Bytes output = target_->take_output(link_->conn);
        const bool is_lost = link_->has_gap || link_->is_dead_for_target;
        if (!output.empty() && !is_lost) {
            const Micros last = link_->to_us.empty() ? now_ : link_->to_us.back().at;
            link_->to_us.push_back({std::move(output), std::max(last, now_ + delay())});
        }
        if (target_->wants_close(link_->conn) && link_->peer_closed_at == kNever) {
            const Micros last = link_->to_us.empty() ? now_ : link_->to_us.back().at;
            link_->peer_closed_at = last + delay();
        }
    }
    while (!link_->to_us.empty() && link_->to_us.front().at <= now_) {
        const Bytes& bytes = link_->to_us.front().bytes;
        link_->arrived.insert(link_->arrived.end(), bytes.begin(), bytes.end());
        link_->to_us.pop_front();
        if (rx_at_ == kNever) rx_at_ = now_ + static_cast<Micros>(random_.below(30));
    }
}

/// Our end is gone; the engine is not told.
void World::drop_link() {
    if (!link_) return;
    // What is on its way arrives before the reset does, unless the reset is lost.
    while (!link_->to_target.empty() && !link_->is_dead_for_target && !is_link_down_ &&
           link_->conn != 0) {
        target_->receive(link_->conn, now_, link_->to_target.front().bytes);
        link_->to_target.pop_front();
    }
    const bool learns = !is_link_down_ && !(faults_on_ && random_.one_in(4));
    if (learns) cut_for_target();
    link_.reset();
    tx_lent_.clear();
    rx_lent_.clear();
    tx_at_ = rx_at_ = kNever;
}

void World::end_link() {
    drop_link();
    const EngineScope scope;
    engine_->transport_lost(kConn, Instant::from_ns(now_ * 1000));
}

void World::move_wire() {
    if (!link_) return;
    if (link_->fails_at <= now_) return end_link();
    if (link_->up_at <= now_ && !link_->is_up) {
        link_->is_up = true;
        link_->up_at = kNever;
        link_->conn = target_->accept();
        FreshRandom fresh{};
        for (std::byte& byte : fresh) byte = static_cast<std::byte>(random_.next());
        const EngineScope scope;
        engine_->transport_up(kConn, Instant::from_ns(now_ * 1000), fresh);
    }
    take_tx();
    deliver_to_target();
    deliver_to_us();
    fill_rx();
    const bool is_drained = link_->arrived.empty() && link_->to_us.empty();
    const bool is_closed = link_->peer_closed_at <= now_ && (is_drained || random_.one_in(3));
    if (link_->gone_at <= now_ || (is_closed && !link_->is_leaving)) end_link();
}

void World::lend_spans() {
    if (!link_ || !link_->is_up || link_->is_leaving) return;
    const EngineScope scope;
    if (tx_lent_.empty()) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        const auto spans = engine_->tx_spans(kConn, Instant::from_ns(now_ * 1000), room);
        const ForeignScope pause;
        tx_lent_.assign(spans.begin(), spans.end());
        if (!tx_lent_.empty()) tx_at_ = now_ + static_cast<Micros>(random_.below(40));
    }
    if (rx_lent_.empty()) {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spaces = engine_->rx_spaces(kConn, room);
        const ForeignScope pause;
        rx_lent_.assign(spaces.begin(), spaces.end());
        if (!rx_lent_.empty()) rx_at_ = now_ + static_cast<Micros>(random_.below(30));
    }
}

Micros World::next_wire_event() const {
    if (!link_) return kNever;
    Micros next = std::min({link_->up_at, link_->fails_at, link_->gone_at});
    if (!tx_lent_.empty()) next = std::min(next, tx_at_);
    if (!rx_lent_.empty() && !link_->arrived.empty()) next = std::min(next, rx_at_);
    if (!link_->to_target.empty()) next = std::min(next, link_->to_target.front().at);
    if (!link_->to_us.empty()) next = std::min(next, link_->to_us.front().at);
    if (link_->peer_closed_at > now_) next = std::min(next, link_->peer_closed_at);
    return next;
}

}  // namespace holdfast::sim
