#include "netpath/xdp/xdp_path.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "netpath/xdp/local_port.h"
#include "netpath/xdp/orphan.h"

namespace holdfast::netpath::xdp {

namespace {

/// With packets of at most `pieces` frames.
tcp::Options options_for(const PathShape& shape, std::span<const Route> routes,
                         tcp::Options options, std::uint32_t pieces) noexcept {
    constexpr std::uint32_t kGapPackets = 4;
    constexpr std::uint32_t kPacketBytesMax = 0xffff;  // RFC 791: the total length has 16 bits.
    HF_ASSERT(!routes.empty());
    options.mtu_bytes = std::min(shape.mtu_bytes_max(pieces), kPacketBytesMax);
    for (const Route& route : routes)
        options.mtu_bytes = std::min(options.mtu_bytes, route.mtu_bytes);
    options.frames_per_packet = shape.pieces_for(options.mtu_bytes);
    options.rx_frames_reserved = kGapPackets * options.frames_per_packet;
    constexpr std::uint32_t kTimestampBytes = 12;
    const std::uint32_t headers = static_cast<std::uint32_t>(
        (routes.front().local.is_v6() ? wire::kIpv6Bytes : wire::kIpv4Bytes) + wire::kTcpBytes +
        kTimestampBytes);
    options.frame_payload_bytes = options.mtu_bytes - headers;
    return options;
}

steer::FlowRule rule_of(const wire::Flow& flow,
                        steer::FlowPath path = steer::FlowPath::Socket) noexcept {
    return {.flow = flow, .path = path, .vlan = {}};
}

}  // namespace

void XdpPath::add_to_plan(reserve::MemoryPlan& plan, const PathShape& shape) noexcept {
    plan.add_objects<XdpPath>("reserved path", 1, "sockets on the queues of one interface");
    Umem::add_to_plan(plan, {.frames = shape.frames(), .frame_bytes = shape.frame_bytes});
    for (std::uint32_t i = 0; i < shape.connections; ++i) {
        plan.add_objects<Line>("TCP connection", 1, "one for each connection of the session");
        tcp::Stream::add_to_plan(plan, shape.tcp);
    }
}

std::uint32_t XdpPath::sending_max(const PathShape& shape, std::uint32_t driver_places) noexcept {
    constexpr std::uint32_t kForTheKernel = 16;
    const std::uint32_t least = 2 * kControlEntries + shape.packet_pieces;
    const std::uint32_t all = shape.transmit_entries;
    if (driver_places == 0) return all;
    const std::uint32_t ours = driver_places - std::min(driver_places, kForTheKernel);
    return std::min(all, std::max(ours / 2, least));
}

XdpPath::XdpPath(const PathShape& shape, std::span<const Route> routes, const tcp::Options& options,
                 reserve::Region& region) noexcept
    : shape_(shape),
      options_(options_for(shape, routes, options, shape.packet_pieces)),
      pieces_(options_.frames_per_packet),
      sending_max_(sending_max(shape, routes.front().transmit_ring)),
      umem_({.frames = shape.frames(), .frame_bytes = shape.frame_bytes}, region) {
    HF_ASSERT(shape.connections > 0 && shape.connections <= PathShape::kConnectionsMax);
    HF_ASSERT(shape.queues > 0 && shape.queues <= PathShape::kQueuesMax);
    HF_ASSERT(shape.packet_pieces > 0 && shape.packet_pieces <= tcp::Stream::kPiecesMax);
    HF_ASSERT(shape.transmit_entries >= 2 * kControlEntries + shape.packet_pieces);
    for (const Route& route : routes) {
        HF_ASSERT(route.interface_index == routes.front().interface_index);
        routes_.push(route);
    }
    for (std::uint32_t i = 0; i < shape.connections; ++i)
        lines_.push(&region.make<Line>(shape, options_, region));
}

XdpPath::~XdpPath() {
    if (table_.is_mapped()) table_.remove_flows_of(owner_);
    for (Line* const line : lines_) std::destroy_at(line);
}

OrErrno<void> XdpPath::open(const PathDoors& doors) noexcept {
    if (auto prepared = prepare(doors); !prepared) return prepared;
    return bind(doors.sockets_fd);
}

OrErrno<void> XdpPath::prepare(const PathDoors& doors) noexcept {
    HF_ASSERT(!sockets_[0].is_open());
    auto table = classifier::ClassifierTable::map(doors.table_fd);
    if (!table) return std::unexpected(table.error());
    table_ = std::move(*table);
    owner_ = doors.owner;
    secret_ = doors.secret;
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) {
        const XdpSocketWish wish{.interface_index = routes_[0].interface_index,
                                 .queue = queue,
                                 .receive_entries = shape_.receive_entries(),
                                 .transmit_entries = queue == 0 ? shape_.transmit_entries : 0,
                                 .demands_zero_copy = doors.demands_zero_copy,
                                 .wants_pieces = pieces_ > 1 && !doors.withholds_pieces};
        const XdpSocket* const first = queue == 0 ? nullptr : &sockets_[0];
        if (auto made = sockets_[queue].prepare(wish, umem_, first); !made) return made;
    }
    refill();
    for (const Route& route : routes_) {
        static_cast<void>(table_.try_answer_for(route.local, route.station));
        static_cast<void>(table_.try_watch_neighbour(route.next_hop));
    }
    for (Line* const line : lines_)
        if (auto reserved = reserve_ports(*line); !reserved) return reserved;
    return {};
}

OrErrno<void> XdpPath::bind(int sockets_fd) noexcept {
    HF_ASSERT(sockets_[0].is_open() && !is_bound_);
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) {
        if (sockets_[queue].is_bound()) continue;
        const XdpSocket* const first = queue == 0 ? nullptr : &sockets_[0];
        if (auto bound = sockets_[queue].bind(first); !bound) return bound;
    }
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue)
        if (auto put = classifier::put_socket(sockets_fd, queue, descriptor(queue)); !put)
            return put;
    fit_packets();
    find_orphans();
    is_bound_ = true;
    return {};
}

/// A queue that takes packets of fewer frames than was planned gets smaller ones.
void XdpPath::fit_packets() noexcept {
    const std::uint32_t pieces = std::min(pieces_, sockets_[0].pieces_max());
    if (pieces == pieces_) return;
    options_ = options_for(shape_, routes_.span(), options_, pieces);
    pieces_ = options_.frames_per_packet;
    for (Line* const line : lines_)
        line->stream.limit_packets(options_.mtu_bytes, options_.frame_payload_bytes, pieces_);
}

/// Answers to them must reach the kernel, also under pressure.
void XdpPath::find_orphans() noexcept {
    std::array<wire::Flow, kOrphansMax> room{};
    const auto found = table_.socket_flows_of(owner_, room);
    table_.remove_flows_of(owner_);
    for (const wire::Flow& flow : found) {
        static_cast<void>(table_.try_add_flow(owner_, rule_of(flow, steer::FlowPath::Kernel)));
        orphans_.push(flow);
    }
}

/// Those behind the same neighbour as the line's peer; others have no route of ours.
void XdpPath::ask_orphans(const Line& line) noexcept {
    while (!orphans_.empty() && may_transmit()) {
        const wire::Flow flow = orphans_[orphans_.size() - 1];
        orphans_.pop();
        const auto route = std::ranges::find(routes_, flow.remote, &Route::remote);
        if (route == routes_.end() || route->next_hop != line.next_hop) continue;
        static_cast<void>(transmit(
            [&](Rooms rooms) { return put_question(rooms.front(), line.neighbour.link(), flow); }));
    }
}

OrErrno<void> XdpPath::reserve_ports(Line& line) noexcept {
    for (std::size_t i = 0; i < kPortsOfLine; ++i) {
        auto taken = reserve_port(routes_[0].local);
        if (!taken) return std::unexpected(taken.error());
        line.ports[i] = taken->number;
        line.reservations[i] = std::move(taken->owner);
    }
    return {};
}

bool XdpPath::is_idle(std::size_t line) const noexcept {
    return lines_[line]->state == State::Idle;
}

bool XdpPath::is_up(std::size_t line) const noexcept {
    return lines_[line]->state == State::Up;
}

const tcp::Stream& XdpPath::stream(std::size_t line) const noexcept {
    return lines_[line]->stream;
}

XdpLosses XdpPath::losses() const noexcept {
    XdpLosses all;
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) {
        const XdpLosses one = sockets_[queue].losses();
        all.dropped += one.dropped;
        all.receive_ring_full += one.receive_ring_full;
        all.fill_ring_empty += one.fill_ring_empty;
        all.invalid_descriptors += one.invalid_descriptors;
    }
    return all;
}

SocketReport XdpPath::connect(std::size_t index, Instant now, const SocketAddress& to) noexcept {
    Line& line = line_at(index);
    HF_ASSERT(is_bound_ && line.state == State::Idle);
    const auto route = std::ranges::find(routes_, ip_of(to), &Route::remote);
    if (route == routes_.end() || route->local.is_v6() != routes_[0].local.is_v6())
        return {.fact = SocketFact::Lost};
    line.flow = {.local = routes_[0].local,
                 .remote = route->remote,
                 .local_port = line.ports[line.next_port],
                 .remote_port = port_of(to)};
    line.next_port = static_cast<std::uint8_t>((line.next_port + 1) % kPortsOfLine);
    // The port may have been a predecessor's.
    table_.remove_flow(owner_, rule_of(line.flow, steer::FlowPath::Kernel));
    if (!table_.try_add_flow(owner_, rule_of(line.flow))) return {.fact = SocketFact::Lost};
    line.next_hop = route->next_hop;
    line.neighbour.start(now, line.flow.local, route->next_hop,
                         {.local = route->station, .remote = route->next_station, .vlan = {}});
    line.peer_closed = false;
    line.is_drained = false;
    line.state = State::Looking;
    line.deadline = now + kLookMax;
    mind_neighbour(line);
    if (line.neighbour.is_known()) begin(line, now);
    return {};
}

void XdpPath::begin(Line& line, Instant now) noexcept {
    HF_ASSERT(line.state == State::Looking && line.neighbour.is_known());
    line.state = State::Connecting;
    line.deadline = Instant::never();
    line.stream.connect(now, line.flow, line.neighbour.link(), secret_);
    line.confirmed = line.stream.connection().snd_una();
}

/// Leaves every other state; what is still to be said is a reset at most.
void XdpPath::drain(Line& line, Instant now) noexcept {
    HF_ASSERT(line.state != State::Idle);
    line.deadline = Instant::never();
    line.state = State::Draining;
    line.is_drained = false;
    line.stream.reset(now);
}

SocketReport XdpPath::settle(Line& line) noexcept {
    if (line.state != State::Draining || !line.is_drained) return {};
    table_.remove_flow(owner_, rule_of(line.flow));
    line.state = State::Idle;
    return {.fact = SocketFact::Lost};
}

SocketReport XdpPath::reset(std::size_t index, Instant now) noexcept {
    Line& line = line_at(index);
    if (line.state == State::Idle) return {.fact = SocketFact::Lost};
    if (line.state != State::Draining) drain(line, now);
    return {};
}

SocketReport XdpPath::close(std::size_t index, Instant now) noexcept {
    Line& line = line_at(index);
    if (line.state == State::Idle) return {.fact = SocketFact::Lost};
    if (line.state == State::Draining) return {};
    if (line.state != State::Up) {
        drain(line, now);
        return {};
    }
    line.stream.close(now);
    line.state = State::Closing;
    line.deadline = now + kCloseWait;
    return {};
}

bool XdpPath::has_input() noexcept {
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue)
        if (!sockets_[queue].receive().empty()) return true;
    return false;
}

void XdpPath::take_input(Instant now) noexcept {
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) {
        auto& ring = sockets_[queue].receive();
        while (const auto descriptor = ring.try_pop()) {
            HF_ASSERT(filling_[queue] > 0);
            --filling_[queue];
            take_piece(now, packets_[queue], *descriptor);
        }
        ring.release();
    }
    refill();
    for (Line* const line : lines_) {
        // The peer's TCP made progress, so its neighbour is there.
        const tcp::Seq una = line->stream.connection().snd_una();
        if (line->state != State::Up || una == line->confirmed) continue;
        line->confirmed = una;
        line->neighbour.on_confirmed(now);
    }
}

void XdpPath::take_piece(Instant now, Packet& packet, const xdp_desc& descriptor) noexcept {
    const FrameNumber number = umem_.number_of(descriptor.addr);
    const std::size_t offset = descriptor.addr - umem_.address_of(number);
    ++counters_.frames_in;
    const tcp::ReceivedFrame piece{
        .id = number, .memory = umem_.frame(number).subspan(offset), .bytes = descriptor.len};
    if (!packet.pieces.try_push(piece)) {
        packet.is_too_long = true;
        umem_.give_back(number);
    }
    if ((descriptor.options & kPacketGoesOn) == 0) take_packet(now, packet);
}

void XdpPath::take_packet(Instant now, Packet& packet) noexcept {
    const auto pieces = packet.pieces.span();
    tcp::PacketFate fate;
    for (Line* const line : lines_) {
        if (line->state == State::Idle || line->state == State::Looking) continue;
        if (!packet.is_too_long) fate = line->stream.input(now, pieces);
        if (fate.is_ours) break;
    }
    if (!fate.is_ours) counters_.frames_not_ours += pieces.size();
    for (std::size_t i = 0; i < pieces.size(); ++i)
        if ((fate.kept >> i & 1) == 0) umem_.give_back(pieces[i].id);
    packet.pieces.clear();
    packet.is_too_long = false;
}

void XdpPath::take_completions() noexcept {
    auto& ring = sockets_[0].completion();
    while (const auto address = ring.try_pop()) {
        HF_ASSERT(sending_ > 0);
        --sending_;
        umem_.give_back(umem_.number_of(*address));
    }
    ring.release();
}

void XdpPath::refill() noexcept {
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) {
        auto& ring = sockets_[queue].fill();
        // The rest is for sending.
        const std::uint32_t kept = shape_.transmit_entries - sending_;
        while (filling_[queue] < shape_.queue_frames_max() && umem_.free_count() > kept &&
               ring.has_room()) {
            const auto number = umem_.try_take();
            const bool is_pushed = ring.try_push(umem_.address_of(*number));
            HF_ASSERT(is_pushed);
            ++filling_[queue];
        }
        if (ring.publish()) is_refilled_[queue] = true;
    }
}

void XdpPath::wake(Instant now) noexcept {
    for (Line* const line : lines_) {
        if (line->state == State::Idle) continue;
        mind_neighbour(*line);
        if (line->state == State::Looking && line->neighbour.is_known()) begin(*line, now);
        if (now >= line->deadline) drain(*line, now);
        if (now >= line->stream.next_wake()) line->stream.wake(now);
    }
}

/// Its answers go to the kernel, and the classifier learns on the way.
void XdpPath::mind_neighbour(Line& line) noexcept {
    if (const auto heard = table_.neighbour(line.next_hop))
        line.neighbour.on_heard(heard->seen, heard->station);
    if (line.state != State::Looking) line.stream.set_link(line.neighbour.link());
}

Instant XdpPath::next_wake() const noexcept {
    Instant next = earlier(renew_at_, blocked_until_);
    for (const Line* const line : lines_) {
        if (line->state == State::Idle) continue;
        next = earlier(next, earlier(line->deadline, line->stream.next_wake()));
        next = earlier(next, line->neighbour.next_wake());
    }
    return next;
}

std::size_t XdpPath::poll_released(std::size_t index) noexcept {
    Line& line = line_at(index);
    std::size_t bytes = 0;
    // A piece is named by its length.
    while (const auto piece = line.stream.poll_returned_piece()) bytes += *piece;
    return line.state == State::Up ? bytes : 0;
}

std::span<const std::byte> XdpPath::rx_front(std::size_t index) const noexcept {
    const Line& line = *lines_[index];
    return line.state == State::Up ? line.stream.rx_front() : std::span<const std::byte>{};
}

void XdpPath::rx_taken(std::size_t index, Instant now, std::size_t bytes) noexcept {
    line_at(index).stream.rx_taken(now, static_cast<std::uint32_t>(bytes));
}

SocketReport XdpPath::poll_report(std::size_t index, Instant now) noexcept {
    Line& line = line_at(index);
    while (const auto fact = line.stream.poll_fact()) {
        switch (fact->kind) {
        case tcp::Fact::Kind::Up:
            if (line.state != State::Connecting) break;
            line.state = State::Up;
            line.neighbour.on_confirmed(now);
            return {.fact = SocketFact::Up};
        case tcp::Fact::Kind::PeerClosed: line.peer_closed = true; break;
        case tcp::Fact::Kind::Ended:
            if (line.state != State::Idle && line.state != State::Draining) drain(line, now);
            break;
        }
    }
    // Nothing more will come, and iSCSI has no half-open use of TCP.
    const bool is_over =
        line.state == State::Up && line.peer_closed && line.stream.rx_front().empty();
    const bool is_closed =
        line.state == State::Closing && line.stream.connection().state() == tcp::State::TimeWait;
    if (is_over || is_closed) drain(line, now);
    if (line.state == State::Closing)
        while (!line.stream.rx_front().empty()) rx_taken(index, now, line.stream.rx_front().size());
    return settle(line);
}

bool XdpPath::try_send(std::size_t index, std::span<const std::byte> bytes) noexcept {
    Line& line = line_at(index);
    if (line.state != State::Up || bytes.empty()) return false;
    if (line.stream.connection().unsent_bytes() >= kUnsentBytesMax) return false;
    return line.stream.try_send(bytes, static_cast<tcp::PieceTag>(bytes.size()));
}

/// Places for `pieces` more frames, and the frames themselves at hand.
bool XdpPath::has_room_for(std::uint32_t pieces) noexcept {
    if (sending_ + pieces > sending_max_ || !sockets_[0].transmit().has_room(pieces)) return false;
    while (at_hand_.size() < pieces) {
        const auto number = umem_.try_take();
        if (!number) return false;
        at_hand_.push(*number);
    }
    return true;
}

bool XdpPath::may_transmit() noexcept {
    if (has_room_for(1)) return true;
    is_blocked_ = true;
    return false;
}

/// In front of packets of several frames stands a short one: in copy mode the kernel makes the head
/// of its packet as long, and a peer on this host counts all that was allocated for a packet
/// against its window.
std::uint32_t XdpPath::head_bytes() const noexcept {
    constexpr std::uint32_t kHeadBytesMin = 512;  // Of all headers, and then some.
    if (pieces_ == 1) return shape_.frame_bytes;
    const std::uint32_t behind = (pieces_ - 1) * shape_.frame_bytes;
    const auto all = static_cast<std::uint32_t>(tcp::Stream::frame_bytes_max(options_));
    return std::max(all - std::min(all, behind), kHeadBytesMin);
}

/// `write` fills the frames at hand, one after the other, and says how many bytes; 0: nothing to
/// send. False then, too.
template <class Write>
bool XdpPath::transmit(Write write) noexcept {
    rooms_.clear();
    for (const FrameNumber number : at_hand_)
        rooms_.push(umem_.frame(number).first(rooms_.empty() ? head_bytes() : shape_.frame_bytes));
    std::size_t left = write(Rooms{rooms_.span()});
    if (left == 0) return false;
    std::uint32_t used = 0;
    for (; left > 0; ++used) {
        const std::size_t part = std::min(left, rooms_[used].size());
        left -= part;
        const bool is_pushed =
            sockets_[0].transmit().try_push({.addr = umem_.address_of(at_hand_[used]),
                                             .len = static_cast<std::uint32_t>(part),
                                             .options = left > 0 ? kPacketGoesOn : 0});
        HF_ASSERT(is_pushed);
    }
    sending_ += used;
    counters_.frames_out += used;
    std::shift_left(at_hand_.begin(), at_hand_.end(), used);
    for (std::uint32_t i = 0; i < used; ++i) at_hand_.pop();
    return true;
}

void XdpPath::output(Line& line, Instant now) noexcept {
    if (line.state == State::Idle) return;
    // At most a question and an answer at a time.
    for (int i = 0; i < 2 && may_transmit(); ++i) {
        const auto write = [&](Rooms rooms) { return line.neighbour.output(now, rooms.front()); };
        if (!transmit(write)) break;
    }
    if (line.state == State::Looking) return;
    ask_orphans(line);
    while (may_transmit()) {
        const bool may_send_data =
            sending_ + kControlEntries + pieces_ <= sending_max_ && has_room_for(pieces_);
        const auto write = [&](Rooms rooms) {
            return line.stream.output(now, rooms, may_send_data);
        };
        if (transmit(write)) continue;
        if (!may_send_data) is_blocked_ = true;
        line.is_drained = true;
        return;
    }
}

/// Whether the kernel took something of what it was shown. What it does not take, as while the
/// interface is down, is tried again less and less often.
void XdpPath::judge_progress(Instant now) noexcept {
    const std::uint32_t left = sockets_[0].transmit().pending();
    const bool is_stuck = left > 0 && left >= shown_;
    if (!is_stuck) kick_wait_ = kBlockedWait;
    may_kick_ = !is_stuck || now >= kicked_until_;
    if (is_stuck && may_kick_) kick_wait_ = std::min(kick_wait_ * 2, kBlockedWaitMax);
}

void XdpPath::put_output(Instant now) noexcept {
    HF_ASSERT(is_bound_);
    judge_progress(now);
    if (now >= renew_at_) {
        table_.renew_lease(now);
        renew_at_ = now + kRenewEvery;
    }
    is_blocked_ = false;
    take_completions();
    for (Line* const line : lines_)
        while (const auto frame = line->stream.poll_returned_frame()) umem_.give_back(*frame);
    refill();
    for (Line* const line : lines_) output(*line, now);
    sockets_[0].transmit().publish();
    shown_ = sockets_[0].transmit().pending();
    counters_.transmit_full += is_blocked_ ? 1 : 0;
    if (may_kick_) kicked_until_ = now + kick_wait_;
}

void XdpPath::send_output(Instant now) noexcept {
    put_output(now);
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue)
        if (std::exchange(is_refilled_[queue], false)) sockets_[queue].kick_receive();
    // Also when nothing is new: a full interface may have left some.
    if (may_kick_) sockets_[0].kick_transmit();
    shown_ = sockets_[0].transmit().pending();
    const bool is_waiting = is_blocked_ || shown_ > 0;
    blocked_until_ = is_waiting ? kicked_until_ : Instant::never();
}

void XdpPath::send_output(Instant now, Ring& ring, FileSlot first) noexcept {
    put_output(now);
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) {
        if (!std::exchange(is_refilled_[queue], false) || !sockets_[queue].is_receive_kick_due())
            continue;
        ring.kick_receiving(FileSlot{static_cast<std::uint16_t>(first.raw() + queue)});
    }
    const std::uint32_t kicks = may_kick_ ? sockets_[0].transmit_kicks_due() : 0;
    for (std::uint32_t i = 0; i < kicks; ++i) ring.kick_sending(first);
    // In copy mode a kick that leaves something completes, which wakes the loop; a driver without
    // copies may stop in silence.
    const bool is_waiting = is_blocked_ || !may_kick_ || (shown_ > 0 && is_zero_copy());
    blocked_until_ = is_waiting ? kicked_until_ : Instant::never();
}

bool XdpPath::is_account_right() noexcept {
    std::uint32_t held = 0;
    for (const Line* const line : lines_) held += line->stream.connection().held_frames();
    for (std::uint32_t queue = 0; queue < shape_.queues; ++queue) held += filling_[queue];
    held += static_cast<std::uint32_t>(at_hand_.size());
    for (const Packet& packet : packets_) held += static_cast<std::uint32_t>(packet.pieces.size());
    return umem_.free_count() + held + sending_ == shape_.frames();
}

}  // namespace holdfast::netpath::xdp
