#include "netpath/tcp/path_mtu.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace holdfast::netpath::tcp {

namespace {

/// RFC 1191 section 7.1: the next smaller size of common links.
std::uint32_t plateau_below(std::uint32_t packet_bytes) noexcept {
    constexpr std::array<std::uint32_t, 9> kPlateaus{32000, 17914, 8166, 4352, 2002,
                                                     1492,  1006,  508,  296};
    for (const std::uint32_t plateau : kPlateaus) {
        if (plateau < packet_bytes) return plateau;
    }
    return 68;
}

}  // namespace

void PathMtu::start(std::uint32_t interface_mtu_bytes, bool is_v6) noexcept {
    least_ = std::min(is_v6 ? kLeastV6 : kLeastV4, interface_mtu_bytes);
    base_ = std::min(is_v6 ? kLeastV6 : kBaseV4, interface_mtu_bytes);
    interface_ = works_ = interface_mtu_bytes;
    fails_ = interface_ + 1;
    timeouts_ = failures_ = 0;
}

bool PathMtu::reduce(std::uint32_t to) noexcept {
    to = std::max(to, least_);
    if (to >= works_) return false;
    works_ = to;
    timeouts_ = failures_ = 0;
    return true;
}

bool PathMtu::on_too_big(std::uint32_t mtu_bytes, std::uint32_t packet_bytes) noexcept {
    // RFC 5927 section 7.2: a router that could forward the packet has nothing to complain about.
    if (mtu_bytes >= packet_bytes) return false;
    const std::uint32_t claimed = mtu_bytes == 0 ? plateau_below(packet_bytes) : mtu_bytes;
    if (!reduce(claimed)) return false;
    fails_ = works_ + 1;
    return true;
}

bool PathMtu::on_timeout(std::uint32_t packet_bytes) noexcept {
    // What is no larger than the base cannot show a black hole.
    if (packet_bytes <= base_ || packet_bytes > works_) return false;
    if (++timeouts_ < kTimeoutsForBlackHole) return false;
    fails_ = packet_bytes;
    return reduce(base_);
}

void PathMtu::on_delivered(std::uint32_t packet_bytes) noexcept {
    if (packet_bytes > base_) timeouts_ = 0;
}

std::uint32_t PathMtu::probe_bytes() const noexcept {
    HF_ASSERT(works_ > 0 && works_ < fails_);
    if (fails_ - works_ <= kSmallestStep) {
        // Close enough; but the whole size of the interface is worth one more try.
        return fails_ > interface_ && works_ < interface_ ? interface_ : 0;
    }
    return works_ + (fails_ - works_) / 2;
}

void PathMtu::on_probe_delivered(std::uint32_t packet_bytes) noexcept {
    if (packet_bytes <= works_ || packet_bytes >= fails_) return;
    works_ = packet_bytes;
    failures_ = 0;
    HF_ASSERT(works_ < fails_ && works_ <= interface_);
}

void PathMtu::on_probe_lost(std::uint32_t packet_bytes) noexcept {
    if (packet_bytes <= works_ || packet_bytes >= fails_) return;
    if (++failures_ < kFailuresMax) return;
    fails_ = packet_bytes;
    failures_ = 0;
}

void PathMtu::search_again() noexcept {
    fails_ = interface_ + 1;
    failures_ = 0;
}

}  // namespace holdfast::netpath::tcp
