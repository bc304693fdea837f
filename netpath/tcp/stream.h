/// One TCP connection over Ethernet frames: what the loop drives on the reserved path. The same
/// words as on the kernel path: spaces that were filled, spans that were sent, a time to wake up.
///
/// One turn of the caller's loop:
///   1. input() each received frame of ours; a frame that is Kept stays with the stream;
///   2. wake(now) when next_wake() has come;
///   3. poll_fact(), rx_front() and rx_taken(), try_send(), poll_returned_piece();
///   4. poll_returned_frame() until empty: those go back to the NIC's fill ring, and the window
///      that step 5 advertises counts them as free;
///   5. output() into free transmit frames until it gives 0; a frame is free again as soon as the
///      NIC has read it, because retransmission reads from the sender's own buffers;
///   6. sleep until next_wake() or a frame.
///
/// Pure. Thread: one. Limits: as for Connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netpath/tcp/connection.h"
#include "netpath/tcp/isn.h"
#include "netpath/wire/ethernet.h"

namespace holdfast::netpath::tcp {

/// The stations on both ends of the local link: the remote one is the peer's or the router's.
struct Link {
    wire::MacAddress local{};
    wire::MacAddress remote{};
    std::optional<wire::VlanId> vlan{};
};

/// A received frame where it lies in the caller's memory, or one piece of a packet that was too
/// long for one.
struct ReceivedFrame {
    FrameId id = 0;
    std::span<std::byte> memory{};  ///< As much as may be written to while the frame is kept.
    std::size_t bytes = 0;          ///< The frame is so long; at most memory.size().
};

/// What becomes of a packet in several frames.
struct PacketFate {
    bool is_ours = false;
    /// Bit I: frame I is kept until poll_returned_frame() names it. The others are done with.
    std::uint32_t kept = 0;
};

enum class FrameFate : std::uint8_t {
    NotOurs,  ///< Of another connection, or no TCP and no ICMP error about ours: untouched.
    Done,     ///< Ours, and not needed any more.
    Kept,     ///< Ours until poll_returned_frame() names it.
};

class Stream {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, const Limits& limits) noexcept {
        Connection::add_to_plan(plan, limits);
    }
    Stream(const Limits& limits, reserve::Region& region, const Options& options) noexcept
        : connection_(limits, region, options) {}

    /// Only when the state is Closed and output() has given all of the last connection.
    void connect(Instant now, const wire::Flow& flow, const Link& link,
                 const Secret& secret) noexcept;
    /// With a chosen sequence number and timestamp: for tests, and for who has a better source.
    void connect_with(Instant now, const wire::Flow& flow, const Link& link,
                      const Opening& opening) noexcept;
    /// The neighbour has another station address now.
    void set_link(const Link& link) noexcept { link_ = link; }

    [[nodiscard]] FrameFate input(Instant now, const ReceivedFrame& frame) noexcept;
    /// A packet in 1 .. kPiecesMax frames, in order, all its headers in the first one.
    [[nodiscard]] PacketFate input(Instant now, std::span<const ReceivedFrame> pieces) noexcept;
    static constexpr std::size_t kPiecesMax = 20;
    /// Writes one packet; the bytes of it, or 0 when there is nothing to send. `room` has
    /// frame_bytes_max() bytes. With `may_send_data` false only packets without payload come.
    [[nodiscard]] std::size_t output(Instant now, std::span<std::byte> room,
                                     bool may_send_data) noexcept;
    /// The same over several rooms, filled one after the other, headers whole in the first one.
    [[nodiscard]] std::size_t output(Instant now, std::span<const std::span<std::byte>> rooms,
                                     bool may_send_data) noexcept;
    [[nodiscard]] static constexpr std::size_t frame_bytes_max(const Options& options) noexcept {
        return options.mtu_bytes + wire::kEthernetBytes + wire::kVlanBytes;
    }

    [[nodiscard]] std::span<const std::byte> rx_front() const noexcept {
        return connection_.readable();
    }
    void rx_taken(Instant now, std::uint32_t bytes) noexcept { connection_.take(now, bytes); }
    [[nodiscard]] std::optional<FrameId> poll_returned_frame() noexcept {
        return connection_.poll_returned_frame();
    }
    [[nodiscard]] bool try_send(std::span<const std::byte> bytes, PieceTag tag) noexcept {
        return connection_.try_send(bytes, tag);
    }
    [[nodiscard]] std::optional<PieceTag> poll_returned_piece() noexcept {
        return connection_.poll_returned_piece();
    }
    void close(Instant now) noexcept { connection_.close(now); }
    void reset(Instant now) noexcept { connection_.reset(now); }
    [[nodiscard]] std::optional<Fact> poll_fact() noexcept { return connection_.poll_fact(); }
    [[nodiscard]] Instant next_wake() const noexcept { return connection_.next_wake(); }
    void wake(Instant now) noexcept { connection_.wake(now); }

    /// See Connection::limit_packets().
    void limit_packets(std::uint32_t mtu_bytes, std::uint32_t frame_payload_bytes,
                       std::uint32_t frames_per_packet) noexcept {
        connection_.limit_packets(mtu_bytes, frame_payload_bytes, frames_per_packet);
    }
    [[nodiscard]] const Connection& connection() const noexcept { return connection_; }
    /// Frames of ours that were malformed, by their checksums or lengths.
    [[nodiscard]] std::uint64_t malformed_count() const noexcept { return malformed_; }

private:
    [[nodiscard]] PacketFate input_tcp(Instant now, std::span<const ReceivedFrame> pieces,
                                       const wire::IpPacket& packet) noexcept;
    [[nodiscard]] PacketFate input_icmp(Instant now, const wire::IpPacket& packet) noexcept;
    [[nodiscard]] wire::PayloadSum put_payload(
        const Outgoing& out, std::span<std::byte> front,
        std::span<const std::span<std::byte>> behind) const noexcept;

    Connection connection_;
    wire::Flow flow_{};
    Link link_{};
    std::uint16_t identification_ = 0;
    std::uint64_t malformed_ = 0;
};

}  // namespace holdfast::netpath::tcp
