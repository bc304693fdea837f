/// How much kernel memory the sockets of the attachments can need at once, as a plan with a reason
/// per line, and the vm.min_free_kbytes that guarantees it (tier B). Pure.
///
/// Why a guarantee is needed: a page that is swapped out can be freed only after its write was sent
/// and acknowledged, and both take packet memory; when free memory is gone before that, nothing
/// moves any more. docs/memory.md has the measurements.
#pragma once

#include <cstdint>

#include "base/strong.h"
#include "reserve/plan.h"

namespace holdfast::reserve {

/// Socket buffers of one connection, as given to SO_SNDBUF and SO_RCVBUF (the kernel doubles them).
struct SocketBuffers {
    std::uint32_t send_bytes = 0;
    std::uint32_t receive_bytes = 0;
};

/// Buffers for one connection that carries `depth` requests of `request_bytes`, little enough to
/// guarantee: 512 KiB, which keep a 10 Gbit/s link with 0.4 ms round trip busy, or an eighth of
/// what may be in flight.
[[nodiscard]] SocketBuffers socket_buffers_for(std::uint32_t depth,
                                               std::uint32_t request_bytes) noexcept;

/// What one attachment does to the kernel.
struct PacketLoad {
    std::uint32_t connections = 1;
    std::uint32_t depth = 32;
    SocketBuffers buffers;
};

/// What the machine's network does to the kernel, whoever causes it.
struct HostNetwork {
    std::uint32_t cpus = 1;
    /// Of all cards together; 0: unknown, one a CPU. A CPU takes in from one queue at a time, so
    /// that no more than one a CPU counts.
    std::uint32_t receive_queues = 0;
    std::uint32_t ring_entries = 256;  ///< Of one receive queue (ethtool -g).
};

/// Lines for the machine: once, however many attachments there are.
void add_network_to_plan(MemoryPlan& plan, const HostNetwork& network) noexcept;
/// Lines for one attachment.
void add_load_to_plan(MemoryPlan& plan, const PacketLoad& load) noexcept;

/// vm.min_free_kbytes that lets the kernel have `need` when everybody else waits. KiB, a multiple
/// of 1024.
[[nodiscard]] std::uint64_t min_free_kib_for(ByteCount need) noexcept;

/// False when that is more than an eighth of the machine's memory: the rest would suffer more than
/// the promise is worth.
[[nodiscard]] bool reserve_fits(std::uint64_t min_free_kib, std::uint64_t memory_kib) noexcept;

}  // namespace holdfast::reserve
