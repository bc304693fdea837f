#include "stress/target/target.h"

#include <algorithm>

#include "base/assert.h"
#include "stress/target/reset.h"

namespace holdfast::target {
namespace {

/// More waiting than this, and the connection is not read until some of it has left.
constexpr std::size_t kTxBytesMax = 8U << 20;

}  // namespace

Target::Target(TargetConfig config, std::vector<Storage> storages, Instant now)
    : config_(std::move(config)),
      random_(config_.seed),
      services_{.config = config_,
                .units = units_,
                .links = links_,
                .sessions = sessions_,
                .counters = counters_,
                .random = random_,
                .later = later_,
                .now = now},
      dark_until_(now),
      mute_until_(now) {
    HF_ASSERT(storages.size() == config_.luns.size());
    auto storage = storages.begin();
    for (auto& lun : config_.luns) {
        // The end of a name distinguishes; the same name and LUN always give the same serial.
        const std::string& name = config_.names.front();
        if (lun.serial.empty())
            lun.serial = "HF" + name.substr(name.size() - std::min<std::size_t>(name.size(), 40)) +
                         std::to_string(lun.id);
        Disk disk{std::move(*storage), lun.block_bytes, lun.cache};
        units_.emplace(lun.id, LogicalUnit{lun, std::move(disk)});
        ++storage;
    }
}

Target::~Target() = default;

LinkId Target::accept(Instant now, std::string local_address) {
    const LinkId id = next_link_++;
    ++counters_.connections;
    auto link = std::make_unique<Link>(id, config_, std::move(local_address), counters_);
    link->last_heard = now;
    link->mute_until = mute_until_;
    if (is_dark(now)) link->reset();
    services_.note("connection " + std::to_string(id) + ": accepted on " + link->local_address);
    links_.emplace(id, std::move(link));
    return id;
}

std::span<std::byte> Target::rx_space(LinkId id) {
    return wants_rx(id) ? links_.at(id)->rx.space() : std::span<std::byte>{};
}

bool Target::wants_rx(LinkId id) const {
    const Link& link = *links_.at(id);
    return link.state == LinkState::Open && !link.is_mute(services_.now) &&
           link.tx.pending_bytes() <= kTxBytesMax;
}

void Target::rx_filled(LinkId id, std::size_t count, Instant now) {
    services_.now = now;
    Link& link = *links_.at(id);
    link.rx.filled(count);
    link.last_heard = now;
    pump(link);
}

void Target::receive(LinkId id, Bytes bytes, Instant now) {
    while (!bytes.empty()) {
        const auto room = rx_space(id);
        if (room.empty()) return;
        const auto part = bytes.first(std::min(room.size(), bytes.size()));
        std::ranges::copy(part, room.begin());
        rx_filled(id, part.size(), now);
        bytes = bytes.subspan(part.size());
    }
}

void Target::pump(Link& link) {
    while (link.state == LinkState::Open && !link.is_mute(services_.now)) {
        const std::size_t data_max =
            link.full_feature && config_.operational.max_recv_data_segment_bytes != 0
                ? config_.operational.max_recv_data_segment_bytes
                : 8192;
        const auto next =
            link.rx.try_next(link.full_feature ? link.params.digests : DigestUse{}, data_max);
        if (!next) {
            if (next.error() == FrameFault::HeaderDigest) ++counters_.digest_errors;
            if (next.error() == FrameFault::DataTooLong)
                services_.violation("13.12: a data segment above MaxRecvDataSegmentLength");
            link.reset();
            return;
        }
        if (!*next) return;
        on_pdu(link, **next);
    }
}

std::size_t Target::tx_gather(LinkId id, std::span<Bytes> out) const {
    const Link& link = *links_.at(id);
    return link.is_mute(services_.now) ? 0 : link.tx.gather(out);
}

bool Target::tx_pending(LinkId id) const {
    const Link& link = *links_.at(id);
    return !link.is_mute(services_.now) && link.tx.pending_bytes() != 0;
}

void Target::tx_sent(LinkId id, std::size_t count) {
    links_.at(id)->tx.sent(count);
}

LinkWish Target::wish(LinkId id) const {
    const Link& link = *links_.at(id);
    switch (link.state) {
    case LinkState::Open: return LinkWish::Keep;
    case LinkState::ClosingAfterFlush:
        return link.tx.pending_bytes() == 0 ? LinkWish::Close : LinkWish::Keep;
    case LinkState::Resetting: return LinkWish::Reset;
    }
    return LinkWish::Reset;
}

void Target::lost(LinkId id, Instant now) {
    services_.now = now;
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    ++counters_.connections_lost;
    services_.note("connection " + std::to_string(id) + ": gone");
    const std::unique_ptr<Link> link = std::move(found->second);
    links_.erase(found);
    const auto owner = sessions_.find(link->session);
    if (owner == sessions_.end()) return;
    owner->second->remove_link(*link, services_);
    if (owner->second->is_empty()) sessions_.erase(owner);
}

Session* Target::session_of(const Link& link) {
    const auto found = sessions_.find(link.session);
    return found == sessions_.end() ? nullptr : found->second.get();
}

void Target::on_pdu(Link& link, const Pdu& pdu) {
    ++counters_.pdus_received;
    ++counters_.received[opcode_of(pdu.header)];
    PduFaults faults;
    if (!plan_.empty() && !apply_faults(link, pdu, faults)) return;
    handle(link, pdu, faults);
}

void Target::handle(Link& link, const Pdu& pdu, const PduFaults& faults) {
    if (!link.full_feature) {
        on_login(link, pdu);
        return;
    }
    Session* session = session_of(link);
    if (session == nullptr) {
        link.reset();
        return;
    }
    // What one connection brings may let others answer, or end them.
    std::vector<LinkId> all;
    if (session->links().size() > 1) all = session->links();
    session->on_pdu(link, pdu, faults, services_);
    for (const LinkId id : all) touch(id);
}

Instant Target::next_wake() const {
    Instant next = plan_.next_wake();
    if (!later_.empty()) next = earlier(next, later_.begin()->first);
    for (const auto& [id, link] : links_) {
        if (link->is_mute(services_.now)) next = earlier(next, link->mute_until);
        if (config_.ping_interval_ms != 0 && link->full_feature)
            next = earlier(next, link->last_heard + Duration::from_ms(config_.ping_interval_ms));
    }
    return next;
}

void Target::wake(Instant now) {
    services_.now = now;
    for (const FaultAction& fault : plan_.on_time(now)) apply_at_once(fault, nullptr);
    while (!later_.empty() && later_.begin()->first <= now) {
        const auto node = later_.extract(later_.begin());
        run_later(node.mapped());
    }
    for (const auto& [id, link] : links_) {
        if (link->mute_until == link->mute_seen || link->is_mute(now)) continue;
        link->mute_seen = link->mute_until;
        touch(id);
        pump(*link);
    }
    if (config_.ping_interval_ms != 0) ping_idle_links();
}

void Target::run_later(const LaterItem& item) {
    if (const auto* delayed = std::get_if<DelayedTask>(&item)) {
        const auto session = sessions_.find(delayed->session);
        if (session == sessions_.end()) return;
        session->second->run_delayed(delayed->itt, services_);
        for (const LinkId id : session->second->links()) touch(id);
    } else if (const auto* held = std::get_if<HeldWrite>(&item)) {
        const auto unit = units_.find(held->lun);
        if (unit == units_.end()) return;
        ++counters_.late_writes;
        const Outcome outcome = unit->second.run(held->cdb, held->data);
        const auto session = sessions_.find(held->task.session);
        if (session == sessions_.end()) return;
        session->second->finish_held(held->task.itt, outcome, services_);
        for (const LinkId id : session->second->links()) touch(id);
    } else if (const auto* end = std::get_if<RetainEnd>(&item)) {
        const auto session = sessions_.find(end->session);
        if (session == sessions_.end()) return;
        session->second->forget_link(end->link, services_);
        if (session->second->is_empty()) sessions_.erase(session);
    } else if (const auto* late = std::get_if<DelayedPdu>(&item)) {
        const auto link = links_.find(late->link);
        if (link == links_.end() || link->second->state != LinkState::Open) return;
        handle(*link->second, late->pdu.view(), {});
        touch(late->link);
    }
}

void Target::ping_idle_links() {
    const Duration interval = Duration::from_ms(config_.ping_interval_ms);
    for (const auto& [id, link] : links_) {
        if (!link->full_feature || services_.now < link->last_heard + interval) continue;
        Session* session = session_of(*link);
        if (session == nullptr || session->identity().discovery) continue;
        if (link->ping_outstanding) {
            link->reset();
        } else {
            session->send_ping(*link);
        }
        link->last_heard = services_.now;
        touch(id);
    }
}

std::vector<LinkId> Target::take_touched() {
    std::ranges::sort(touched_);
    const auto repeated = std::ranges::unique(touched_);
    touched_.erase(repeated.begin(), repeated.end());
    return std::exchange(touched_, {});
}

}  // namespace holdfast::target
