/// The station address of one neighbour, the peer or its router, kept fresh without the kernel; and
/// the answers to those who ask for ours. ARP: RFC 826, RFC 1122 section 2.3.2. Neighbour
/// discovery: RFC 4861 sections 7.2 and 7.3, as far as a host needs that talks to one neighbour.
/// Pure. Timer: due_, for the next question; kAskEvery, kConfirmFor.
///
/// A sender that hears from its peer's TCP knows that the neighbour is there: on_confirmed(). Only
/// in silence it is asked again, first alone and then by everybody's address. An answer for an
/// address that was not asked for changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.h"
#include "netpath/tcp/stream.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/ip.h"

namespace holdfast::netpath::tcp {

class Neighbour {
public:
    static constexpr Duration kAskEvery = Duration::from_s(1);     ///< RetransTimer, section 10.
    static constexpr Duration kConfirmFor = Duration::from_s(30);  ///< REACHABLE_TIME, section 10.
    static constexpr unsigned kAskedAlone = 3;  ///< MAX_UNICAST_SOLICIT, section 10.
    static constexpr std::size_t kFrameBytesMax =
        wire::kEthernetBytes + wire::kVlanBytes + wire::kIpv6Bytes + 32;

    /// `link.remote` is what is known already, from the kernel's table; zero: nothing.
    void start(Instant now, const wire::IpAddress& ours, const wire::IpAddress& theirs,
               const Link& link) noexcept;

    /// True: the frame was ARP or neighbour discovery about one of the two addresses. It is done
    /// with, and can still be shown to the kernel.
    [[nodiscard]] bool input(Instant now, std::span<const std::byte> frame) noexcept;
    /// A question or an answer; the bytes of it, or 0. `room` has kFrameBytesMax.
    [[nodiscard]] std::size_t output(Instant now, std::span<std::byte> room) noexcept;
    /// The peer's TCP made progress: RFC 4861 section 7.3.1.
    void on_confirmed(Instant now) noexcept;
    /// Somebody else, who sees all packets, heard an answer at `seen`. What is older than the last
    /// one, or the same, changes nothing.
    void on_heard(Instant seen, const wire::MacAddress& mac) noexcept;
    [[nodiscard]] Instant next_wake() const noexcept { return due_; }

    /// Something to send to. False before the first answer.
    [[nodiscard]] bool is_known() const noexcept { return link_.remote != wire::MacAddress{}; }
    [[nodiscard]] const Link& link() const noexcept { return link_; }
    /// Questions without an answer, since the last one.
    [[nodiscard]] unsigned unanswered() const noexcept { return unanswered_; }

private:
    /// Who asked for our address, and will be told.
    struct Answer {
        wire::MacAddress mac{};
        wire::IpAddress ip{};
        bool is_due = false;
    };

    [[nodiscard]] bool input_arp(Instant now, std::span<const std::byte> bytes) noexcept;
    [[nodiscard]] bool input_nd(Instant now, const wire::EthernetFrame& frame) noexcept;
    void learn(Instant now, const wire::MacAddress& mac) noexcept;
    void put_header(ByteWriter& out, const wire::MacAddress& to, std::uint16_t type) const noexcept;
    [[nodiscard]] std::size_t output_arp(std::span<std::byte> room, bool answers) noexcept;
    [[nodiscard]] std::size_t output_nd(std::span<std::byte> room, bool answers) noexcept;

    wire::IpAddress ours_{};
    wire::IpAddress theirs_{};
    Link link_{};
    Answer answer_{};
    Instant due_ = Instant::never();
    Instant heard_{};  // By somebody else.
    unsigned unanswered_ = 0;
};

}  // namespace holdfast::netpath::tcp
