#include "daemon/io/reserved_path.h"

#include <algorithm>
#include <bit>

namespace holdfast::daemon {

namespace {

using netpath::xdp::PathShape;

constexpr std::uint32_t kSegmentBytes = 1448;  // Of an MTU of 1500, with timestamps.
constexpr std::uint32_t kHeaderBytes = 52;     // IPv4 and TCP with timestamps; IPv6 has 20 more.
constexpr std::uint32_t kPacketBytesMax = 0xffff;
constexpr std::uint32_t kLargeFrameBytes = 4096;
constexpr std::uint32_t kSegmentsMin = 256;
constexpr std::uint32_t kSegmentsMax = 32'768;

/// Of so many payload bytes each.
std::uint32_t count_for(std::uint32_t bytes, std::uint32_t each) noexcept {
    const std::uint32_t count = bytes / each + 1;
    return std::bit_ceil(std::clamp(count, kSegmentsMin, kSegmentsMax));
}

std::uint32_t window_of(std::uint32_t chosen, std::uint32_t usual) noexcept {
    return chosen == 0 ? usual : chosen;
}

}  // namespace

PathShape shape_for(const initiator::EngineLimits& limits, const netpath::TcpOptions& tcp,
                    std::uint32_t mtu_bytes) noexcept {
    PathShape shape;
    shape.connections = limits.connections;
    std::uint32_t each = kSegmentBytes;
    if (mtu_bytes > shape.mtu_bytes_max(1)) {
        shape.frame_bytes = kLargeFrameBytes;
        const std::uint32_t packet = std::min(mtu_bytes, kPacketBytesMax);
        shape.packet_pieces = shape.pieces_for(packet);
        each = std::max((packet - kHeaderBytes) / shape.packet_pieces, kSegmentBytes);
    }
    shape.tcp.records = std::bit_ceil(kReservedTransmitPieces);
    // A path, and a queue without packets of several frames, may ask for small segments.
    shape.tcp.sent = count_for(window_of(tcp.send_bytes, kSendWindowBytes), kSegmentBytes);
    shape.tcp.rx_frames = count_for(window_of(tcp.receive_bytes, kReceiveWindowBytes), each);
    return shape;
}

OrErrno<ReservedPath> find_reserved_path(const initiator::SessionConfig& session,
                                         const initiator::EngineLimits& limits,
                                         const netpath::TcpOptions& tcp) noexcept {
    ReservedPath path;
    Errno first_error{EDESTADDRREQ};
    for (const initiator::Portal& portal : session.portals) {
        const auto address = netpath::SocketAddress::from_text(portal.host.view(), portal.port);
        if (!address) continue;
        const auto route = netpath::xdp::find_route(*address);
        if (!route) {
            if (path.routes.empty()) first_error = route.error();
            continue;
        }
        const bool is_beside =
            path.routes.empty() || (route->interface_index == path.routes[0].interface_index &&
                                    route->local == path.routes[0].local);
        if (is_beside) path.routes.push(*route);
    }
    if (path.routes.empty()) return std::unexpected(first_error);
    path.shape = shape_for(limits, tcp, path.routes[0].mtu_bytes);
    path.shape.queues =
        std::clamp<std::uint32_t>(path.routes[0].receive_queues, 1, PathShape::kQueuesMax);
    path.options.window_bytes_max = window_of(tcp.receive_bytes, kReceiveWindowBytes);
    if (tcp.user_timeout_ms != 0)
        path.options.user_timeout = Duration::from_ms(tcp.user_timeout_ms);
    return path;
}

}  // namespace holdfast::daemon
