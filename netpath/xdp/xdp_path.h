/// The reserved path of a session: its TCP connections by netpath/tcp, over AF_XDP sockets on every
/// receive queue of one interface. The same words as TcpSocket where both can say them.
///
/// The host keeps its interface and its address. Only flows that were entered into the classifier's
/// table come here; their local ports are those of kernel sockets that are bound and never used, so
/// that nobody else gets them, and whatever comes for a flow that has ended is answered with a
/// reset by the kernel. Routes and stations are found before the process is armed.
///
/// One turn of the loop: take_input(), wake(); for each connection poll_released(), rx_front() and
/// rx_taken(), poll_report(); then try_send(), and send_output() last. Sleep only while
/// !has_input(), until next_wake() or until a descriptor is readable.
///
/// A process that stands by has done prepare(), which takes everything from the system but the
/// queues; bind() takes those when its predecessor is gone. Whose connections are in the table then
/// is asked after them, so that the kernel resets them (orphan.h); once, before the first SYN.
///
/// Timers: those of the streams and neighbours; kCloseWait, kLookMax for a station that is not
/// known, kRenewEvery for the classifier's lease; kBlockedWait, doubled up to kBlockedWaitMax,
/// while the interface takes nothing.
/// Limits: PathShape.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "netpath/classifier/table.h"
#include "netpath/io/ring.h"
#include "netpath/io/socket_address.h"
#include "netpath/io/tcp_socket.h"
#include "netpath/tcp/neighbour.h"
#include "netpath/tcp/stream.h"
#include "netpath/xdp/route.h"
#include "netpath/xdp/umem.h"
#include "netpath/xdp/xdp_socket.h"

namespace holdfast::netpath::xdp {

/// Sizes the memory of a path. Fixed for its life; transmit_entries and Limits are powers of two.
struct PathShape {
    static constexpr std::uint32_t kConnectionsMax = 8;
    static constexpr std::uint32_t kQueuesMax = 16;

    std::uint32_t connections = 1;
    std::uint32_t queues = 1;           ///< Receive queues of the interface, each with a socket.
    std::uint32_t queue_frames = 1024;  ///< That each queue has to be filled, whatever is held.
    std::uint32_t transmit_entries = 512;
    std::uint32_t frame_bytes = 2048;
    std::uint32_t packet_pieces = 1;  ///< Frames that a packet may take, where the queue has that.
    tcp::Limits tcp;

    /// The last part is written while the transmit ring is full of others.
    [[nodiscard]] std::uint32_t frames() const noexcept {
        return connections * tcp.rx_frames + queues * queue_frames + transmit_entries +
               packet_pieces - 1;
    }
    /// Frames that nobody holds wait in the queues as well: a peer that sends a window at once must
    /// find room for it while we are not running.
    [[nodiscard]] std::uint32_t queue_frames_max() const noexcept {
        return queue_frames + connections * tcp.rx_frames / queues;
    }
    [[nodiscard]] std::uint32_t receive_entries() const noexcept {
        return std::bit_ceil(queue_frames_max());
    }
    /// Kicks that one turn may give to a ring, at most.
    [[nodiscard]] std::uint32_t kicks_max() const noexcept {
        return queues + transmit_entries / kTransmitBudget + 1;
    }
    /// Of a received packet in one frame, behind the room that the kernel keeps.
    [[nodiscard]] constexpr std::uint32_t piece_bytes() const noexcept {
        constexpr std::uint32_t kHeadroomBytes = 256;  // XDP_PACKET_HEADROOM.
        return frame_bytes - kHeadroomBytes;
    }
    /// The largest IP packet that so many received frames can hold.
    [[nodiscard]] constexpr std::uint32_t mtu_bytes_max(std::uint32_t pieces) const noexcept {
        return pieces * piece_bytes() - kLinkBytes;
    }
    /// Frames that a received IP packet of so many bytes takes.
    [[nodiscard]] constexpr std::uint32_t pieces_for(std::uint32_t mtu_bytes) const noexcept {
        return (mtu_bytes + kLinkBytes + piece_bytes() - 1) / piece_bytes();
    }

private:
    static constexpr std::uint32_t kLinkBytes = wire::kEthernetBytes + wire::kVlanBytes;
};

/// What a path is opened with. The descriptors are borrowed for the call.
struct PathDoors {
    int table_fd = -1;    ///< Classifier::shared.
    int sockets_fd = -1;  ///< Classifier::sockets.
    classifier::FlowOwner owner{};
    tcp::Secret secret{};
    bool demands_zero_copy = false;
    bool withholds_pieces = false;  ///< As a driver does that has one frame for a packet.
};

/// Only ever grow. A packet of several frames counts as so many.
struct PathCounters {
    std::uint64_t frames_in = 0;
    std::uint64_t frames_out = 0;
    std::uint64_t frames_not_ours = 0;
    std::uint64_t transmit_full = 0;  ///< Turns that ended with a full transmit ring.
};

/// See the file comment. Thread: the loop's.
class XdpPath {
public:
    static constexpr Duration kCloseWait = TcpSocket::kCloseWait;
    static constexpr Duration kLookMax = Duration::from_s(3);
    static constexpr Duration kRenewEvery = Duration::from_s(1);
    static constexpr Duration kBlockedWait = Duration::from_us(100);
    static constexpr Duration kBlockedWaitMax = Duration::from_ms(10);
    /// Each connection takes these local ports in turn, so that what is late is not taken for new.
    static constexpr std::size_t kPortsOfLine = 4;
    /// Bytes not yet sent for the first time, beyond which nothing more is taken: what is queued
    /// here nothing can overtake.
    static constexpr std::uint32_t kUnsentBytesMax = 128 * 1024;
    /// Connections of a predecessor that are remembered.
    static constexpr std::size_t kOrphansMax = std::size_t{2} * PathShape::kConnectionsMax;
    /// Places of the transmit ring that data leaves to acknowledgements, resets and ARP.
    static constexpr std::uint32_t kControlEntries = 16;
    /// Frames that may be with the driver at once, given the places in its own ring (0: unknown). A
    /// frame may take two: virtio_net does so when there is no memory for a table of descriptors,
    /// and what then finds no place it drops as if it were sent. The kernel sends there, too.
    [[nodiscard]] static std::uint32_t sending_max(const PathShape& shape,
                                                   std::uint32_t driver_places) noexcept;

    static void add_to_plan(reserve::MemoryPlan& plan, const PathShape& shape) noexcept;
    /// `options` without what shape and route decide: MTU and payload of a frame.
    XdpPath(const PathShape& shape, std::span<const Route> routes, const tcp::Options& options,
            reserve::Region& region) noexcept;
    XdpPath(const XdpPath&) = delete;
    XdpPath& operator=(const XdpPath&) = delete;
    ~XdpPath();

    /// prepare() and bind().
    [[nodiscard]] OrErrno<void> open(const PathDoors& doors) noexcept;
    /// Makes the sockets and reserves the ports. `doors.sockets_fd` is not looked at.
    [[nodiscard]] OrErrno<void> prepare(const PathDoors& doors) noexcept;
    /// Takes the queues and enters the sockets into the classifier's map. Allocates nothing in this
    /// process. After a refusal it can be tried again: EBUSY while somebody else has a queue.
    /// The flows that the table has of the owner are a predecessor's, who is dead.
    [[nodiscard]] OrErrno<void> bind(int sockets_fd) noexcept;
    [[nodiscard]] bool is_bound() const noexcept { return is_bound_; }
    [[nodiscard]] bool is_zero_copy() const noexcept { return sockets_[0].is_zero_copy(); }
    [[nodiscard]] std::uint16_t queue_count() const noexcept {
        return static_cast<std::uint16_t>(shape_.queues);
    }
    [[nodiscard]] int descriptor(std::uint32_t queue) const noexcept {
        return sockets_[queue].descriptor();
    }

    /// Frames that a packet may take: of the shape, or fewer, if the queue has no more.
    [[nodiscard]] std::uint32_t pieces() const noexcept { return pieces_; }
    /// The largest IP packet; less than the link's MTU if it would take more pieces.
    [[nodiscard]] std::uint32_t packet_bytes() const noexcept { return options_.mtu_bytes; }

    /// Only when idle. Lost follows if it fails; at once when there is no route of ours.
    [[nodiscard]] SocketReport connect(std::size_t line, Instant now,
                                       const SocketAddress& to) noexcept;
    /// Resets the connection, whatever its state. Lost follows; at once when already idle.
    [[nodiscard]] SocketReport reset(std::size_t line, Instant now) noexcept;
    /// Sends FIN, waits kCloseWait for the peer's, then ends as reset() does.
    [[nodiscard]] SocketReport close(std::size_t line, Instant now) noexcept;
    [[nodiscard]] bool is_idle(std::size_t line) const noexcept;
    [[nodiscard]] bool is_up(std::size_t line) const noexcept;

    [[nodiscard]] bool has_input() noexcept;
    void take_input(Instant now) noexcept;
    void wake(Instant now) noexcept;
    [[nodiscard]] Instant next_wake() const noexcept;

    /// Bytes whose loans are over since the last call.
    [[nodiscard]] std::size_t poll_released(std::size_t line) noexcept;
    /// Received and not taken, one piece; valid until taken.
    [[nodiscard]] std::span<const std::byte> rx_front(std::size_t line) const noexcept;
    void rx_taken(std::size_t line, Instant now, std::size_t bytes) noexcept;
    /// Up and Lost; None when there is nothing to say. Lost only after all of rx_front() was taken.
    [[nodiscard]] SocketReport poll_report(std::size_t line, Instant now) noexcept;
    /// Lends `bytes` until poll_released() counts them, or until Lost. False: not now.
    [[nodiscard]] bool try_send(std::size_t line, std::span<const std::byte> bytes) noexcept;
    /// Writes and shows the kernel what is due, and wakes it by a system call.
    void send_output(Instant now) noexcept;
    /// The same with the kernel woken by the ring when it is submitted, where queue Q's socket
    /// stands at place `first` + Q.
    void send_output(Instant now, Ring& ring, FileSlot first) noexcept;

    [[nodiscard]] const PathCounters& counters() const noexcept { return counters_; }
    [[nodiscard]] const tcp::Stream& stream(std::size_t line) const noexcept;
    /// Of the last connect.
    [[nodiscard]] const wire::Flow& flow(std::size_t line) const noexcept {
        return lines_[line]->flow;
    }
    [[nodiscard]] XdpLosses losses() const noexcept;
    /// Frames that are nowhere else: for the account, which holds between any two calls.
    [[nodiscard]] bool is_account_right() noexcept;

private:
    enum class State : std::uint8_t {
        Idle,
        Looking,  ///< For the neighbour's station.
        Connecting,
        Up,
        Closing,   ///< FIN is sent or queued; received bytes are thrown away.
        Draining,  ///< What the stream still has to say goes out, then Lost.
    };
    /// One connection.
    struct Line {
        Line(const PathShape& shape, const tcp::Options& options, reserve::Region& region) noexcept
            : stream(shape.tcp, region, options) {}
        tcp::Stream stream;
        tcp::Neighbour neighbour{};
        wire::IpAddress next_hop{};
        wire::Flow flow{};
        State state = State::Idle;
        bool peer_closed = false;
        bool is_drained = false;
        std::uint8_t next_port = 0;
        Instant deadline = Instant::never();  ///< Of Looking and Closing.
        tcp::Seq confirmed{};
        std::array<UniqueFd, kPortsOfLine> reservations{};
        std::array<std::uint16_t, kPortsOfLine> ports{};
    };

    /// Of a queue, while it is not whole.
    struct Packet {
        FixedVector<tcp::ReceivedFrame, tcp::Stream::kPiecesMax> pieces;
        bool is_too_long = false;  ///< It had more of them.
    };

    [[nodiscard]] Line& line_at(std::size_t line) noexcept { return *lines_[line]; }
    [[nodiscard]] OrErrno<void> reserve_ports(Line& line) noexcept;
    void begin(Line& line, Instant now) noexcept;
    void drain(Line& line, Instant now) noexcept;
    [[nodiscard]] SocketReport settle(Line& line) noexcept;
    void fit_packets() noexcept;
    void take_piece(Instant now, Packet& packet, const xdp_desc& descriptor) noexcept;
    void take_packet(Instant now, Packet& packet) noexcept;
    void take_completions() noexcept;
    void refill() noexcept;
    void mind_neighbour(Line& line) noexcept;
    void find_orphans() noexcept;
    void ask_orphans(const Line& line) noexcept;
    void put_output(Instant now) noexcept;
    void judge_progress(Instant now) noexcept;
    [[nodiscard]] bool has_room_for(std::uint32_t pieces) noexcept;
    [[nodiscard]] bool may_transmit() noexcept;
    void output(Line& line, Instant now) noexcept;
    [[nodiscard]] std::uint32_t head_bytes() const noexcept;
    template <class Write>
    [[nodiscard]] bool transmit(Write write) noexcept;

    using Rooms = std::span<const std::span<std::byte>>;

    PathShape shape_;
    tcp::Options options_;  // As the streams have them.
    std::uint32_t pieces_;
    std::uint32_t sending_max_;
    FixedVector<Route, 4> routes_;
    Umem umem_;
    FixedVector<Line*, PathShape::kConnectionsMax> lines_;
    std::array<XdpSocket, PathShape::kQueuesMax> sockets_{};
    classifier::ClassifierTable table_;
    classifier::FlowOwner owner_{};
    tcp::Secret secret_{};
    FixedVector<wire::Flow, kOrphansMax> orphans_;  // Not yet asked.
    bool is_bound_ = false;
    Instant renew_at_{};
    bool is_blocked_ = false;  // Something could not be written.
    Instant blocked_until_ = Instant::never();
    bool may_kick_ = true;     // False: it was in vain a moment ago.
    std::uint32_t shown_ = 0;  // To the kernel, and not taken by it, at the end of a turn.
    Instant kicked_until_{};   // No other kick before then, unless it takes something.
    Duration kick_wait_ = kBlockedWait;
    std::array<bool, PathShape::kQueuesMax> is_refilled_{};
    std::array<Packet, PathShape::kQueuesMax> packets_{};
    FixedVector<std::span<std::byte>, tcp::Stream::kPiecesMax> rooms_;  // Of those at hand.
    FixedVector<FrameNumber, tcp::Stream::kPiecesMax> at_hand_;         // To be written next.
    std::uint32_t sending_ = 0;                                   // With the kernel, to be sent.
    std::array<std::uint32_t, PathShape::kQueuesMax> filling_{};  // With the kernel, to be filled.
    PathCounters counters_;
};

}  // namespace holdfast::netpath::xdp
