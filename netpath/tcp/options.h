/// What a connection is made with: the counts that size its memory, and how it is to behave.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace holdfast::netpath::tcp {

/// Sizes the memory of one connection. Fixed for its life; each a power of two.
struct Limits {
    std::uint32_t records = 256;    ///< Pieces on loan from the sender at once.
    std::uint32_t sent = 4096;      ///< Segments in flight at once.
    std::uint32_t rx_frames = 512;  ///< Received frames held at once.
};

/// How a connection behaves. The defaults are for a storage network and its long relatives.
struct Options {
    /// Of the interface: IP packets never exceed it.
    std::uint32_t mtu_bytes = 1500;
    /// Payload bytes that the frames of one received packet can hold, headers not counted, and how
    /// many frames those are. Both size the window.
    std::uint32_t frame_payload_bytes = 1460;
    std::uint32_t frames_per_packet = 1;
    /// The largest receive window, whatever the frames would allow.
    std::uint32_t window_bytes_max = 4U << 20;
    /// Frames that data out of order may not take: what fills the gap must always find one.
    std::uint32_t rx_frames_reserved = 4;
    bool window_scaling = true;
    bool timestamps = true;
    bool sack = true;
    /// Searches for a larger path MTU: RFC 4821. Black holes are noticed in any case.
    bool probes_mtu = true;
    std::uint32_t initial_window_segments = 10;  ///< RFC 6928.
    Duration rto_initial = Duration::from_s(1);  ///< RFC 6298 (2.1).
    /// RFC 6298 (2.4) says one second; a swap device cannot wait that long, and RFC 8961 section 4
    /// lets a sender that measures do with less. 200 ms is what common kernels use.
    Duration rto_min = Duration::from_ms(200);
    Duration rto_max = Duration::from_s(60);       ///< RFC 6298 (2.5): at least 60 s.
    Duration delayed_ack = Duration::from_ms(40);  ///< RFC 9293 section 3.8.6.3: below 500 ms.
    Duration peer_delayed_ack = Duration::from_ms(200);  ///< RFC 8985 section 7.2: max_ack_delay.
    /// Without any progress for so long the connection is lost: RFC 9293 section 3.8.3, R2.
    Duration user_timeout = Duration::from_s(100);
    Duration connect_timeout = Duration::from_s(30);  ///< For the SYN.
    Duration close_timeout = Duration::from_s(5);     ///< From close() to the peer's last ACK.
    Duration time_wait = Duration::from_s(60);        ///< Twice the MSL.
};

}  // namespace holdfast::netpath::tcp
