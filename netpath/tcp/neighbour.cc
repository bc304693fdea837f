#include "netpath/tcp/neighbour.h"

#include <array>

#include "base/assert.h"
#include "netpath/wire/arp.h"
#include "netpath/wire/nd.h"

namespace holdfast::netpath::tcp {

using wire::MacAddress;

void Neighbour::start(Instant now, const wire::IpAddress& ours, const wire::IpAddress& theirs,
                      const Link& link) noexcept {
    HF_ASSERT(ours.is_v6() == theirs.is_v6());
    ours_ = ours;
    theirs_ = theirs;
    link_ = link;
    answer_ = {};
    unanswered_ = 0;
    heard_ = {};
    due_ = is_known() ? now + kConfirmFor : now;
}

void Neighbour::on_heard(Instant seen, const MacAddress& mac) noexcept {
    if (seen <= heard_) return;
    heard_ = seen;
    learn(seen, mac);
}

void Neighbour::on_confirmed(Instant now) noexcept {
    if (!is_known()) return;
    unanswered_ = 0;
    due_ = now + kConfirmFor;
}

void Neighbour::learn(Instant now, const MacAddress& mac) noexcept {
    // Nobody's own address is a group's.
    if (mac.is_group() || mac == MacAddress{}) return;
    link_.remote = mac;
    on_confirmed(now);
}

bool Neighbour::input(Instant now, std::span<const std::byte> frame) noexcept {
    const auto ethernet = wire::parse_ethernet(frame);
    if (!ethernet || ethernet->header.vlan != link_.vlan) return false;
    if (ethernet->header.ether_type == wire::kEtherArp && !ours_.is_v6())
        return input_arp(now, ethernet->payload);
    if (ethernet->header.ether_type == wire::kEtherIpv6 && ours_.is_v6())
        return input_nd(now, *ethernet);
    return false;
}

bool Neighbour::input_arp(Instant now, std::span<const std::byte> bytes) noexcept {
    const auto packet = wire::parse_arp(bytes);
    if (!packet) return false;
    const bool is_theirs = packet->sender_ip == theirs_;
    const bool is_for_us = packet->target_ip == ours_;
    // RFC 826 merges what is known already; an answer counts when it was sent to us.
    if (is_theirs && is_for_us) learn(now, packet->sender_mac);
    if (packet->operation != wire::ArpOperation::Request || !is_for_us) return is_theirs;
    answer_ = {.mac = packet->sender_mac, .ip = packet->sender_ip, .is_due = true};
    return true;
}

bool Neighbour::input_nd(Instant now, const wire::EthernetFrame& frame) noexcept {
    const auto packet = wire::parse_ipv6(frame.payload);
    if (!packet) return false;
    const auto message = wire::parse_nd(*packet);
    if (!message) return false;
    if (message->kind == wire::NdKind::Solicitation) {
        // Whoever has no address yet asks whether ours is taken: that is the kernel's to answer.
        const bool is_nobody = packet->from == wire::IpAddress::v6(std::array<std::byte, 16>{});
        if (message->target != ours_ || is_nobody) return false;
        answer_ = {.mac = message->link_address.value_or(frame.header.from),
                   .ip = packet->from,
                   .is_due = true};
        if (packet->from == theirs_ && message->link_address) learn(now, *message->link_address);
        return true;
    }
    if (message->target != theirs_) return false;
    // Section 7.2.5: without Override another address than the known one is not taken.
    const bool is_same = message->link_address && *message->link_address == link_.remote;
    if (message->link_address && (message->overrides || is_same || !is_known())) {
        learn(now, *message->link_address);
    } else if (message->is_solicited && !message->link_address) {
        on_confirmed(now);
    }
    return true;
}

void Neighbour::put_header(ByteWriter& out, const MacAddress& to,
                           std::uint16_t type) const noexcept {
    wire::put_ethernet(out,
                       {.to = to, .from = link_.local, .vlan = link_.vlan, .ether_type = type});
}

std::size_t Neighbour::output(Instant now, std::span<std::byte> room) noexcept {
    HF_ASSERT(room.size() >= kFrameBytesMax);
    const bool answers = answer_.is_due;
    if (!answers && now < due_) return 0;
    const std::size_t bytes = ours_.is_v6() ? output_nd(room, answers) : output_arp(room, answers);
    if (answers) {
        answer_.is_due = false;
    } else {
        ++unanswered_;
        due_ = now + kAskEvery;
    }
    return bytes;
}

std::size_t Neighbour::output_arp(std::span<std::byte> room, bool answers) noexcept {
    const bool asks_all = !is_known() || unanswered_ >= kAskedAlone;
    const MacAddress asked = asks_all ? MacAddress::broadcast() : link_.remote;
    ByteWriter out{room};
    put_header(out, answers ? answer_.mac : asked, wire::kEtherArp);
    wire::put_arp(out,
                  {.operation = answers ? wire::ArpOperation::Reply : wire::ArpOperation::Request,
                   .sender_mac = link_.local,
                   .sender_ip = ours_,
                   .target_mac = answers ? answer_.mac : MacAddress{},
                   .target_ip = answers ? answer_.ip : theirs_});
    HF_ASSERT(!out.overflowed());
    return out.used_bytes();
}

std::size_t Neighbour::output_nd(std::span<std::byte> room, bool answers) noexcept {
    const bool asks_all = !is_known() || unanswered_ >= kAskedAlone;
    const wire::IpAddress group = wire::solicited_node(theirs_);
    const wire::IpAddress to = answers ? answer_.ip : asks_all ? group : theirs_;
    const MacAddress mac = answers    ? answer_.mac
                           : asks_all ? wire::multicast_mac(group)
                                      : link_.remote;
    ByteWriter out{room};
    put_header(out, mac, wire::kEtherIpv6);
    wire::put_ip(out, {.from = ours_,
                       .to = to,
                       .protocol = wire::kProtocolIcmpV6,
                       .hop_limit = 255,
                       .payload_bytes = wire::kNdBytes});
    wire::put_nd(out,
                 {.kind = answers ? wire::NdKind::Advertisement : wire::NdKind::Solicitation,
                  .target = answers ? ours_ : theirs_,
                  .link_address = link_.local,
                  .is_solicited = answers,
                  .overrides = answers},
                 ours_, to);
    HF_ASSERT(!out.overflowed());
    return out.used_bytes();
}

}  // namespace holdfast::netpath::tcp
