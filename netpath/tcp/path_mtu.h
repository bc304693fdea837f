/// How large a packet the path carries. RFC 1191 and RFC 8201 for what routers say, with the checks
/// of RFC 5927; RFC 4821 for paths that swallow large packets in silence. Bytes are of IP packets.
/// Pure. Timer: Deadlines::mtu_raise of the connection, kRaiseAfter.
///
/// Downwards: a believable ICMP message, or kTimeoutsForBlackHole retransmission time-outs of a
/// full-sized segment. Upwards: one data segment larger than the rest, between the largest size
/// that is known to work and the smallest that is known not to.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace holdfast::netpath::tcp {

class PathMtu {
public:
    /// What every path carries: RFC 8200 section 5; for IPv4 the size that RFC 4821 section 7.2
    /// begins with is used in place of RFC 791's 68, which exists to make small packets only.
    static constexpr std::uint32_t kLeastV6 = 1280;
    static constexpr std::uint32_t kLeastV4 = 576;
    static constexpr std::uint32_t kBaseV4 = 1064;  ///< 1024 of payload: RFC 4821 section 7.2.
    static constexpr unsigned kTimeoutsForBlackHole = 3;
    static constexpr unsigned kFailuresMax = 3;         ///< Of one size, before it is given up.
    static constexpr std::uint32_t kSmallestStep = 16;  ///< The search ends at so few bytes.
    static constexpr Duration kRaiseAfter = Duration::from_s(600);  ///< RFC 8201 section 4.

    void start(std::uint32_t interface_mtu_bytes, bool is_v6) noexcept;

    [[nodiscard]] std::uint32_t mtu_bytes() const noexcept { return works_; }
    /// What a probe should be long; 0 when there is nothing to search for.
    [[nodiscard]] std::uint32_t probe_bytes() const noexcept;

    /// A router said that `packet_bytes` were too many and that `mtu_bytes` are not; 0: an old
    /// router, RFC 1191 section 7.1. True when the size has become smaller.
    [[nodiscard]] bool on_too_big(std::uint32_t mtu_bytes, std::uint32_t packet_bytes) noexcept;
    /// A segment of `packet_bytes` timed out once more. True when the size has become smaller.
    [[nodiscard]] bool on_timeout(std::uint32_t packet_bytes) noexcept;
    /// A packet of so many bytes has arrived: no black hole up to there.
    void on_delivered(std::uint32_t packet_bytes) noexcept;
    /// The probe of so many bytes arrived: the path carries it.
    void on_probe_delivered(std::uint32_t packet_bytes) noexcept;
    /// The probe alone was lost.
    void on_probe_lost(std::uint32_t packet_bytes) noexcept;
    /// kRaiseAfter is over: the path may have changed.
    void search_again() noexcept;
    /// Something is below the interface's own size, so that kRaiseAfter is of use.
    [[nodiscard]] bool is_reduced() const noexcept { return works_ < interface_; }

private:
    /// Smaller than now, and not below the least.
    [[nodiscard]] bool reduce(std::uint32_t to) noexcept;

    std::uint32_t interface_ = 0;
    std::uint32_t works_ = 0;  // The size in use.
    std::uint32_t fails_ = 0;  // The smallest size that is known not to work, or one too many.
    std::uint32_t least_ = 0;
    std::uint32_t base_ = 0;
    unsigned timeouts_ = 0;
    unsigned failures_ = 0;
};

}  // namespace holdfast::netpath::tcp
