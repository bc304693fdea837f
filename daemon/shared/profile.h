/// The names that the operator, the control process and the I/O processes share.
#pragma once

#include <cstdint>

namespace holdfast::daemon {

/// What the device is for; decides how long requests wait without a session, and how large the
/// memory of an attachment is. docs/configuration.md has the table.
enum class ProfileId : std::uint8_t {
    Swap,       ///< Waits for ever; small.
    Root,       ///< Waits for ever.
    Data,       ///< Requests fail after 120 s without a session.
    Multipath,  ///< Requests fail after 5 s without a session, so that another path takes over.
};
inline constexpr std::uint8_t kProfileCount = 4;

/// What the machine can promise, best first. Design, section 2.
enum class PromiseTier : std::uint8_t {
    A,  ///< Proven: no allocation is required for a write to complete.
    B,  ///< Reserved: the kernel's allocations are covered by a computed reserve.
    C,  ///< Plain: data volumes.
};
inline constexpr std::uint8_t kTierCount = 3;

/// What the local machine sees.
enum class ExportKind : std::uint8_t {
    Ublk,  ///< A block device /dev/ublkbN.
    Nbd,   ///< An NBD server on a Unix socket; no kernel driver.
};
inline constexpr std::uint8_t kExportKindCount = 2;

/// Who carries a session's TCP.
enum class NetworkPath : std::uint8_t {
    Kernel,
    Xdp,   ///< Our own over AF_XDP, the reserved path, or nothing.
    Auto,  ///< The reserved path where it can be had, else the kernel.
};
inline constexpr std::uint8_t kNetworkPathCount = 3;

}  // namespace holdfast::daemon
