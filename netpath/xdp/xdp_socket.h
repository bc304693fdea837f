/// One AF_XDP socket on one receive queue of an interface, by the kernel's own interface
/// (linux/if_xdp.h). Effectful while it is opened; afterwards the rings are memory, and the only
/// system call is the one that wakes a sleeping driver; or an io_uring does that (Ring).
///
/// What needs memory is prepare(): a process that stands by has done it, and binds when its
/// predecessor's socket has let the queue go.
///
/// Zero copy is asked for first and counts only when the kernel says so afterwards
/// (getsockopt XDP_OPTIONS); else frames are copied, once on each side, and the kernel allocates
/// for each one that is sent.
///
/// A packet that is longer than a frame takes several descriptors, where the kernel (6.6) and the
/// driver have that: always in copy mode, and with zero copy as the driver says. It counts when
/// bind(2) takes XDP_USE_SG; the kernel has no other way to tell.
///
/// Limits: one socket a queue; all sockets of an interface share the first one's UMEM.
#pragma once

#include <linux/if_xdp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "netpath/xdp/shared_ring.h"
#include "netpath/xdp/umem.h"

namespace holdfast::netpath::xdp {

/// Frames that one call sends in copy mode, where the kernel takes no other number: TX_BATCH_SIZE
/// of net/xdp/xsk.c.
inline constexpr std::uint32_t kTransmitBudget = 32;

struct XdpSocketWish {
    unsigned interface_index = 0;
    std::uint32_t queue = 0;
    /// Powers of two. The completion ring has as many entries as the transmit ring, the fill ring
    /// as many as the receive ring.
    std::uint32_t receive_entries = 1024;
    std::uint32_t transmit_entries = 256;  ///< 0: this one only receives.
    bool demands_zero_copy = false;        ///< Without it: an error, not copy mode.
    bool wants_pieces = false;             ///< Packets of several frames, if they can be had.
};

/// Said of a descriptor: the packet goes on in the next one. XDP_PKT_CONTD, which older headers
/// lack.
inline constexpr std::uint32_t kPacketGoesOn = 1;
/// Frames of one packet, with zero copy: half of what i40e and ice take (I40E_MAX_BUFFER_TXD and
/// ICE_MAX_BUF_TXD, both 8), and enough for the usual jumbo MTU.
inline constexpr std::uint32_t kZeroCopyPieces = 4;
/// Frames of one packet in copy mode: the packet's head and MAX_SKB_FRAGS of net/core.
inline constexpr std::uint32_t kCopyPieces = 18;

/// Counted by the kernel: frames that were lost at this socket.
struct XdpLosses {
    std::uint64_t dropped = 0;              ///< No room, or larger than a frame.
    std::uint64_t receive_ring_full = 0;    ///< We were too slow.
    std::uint64_t fill_ring_empty = 0;      ///< We gave too few frames.
    std::uint64_t invalid_descriptors = 0;  ///< Our bug.
};

/// Thread: the loop's. Closing it takes a moment in the kernel, after which the queue is free.
class XdpSocket {
public:
    XdpSocket() noexcept = default;
    XdpSocket(const XdpSocket&) = delete;
    XdpSocket& operator=(const XdpSocket&) = delete;
    ~XdpSocket();

    /// prepare() and bind().
    [[nodiscard]] OrErrno<void> open(const XdpSocketWish& wish, Umem& umem,
                                     const XdpSocket* first) noexcept;
    /// Makes the socket and its rings, and registers `umem`, unless `first` is there to share it.
    /// ENOBUFS or EPERM: RLIMIT_MEMLOCK, or CAP_NET_RAW is missing.
    [[nodiscard]] OrErrno<void> prepare(const XdpSocketWish& wish, Umem& umem,
                                        const XdpSocket* first) noexcept;
    /// Takes the queue. `first`, as for prepare(), is bound. EBUSY: another socket has the queue;
    /// it can be tried again. EOPNOTSUPP: no zero copy, which was demanded.
    [[nodiscard]] OrErrno<void> bind(const XdpSocket* first) noexcept;

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }
    [[nodiscard]] bool is_bound() const noexcept { return is_bound_; }
    [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }
    /// As the kernel says.
    [[nodiscard]] bool is_zero_copy() const noexcept { return is_zero_copy_; }
    /// Frames that one packet may take; 1: none is longer than a frame.
    [[nodiscard]] std::uint32_t pieces_max() const noexcept {
        if (!has_pieces_) return 1;
        return is_zero_copy_ ? kZeroCopyPieces : kCopyPieces;
    }
    [[nodiscard]] XdpLosses losses() const noexcept;

    [[nodiscard]] ProducerRing<std::uint64_t>& fill() noexcept { return fill_; }
    [[nodiscard]] ConsumerRing<std::uint64_t>& completion() noexcept { return completion_; }
    [[nodiscard]] ConsumerRing<xdp_desc>& receive() noexcept { return receive_; }
    [[nodiscard]] ProducerRing<xdp_desc>& transmit() noexcept { return transmit_; }

    /// Lets the kernel send what was published, when it has to be called for it. Never blocks.
    void kick_transmit() noexcept;
    /// Lets the driver take frames from the fill ring, when it has to be called for it.
    void kick_receive() noexcept;
    /// The same for a caller that kicks through an io_uring: how often, at most, for what is
    /// published now.
    [[nodiscard]] std::uint32_t transmit_kicks_due() noexcept;
    [[nodiscard]] bool is_receive_kick_due() const noexcept {
        return is_zero_copy_ && fill_.needs_wakeup();
    }

private:
    [[nodiscard]] OrErrno<void> make_rings(const XdpSocketWish& wish) noexcept;
    [[nodiscard]] OrErrno<void> take_queue(const XdpSocket* first) noexcept;
    [[nodiscard]] OrErrno<std::span<std::byte>> map(std::size_t bytes, std::uint64_t place,
                                                    std::size_t index) noexcept;

    UniqueFd fd_;
    ProducerRing<std::uint64_t> fill_;
    ConsumerRing<std::uint64_t> completion_;
    ConsumerRing<xdp_desc> receive_;
    ProducerRing<xdp_desc> transmit_;
    std::array<std::span<std::byte>, 4> mappings_{};
    XdpSocketWish wish_;
    bool is_bound_ = false;
    bool is_zero_copy_ = false;
    bool has_pieces_ = false;
    std::uint32_t batch_ = 1;  // Frames that one call sends in copy mode.
};

}  // namespace holdfast::netpath::xdp
