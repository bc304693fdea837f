#include "reserve/kernel_need.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::reserve {

namespace {

constexpr std::uint32_t kKib = 1024;
constexpr std::uint32_t kMib = 1024 * kKib;

// Bounds of one buffer. The lower one keeps a few full requests moving at small depths.
constexpr std::uint32_t kBufferBytesMin = 128 * kKib;
constexpr std::uint32_t kBufferBytesMax = 512 * kKib;

// The rest of what is in flight waits in our own buffers, at either end.
constexpr std::uint64_t kInFlightShare = 8;

// What the kernel counts for one buffer byte that was asked for (sock_setsockopt doubles), its own
// bookkeeping included: sk_sndbuf and sk_rcvbuf bound the true size of packets.
constexpr std::uint64_t kBufferFactor = 2;

// A packet without payload: struct sk_buff, header room, shared info. Linux 6.12: 256 + 704 bytes.
constexpr ByteCount kSmallPacket{1024};
// Pure ACKs, window updates and resets of one connection that may wait in a transmit queue.
constexpr std::uint64_t kSmallPacketsPerConnection = 64;
// ARP and neighbour discovery, requests and answers.
constexpr std::uint64_t kNeighbourPackets = 16;
// One receive buffer of a driver: a page, whatever the frame's size.
constexpr ByteCount kReceiveBuffer{4096};
// net.core.netdev_budget: packets that one CPU takes in, from its queue, before anybody else runs.
// Each is 1,500 bytes plus the packet's own 768.
constexpr std::uint64_t kBudgetPackets = 300;
constexpr ByteCount kStrayPacket{2304};
// Per request in flight: the kernel's io_uring request, block request extras, packet heads.
constexpr ByteCount kPerRequest{1024};

// Only half of the min watermark is open to those who need it: packet memory for interrupts and
// allocations of real-time tasks stop at min / 2 (ALLOC_MIN_RESERVE), the rest is for memory
// reclaim itself.
constexpr std::uint64_t kReachableShare = 2;
// Direct reclaim of other tasks takes from the same pool without any limit (PF_MEMALLOC): one
// quarter more.
constexpr std::uint64_t kRivalNumerator = 5;
constexpr std::uint64_t kRivalDenominator = 4;
// What a small machine's kernel keeps for itself by default (1,826 KiB on 256 MiB), rounded up.
constexpr std::uint64_t kOwnKib = 2 * 1024;
// The reserve of the whole machine may take this share of it.
constexpr std::uint64_t kMemoryShare = 8;

}  // namespace

SocketBuffers socket_buffers_for(std::uint32_t depth, std::uint32_t request_bytes) noexcept {
    HF_ASSERT(depth > 0 && request_bytes > 0);
    const std::uint64_t in_flight = std::uint64_t{depth} * request_bytes;
    const auto bytes = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(in_flight / kInFlightShare, kBufferBytesMin, kBufferBytesMax));
    return {.send_bytes = bytes, .receive_bytes = bytes};
}

void add_network_to_plan(MemoryPlan& plan, const HostNetwork& network) noexcept {
    HF_ASSERT(network.cpus > 0);
    const std::uint64_t queues =
        network.receive_queues == 0 ? network.cpus : std::min(network.receive_queues, network.cpus);
    plan.add({.name = "receive ring refill",
              .count = queues * network.ring_entries,
              .each = kReceiveBuffer,
              .reason = "a driver that cannot refill its ring drops our ACKs too"});
    plan.add({.name = "stray packets",
              .count = queues * kBudgetPackets,
              .each = kStrayPacket,
              .reason = "others' packets, taken in before they are dropped, one budget per queue"});
    plan.add({.name = "neighbour packets",
              .count = kNeighbourPackets,
              .each = kSmallPacket,
              .reason = "ARP and neighbour discovery for the target's address and ours"});
}

void add_load_to_plan(MemoryPlan& plan, const PacketLoad& load) noexcept {
    HF_ASSERT(load.connections > 0 && load.depth > 0);
    HF_ASSERT(load.buffers.send_bytes > 0 && load.buffers.receive_bytes > 0);
    plan.add({.name = "send queues",
              .count = load.connections,
              .each = ByteCount{kBufferFactor * load.buffers.send_bytes},
              .reason = "SO_SNDBUF, which the kernel doubles for its own bookkeeping"});
    plan.add({.name = "receive queues",
              .count = load.connections,
              .each = ByteCount{kBufferFactor * load.buffers.receive_bytes},
              .reason = "SO_RCVBUF, doubled the same way"});
    plan.add({.name = "small packets",
              .count = load.connections * kSmallPacketsPerConnection,
              .each = kSmallPacket,
              .reason = "ACKs, window updates, resets: 64 for each connection"});
    plan.add({.name = "per request",
              .count = load.depth,
              .each = kPerRequest,
              .reason = "io_uring and block requests, packet heads, one each per tag"});
}

std::uint64_t min_free_kib_for(ByteCount need) noexcept {
    HF_ASSERT(need.raw() < 1ULL << 40);
    const std::uint64_t kib = (need.raw() + kKib - 1) / kKib;
    const std::uint64_t wanted =
        kib * kReachableShare * kRivalNumerator / kRivalDenominator + kOwnKib;
    constexpr std::uint64_t kStep = kMib / kKib;
    return (wanted + kStep - 1) / kStep * kStep;
}

bool reserve_fits(std::uint64_t min_free_kib, std::uint64_t memory_kib) noexcept {
    return min_free_kib <= memory_kib / kMemoryShare;
}

}  // namespace holdfast::reserve
