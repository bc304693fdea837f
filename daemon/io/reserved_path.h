/// What a driver needs to run its session over the reserved path (netpath/xdp) instead of the
/// kernel's TCP: routes, sizes, and the descriptors of a classifier that somebody loaded. All of it
/// is found before the process is armed.
#pragma once

#include <cstdint>
#include <expected>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "initiator/engine.h"
#include "initiator/session_config.h"
#include "netpath/io/tcp_socket.h"
#include "netpath/xdp/xdp_path.h"

namespace holdfast::daemon {

struct ReservedPath {
    FixedVector<netpath::xdp::Route, 4> routes;  ///< All through one interface.
    netpath::xdp::PathShape shape;
    netpath::tcp::Options options;
    int table_fd = -1;    ///< Borrowed until the driver is open.
    int sockets_fd = -1;  ///< The same.
    netpath::classifier::FlowOwner owner{};
    bool demands_zero_copy = false;
};

/// Windows where nobody chose them, bytes: the product of 1 Gbit/s and 16 ms to receive, twice that
/// to send, because sending costs records and no frames.
inline constexpr std::uint32_t kReceiveWindowBytes = 2U << 20;
inline constexpr std::uint32_t kSendWindowBytes = 4U << 20;

inline constexpr std::uint32_t kUsualMtuBytes = 1500;

/// Sizes for `limits` and the buffers of `tcp`; zero there stands for the two above.
[[nodiscard]] netpath::xdp::PathShape shape_for(const initiator::EngineLimits& limits,
                                                const netpath::TcpOptions& tcp,
                                                std::uint32_t mtu_bytes = kUsualMtuBytes) noexcept;
/// Pieces that an engine on this path may have lent.
inline constexpr std::uint32_t kReservedTransmitPieces = 1024;

/// Asks the kernel for the ways to the session's portals. Those that lead through another interface
/// than the first one are left out. The error is that of the first portal.
[[nodiscard]] OrErrno<ReservedPath> find_reserved_path(const initiator::SessionConfig& session,
                                                       const initiator::EngineLimits& limits,
                                                       const netpath::TcpOptions& tcp) noexcept;

}  // namespace holdfast::daemon
