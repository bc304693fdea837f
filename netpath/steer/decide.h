/// What the classifier decides about each packet that arrives: the specification of the BPF program
/// in netpath/classifier, which must agree with it about every packet. Design, section 7. Pure.
///
/// A session's packets always arrive, and so do ICMP errors about them. Everything else passes
/// while memory is fine. Under pressure only ARP and neighbour discovery between us and those whom
/// we talk to pass, and what a token bucket allows for one TCP port; the rest is dropped. A
/// question for an address that our own TCP uses is answered on the spot (answer.h).
///
/// Nothing is judged that the receiver judges anyway: no checksum of IP or TCP, no length field.
/// Fragments and unknown IPv6 extension headers are nobody's: TCP with path MTU discovery sends
/// none.
///
/// Timers: how long a sign of pressure lasts, and the lease; both are compared by the caller of
/// decide().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"
#include "netpath/steer/answer.h"
#include "netpath/steer/rule.h"
#include "netpath/wire/address.h"

namespace holdfast::netpath::steer {

enum class Verdict : std::uint8_t {
    Pass,    ///< To the kernel.
    Drop,    ///< Before it costs memory.
    Socket,  ///< To the AF_XDP socket of the queue.
    Answer,  ///< Made into its answer and sent back.
};

/// Why. Each one is counted; the values are those of hf_reason in netpath/classifier/abi.h.
enum class Reason : std::uint8_t {
    Unleased,          ///< Passed: nobody renewed the lease.
    ToSocket,          ///< A session's, to its socket.
    NoSocket,          ///< A session's, dropped: the queue has no socket.
    ToKernel,          ///< A session's, passed.
    Calm,              ///< Passed: no pressure.
    Neighbour,         ///< ARP or neighbour discovery, passed under pressure.
    Management,        ///< To the management port, passed under pressure.
    ManagementExcess,  ///< To the management port, dropped: beyond its rate.
    Dropped,           ///< Anything else, dropped under pressure.
    Answered,          ///< Asked for an address of ours, under pressure.
};
inline constexpr std::uint8_t kReasonCount = 10;

/// What the decision depends on beside the packet. Borrows.
struct Situation {
    bool is_leased = false;
    bool is_pressed = false;
    bool has_socket = false;  ///< The queue's.
    std::span<const FlowRule> flows{};
    std::span<const wire::IpAddress> addresses{};   ///< Ours, on this interface.
    std::span<const OwnAddress> answered{};         ///< Those of them that we answer for.
    std::span<const wire::IpAddress> neighbours{};  ///< Whom we send to on this link.
    std::uint16_t management_port = 0;              ///< TCP; 0: none.
    bool has_token = false;                         ///< The bucket's answer, if it is asked.
};

/// What kind of packet it is, for counting.
struct PacketKind {
    bool is_ip = false;
    std::uint16_t protocol = 0;  ///< Of IP; without IP the EtherType, 0 when there is none.
    std::uint16_t port = 0;      ///< Destination port of TCP and UDP, type of ICMP, or 0.
    constexpr bool operator==(const PacketKind&) const noexcept = default;
};

/// Where a neighbour was seen to be.
struct Learned {
    wire::IpAddress address{};
    wire::MacAddress station{};
    constexpr bool operator==(const Learned&) const noexcept = default;
};

struct Decision {
    Verdict verdict = Verdict::Pass;
    Reason reason = Reason::Calm;
    PacketKind kind{};
    bool takes_token = false;          ///< The bucket was asked.
    std::optional<Learned> learned{};  ///< Of one of Situation::neighbours.
    std::optional<Answer> answer{};    ///< With Verdict::Answer: for write_answer().
};

/// `frame`: from the Ethernet header on, as far as the driver gives it in one piece.
[[nodiscard]] Decision decide(std::span<const std::byte> frame,
                              const Situation& situation) noexcept;

/// The rate of the management port: the generic cell rate algorithm (ITU-T I.371), which needs one
/// number.
class TokenBucket {
public:
    /// `cost`: time between two packets. `burst`: how far ahead of that rate they may come.
    constexpr TokenBucket(Duration cost, Duration burst) noexcept : cost_(cost), burst_(burst) {}
    [[nodiscard]] constexpr bool try_take(Instant now) noexcept {
        const Instant due = next_ > now ? next_ : now;
        if (due - now > burst_) return false;
        next_ = due + cost_;
        return true;
    }

private:
    Duration cost_;
    Duration burst_;
    Instant next_{};
};

}  // namespace holdfast::netpath::steer
