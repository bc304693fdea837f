#include "tests/path_sim/server.h"

#include <algorithm>
#include <array>

#include "netpath/wire/ip.h"
#include "netpath/wire/tcp.h"

namespace holdfast::path_sim {

using netpath::tcp::Fact;

void Server::input(Instant now, const Frame& frame) {
    for (auto& [port, peer] : peers_)
        if (peer->end.input(now, frame)) return;
    const auto ethernet = netpath::wire::parse_ethernet(frame);
    if (!ethernet) return;
    const auto packet = netpath::wire::parse_ipv4(ethernet->payload);
    if (!packet || packet->to != ends_.theirs) return;
    const auto segment = netpath::wire::parse_tcp(*packet);
    if (!segment || segment->header.to_port != kTargetPort) return;
    if (segment->header.flags != netpath::wire::kSyn) return;
    open(now, segment->header.from_port, frame);
}

void Server::open(Instant now, std::uint16_t their_port, const Frame& frame) {
    auto& place = peers_[their_port];
    place = std::make_unique<Peer>(limits_, options_);
    const netpath::wire::Flow flow{.local = ends_.theirs,
                                   .remote = ends_.ours,
                                   .local_port = kTargetPort,
                                   .remote_port = their_port};
    place->end.stream().connect_with(
        now, flow, ends_.their_link,
        {.isn = netpath::tcp::Seq{static_cast<std::uint32_t>(random_.next())},
         .timestamp_offset = static_cast<std::uint32_t>(random_.next())});
    place->end.input(now, frame);
}

void Server::use(Instant now, Peer& peer) {
    auto& stream = peer.end.stream();
    if (stream.next_wake() <= now) stream.wake(now);
    bool peer_closed = false;
    while (const auto fact = stream.poll_fact()) {
        if (fact->kind == Fact::Kind::Up) peer.link = target_.accept(now, "192.0.2.2:3260");
        if (fact->kind == Fact::Kind::PeerClosed) peer_closed = true;
        if (fact->kind == Fact::Kind::Ended) peer.has_ended = true;
    }
    while (peer.link && !stream.rx_front().empty()) {
        const auto room = target_.rx_space(*peer.link);
        if (room.empty()) break;
        const auto front = stream.rx_front();
        const std::size_t part = std::min(room.size(), front.size());
        std::memcpy(room.data(), front.data(), part);
        stream.rx_taken(now, static_cast<std::uint32_t>(part));
        target_.rx_filled(*peer.link, part, now);
    }
    if (peer.link && (peer.has_ended || peer_closed)) {
        target_.lost(*peer.link, now);
        peer.link.reset();
        if (!peer.has_ended) stream.close(now);
    }
    while (stream.poll_returned_piece()) peer.lent.pop_front();
    if (peer.link) send(now, peer);
    if (!peer.end.take_frames_back()) complain("the target's end: a frame came back twice");
    if (!peer.end.is_account_right()) complain("the target's end: a frame is missing");
}

void Server::send(Instant now, Peer& peer) {
    auto& stream = peer.end.stream();
    for (bool takes_more = true; takes_more;) {
        std::array<target::Bytes, 16> pieces;
        const std::size_t count = target_.tx_gather(*peer.link, pieces);
        takes_more = count > 0;
        for (std::size_t i = 0; i < count; ++i) {
            peer.lent.emplace_back(pieces[i].begin(), pieces[i].end());
            takes_more = stream.try_send(peer.lent.back(), 0);
            if (!takes_more) {
                peer.lent.pop_back();
                break;
            }
            target_.tx_sent(*peer.link, pieces[i].size());
        }
    }
    const auto wish = target_.wish(*peer.link);
    if (wish == target::LinkWish::Keep || peer.is_closing) return;
    peer.is_closing = true;
    if (wish == target::LinkWish::Close) return stream.close(now);
    stream.reset(now);
}

void Server::turn(Instant now, Micros micros, Wire& out) {
    for (auto& [port, peer] : peers_) {
        use(now, *peer);
        while (auto frame = peer->end.output(now, true)) out.carry(micros, std::move(*frame));
    }
}

Instant Server::next_wake() const {
    Instant next = target_.next_wake();
    for (const auto& [port, peer] : peers_) next = earlier(next, peer->end.stream().next_wake());
    return next;
}

}  // namespace holdfast::path_sim
