#include "netpath/xdp/xdp_socket.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/assert.h"

namespace holdfast::netpath::xdp {

namespace {

// How many frames one call may send in copy mode. Linux 6.17; not in older headers.
constexpr int kOptionTransmitBudget = 9;
constexpr int kDontWait = MSG_DONTWAIT;
// XDP_USE_SG of bind(2). Linux 6.6; not in older headers.
constexpr unsigned kBindPieces = 1U << 4;

template <class T>
bool set_option(int fd, int name, const T& value) noexcept {
    return ::setsockopt(fd, SOL_XDP, name, &value, sizeof(value)) == 0;
}

RingLayout layout_of(const xdp_ring_offset& offsets) noexcept {
    return {.producer = offsets.producer,
            .consumer = offsets.consumer,
            .flags = offsets.flags,
            .entries = offsets.desc};
}

}  // namespace

XdpSocket::~XdpSocket() {
    for (const auto mapping : mappings_) {
        if (mapping.empty()) continue;
        const int refused = ::munmap(mapping.data(), mapping.size());
        HF_ASSERT(refused == 0);
    }
}

OrErrno<void> XdpSocket::open(const XdpSocketWish& wish, Umem& umem,
                              const XdpSocket* first) noexcept {
    if (auto prepared = prepare(wish, umem, first); !prepared) return prepared;
    return bind(first);
}

OrErrno<void> XdpSocket::prepare(const XdpSocketWish& wish, Umem& umem,
                                 const XdpSocket* first) noexcept {
    HF_ASSERT(!fd_ && wish.receive_entries > 0);
    wish_ = wish;
    fd_ = UniqueFd{::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)};
    if (!fd_) return std::unexpected(Errno::last());
    if (first == nullptr) {
        const auto bytes = umem.bytes();
        const xdp_umem_reg memory{.addr = reinterpret_cast<std::uintptr_t>(bytes.data()),
                                  .len = bytes.size(),
                                  .chunk_size = umem.shape().frame_bytes,
                                  .headroom = 0,
                                  .flags = 0};
        if (!set_option(fd_.get(), XDP_UMEM_REG, memory)) return std::unexpected(Errno::last());
    }
    if (auto made = make_rings(wish); !made) return made;
    if (wish.transmit_entries == 0) return {};
    const std::uint32_t budget = std::max(wish.transmit_entries, kTransmitBudget);
    batch_ = set_option(fd_.get(), kOptionTransmitBudget, budget) ? budget : kTransmitBudget;
    // In copy mode the kernel charges a packet for each frame until the driver is done with it. The
    // usual limit is some 75 of them, less than a ring of the driver's. Without the right to raise
    // it the frames wait for each other.
    // The kernel doubles what it is given: a frame, and as much again for the packet around it.
    const int room = static_cast<int>(wish.transmit_entries * umem.shape().frame_bytes);
    static_cast<void>(::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)));
    return {};
}

OrErrno<void> XdpSocket::bind(const XdpSocket* first) noexcept {
    HF_ASSERT(is_open() && !is_bound_);
    if (auto taken = take_queue(first); !taken) return taken;
    xdp_options options{};
    socklen_t bytes = sizeof(options);
    if (::getsockopt(fd_.get(), SOL_XDP, XDP_OPTIONS, &options, &bytes) != 0)
        return std::unexpected(Errno::last());
    is_zero_copy_ = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
    if (wish_.demands_zero_copy && !is_zero_copy_) return std::unexpected(Errno{EOPNOTSUPP});
    is_bound_ = true;
    return {};
}

OrErrno<void> XdpSocket::make_rings(const XdpSocketWish& wish) noexcept {
    const int fd = fd_.get();
    const std::uint32_t fill = wish.receive_entries;
    // The kernel wants a completion ring of every UMEM user, even of one that never sends.
    const std::uint32_t completion = std::max<std::uint32_t>(wish.transmit_entries, 2);
    if (!set_option(fd, XDP_UMEM_FILL_RING, fill) ||
        !set_option(fd, XDP_UMEM_COMPLETION_RING, completion) ||
        !set_option(fd, XDP_RX_RING, wish.receive_entries))
        return std::unexpected(Errno::last());
    if (wish.transmit_entries > 0 && !set_option(fd, XDP_TX_RING, wish.transmit_entries))
        return std::unexpected(Errno::last());
    xdp_mmap_offsets offsets{};
    socklen_t bytes = sizeof(offsets);
    if (::getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0)
        return std::unexpected(Errno::last());

    const auto filling =
        map(offsets.fr.desc + fill * sizeof(std::uint64_t), XDP_UMEM_PGOFF_FILL_RING, 0);
    if (!filling) return std::unexpected(filling.error());
    fill_ = {*filling, layout_of(offsets.fr), fill};
    const auto completing = map(offsets.cr.desc + completion * sizeof(std::uint64_t),
                                XDP_UMEM_PGOFF_COMPLETION_RING, 1);
    if (!completing) return std::unexpected(completing.error());
    completion_ = {*completing, layout_of(offsets.cr), completion};
    const auto receiving =
        map(offsets.rx.desc + wish.receive_entries * sizeof(xdp_desc), XDP_PGOFF_RX_RING, 2);
    if (!receiving) return std::unexpected(receiving.error());
    receive_ = {*receiving, layout_of(offsets.rx), wish.receive_entries};
    if (wish.transmit_entries == 0) return {};
    const auto sending =
        map(offsets.tx.desc + wish.transmit_entries * sizeof(xdp_desc), XDP_PGOFF_TX_RING, 3);
    if (!sending) return std::unexpected(sending.error());
    transmit_ = {*sending, layout_of(offsets.tx), wish.transmit_entries};
    return {};
}

OrErrno<std::span<std::byte>> XdpSocket::map(std::size_t bytes, std::uint64_t place,
                                             std::size_t index) noexcept {
    void* const start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                               fd_.get(), static_cast<off_t>(place));
    if (start == MAP_FAILED) return std::unexpected(Errno::last());
    mappings_[index] = {static_cast<std::byte*>(start), bytes};
    return mappings_[index];
}

OrErrno<void> XdpSocket::take_queue(const XdpSocket* first) noexcept {
    sockaddr_xdp address{.sxdp_family = AF_XDP,
                         .sxdp_flags = 0,
                         .sxdp_ifindex = wish_.interface_index,
                         .sxdp_queue_id = wish_.queue,
                         .sxdp_shared_umem_fd = 0};
    const auto try_bind = [&](unsigned flags) {
        address.sxdp_flags = static_cast<std::uint16_t>(flags);
        return ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    };
    if (first != nullptr) {
        // How it copies and wakes goes with the UMEM.
        address.sxdp_shared_umem_fd = static_cast<std::uint32_t>(first->descriptor());
        if (!try_bind(XDP_SHARED_UMEM)) return std::unexpected(Errno::last());
        has_pieces_ = first->has_pieces_;
        return {};
    }
    for (const unsigned way : {unsigned{XDP_ZEROCOPY}, unsigned{XDP_COPY}}) {
        for (const unsigned pieces : {kBindPieces, 0U}) {
            if (pieces != 0 && !wish_.wants_pieces) continue;
            has_pieces_ = pieces != 0;
            if (try_bind(way | pieces | XDP_USE_NEED_WAKEUP)) return {};
            // Somebody has the queue, who may let it go before the next try: no reason for less.
            if (Errno::last() == Errno{EBUSY}) return std::unexpected(Errno::last());
        }
        if (wish_.demands_zero_copy) break;
    }
    return std::unexpected(Errno::last());
}

XdpLosses XdpSocket::losses() const noexcept {
    xdp_statistics counted{};
    socklen_t bytes = sizeof(counted);
    if (::getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &counted, &bytes) != 0) return {};
    return {.dropped = counted.rx_dropped,
            .receive_ring_full = counted.rx_ring_full,
            .fill_ring_empty = counted.rx_fill_ring_empty_descs,
            .invalid_descriptors = counted.rx_invalid_descs + counted.tx_invalid_descs};
}

void XdpSocket::kick_transmit() noexcept {
    // In copy mode each call sends a batch, and the flag stays set. A call that sends nothing means
    // that the interface's queue is full: the next turn tries again.
    while (transmit_.capacity() > 0 && transmit_.needs_wakeup()) {
        const std::uint32_t before = transmit_.pending();
        if (before == 0) return;
        static_cast<void>(::sendto(fd_.get(), nullptr, 0, kDontWait, nullptr, 0));
        if (is_zero_copy_ || transmit_.pending() == before) return;
    }
}

std::uint32_t XdpSocket::transmit_kicks_due() noexcept {
    if (transmit_.capacity() == 0 || !transmit_.needs_wakeup()) return 0;
    const std::uint32_t waiting = transmit_.pending();
    return is_zero_copy_ ? std::min(waiting, 1U) : (waiting + batch_ - 1) / batch_;
}

void XdpSocket::kick_receive() noexcept {
    if (!is_receive_kick_due()) return;
    static_cast<void>(::recvfrom(fd_.get(), nullptr, 0, kDontWait, nullptr, nullptr));
}

}  // namespace holdfast::netpath::xdp
