#include "netpath/xdp/xdp_path.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "netpath/classifier/loader.h"
#include "reserve/arena.h"
#include "tests/netpath/xdp/veth_pair.h"

namespace holdfast::netpath::xdp {
namespace {

using xdp_test::VethPair;

Instant now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant::from_ns(time.tv_sec * 1'000'000'000 + time.tv_nsec);
}

std::byte pattern(std::size_t place, bool is_ours) {
    return static_cast<std::byte>((place * 2654435761U + (is_ours ? 17 : 91)) >> 16);
}

/// The kernel's TCP at the other end, never blocking.
class KernelPeer {
public:
    void listen(VethPair& pair, const SocketAddress& at) {
        listener_ = UniqueFd{pair.in_theirs([&] {
            const int fd = ::socket(at.is_ipv6() ? AF_INET6 : AF_INET,
                                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            const int on = 1;
            ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
            EXPECT_EQ(::bind(fd, at.raw(), at.raw_bytes()), 0);
            EXPECT_EQ(::listen(fd, 4), 0);
            return fd;
        })};
    }
    bool accept() {
        if (!fd_) fd_ = UniqueFd{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK)};
        return static_cast<bool>(fd_);
    }
    /// Sends the pattern up to `total`, reads and checks what comes.
    void turn(std::size_t total) {
        std::vector<std::byte> bytes(32 * 1024);
        while (sent < total) {
            const std::size_t part = std::min(bytes.size(), total - sent);
            for (std::size_t i = 0; i < part; ++i) bytes[i] = pattern(sent + i, false);
            const ssize_t done = ::send(fd_.get(), bytes.data(), part, MSG_NOSIGNAL);
            if (done <= 0) break;
            sent += static_cast<std::size_t>(done);
        }
        for (;;) {
            const ssize_t done = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
            if (done == 0) saw_end = true;
            if (done < 0 && errno == ECONNRESET) saw_reset = true;
            if (done <= 0) return;
            for (std::size_t i = 0; i < static_cast<std::size_t>(done); ++i)
                is_right = is_right && bytes[i] == pattern(read + i, true);
            read += static_cast<std::size_t>(done);
        }
    }
    void close() { fd_.reset(); }
    std::size_t sent = 0;
    std::size_t read = 0;
    bool is_right = true;
    bool saw_end = false;
    bool saw_reset = false;

private:
    UniqueFd listener_;
    UniqueFd fd_;
};

class PathOnVeth : public testing::Test {
protected:
    /// False: skipped.
    bool make(const char* host, unsigned queues = 1, std::uint32_t mtu_bytes = 1500) {
        const std::string reason = pair_.make(queues);
        if (!reason.empty()) {
            [&] { GTEST_SKIP() << reason; }();
            return false;
        }
        EXPECT_TRUE(set_mtu(mtu_bytes));
        to_ = SocketAddress::from_text(host, 3260);
        const auto route = find_route(*to_);
        EXPECT_TRUE(route.has_value());
        if (route) route_ = *route;
        auto loaded = classifier::load_classifier(
            {.interface_index = route->interface_index, .mode = classifier::XdpWish::Any});
        EXPECT_TRUE(loaded.has_value());
        if (!route || !loaded) return false;
        classifier_ = std::move(*loaded);
        shape_ = {.connections = 2,
                  .queues = queues,
                  .queue_frames = 256,
                  .transmit_entries = 128,
                  .tcp = {.records = 64, .sent = 1024, .rx_frames = 256}};
        if (mtu_bytes > shape_.mtu_bytes_max(1)) {
            shape_.frame_bytes = 4096;
            shape_.packet_pieces = shape_.pieces_for(mtu_bytes);
        }
        reserve::MemoryPlan plan;
        XdpPath::add_to_plan(plan, shape_);
        auto arena = reserve::Arena::map(plan.total());
        EXPECT_TRUE(arena.has_value());
        arena_.emplace(std::move(*arena));
        path_.emplace(shape_, std::span{&*route, 1}, tcp::Options{}, arena_->region());
        const auto opened = path_->open({.table_fd = classifier_.shared.get(),
                                         .sockets_fd = classifier_.sockets.get(),
                                         .owner = classifier::FlowOwner{1},
                                         .secret = {.first = 1, .second = 2},
                                         .withholds_pieces = withholds_pieces_});
        EXPECT_TRUE(opened.has_value()) << opened.error().text();
        peer_.listen(pair_, *to_);
        out_.resize(1 << 20);
        for (std::size_t i = 0; i < out_.size(); ++i) out_[i] = pattern(i, true);
        return opened.has_value();
    }

    bool set_mtu(std::uint32_t bytes) {
        const std::string words = " mtu " + std::to_string(bytes);
        return VethPair::run("ip link set hf0" + words) &&
               pair_.in_theirs([&] { return VethPair::run("ip link set hf1" + words); });
    }

    /// From now on the kernel is woken through a ring.
    void use_ring() {
        ring_.emplace();
        ASSERT_TRUE(ring_->open({.operations = 64}, {}).has_value());
        ASSERT_TRUE(ring_->set_file(FileSlot{0}, path_->descriptor(0)).has_value());
    }
    void send_output(Instant time) {
        if (!ring_) return path_->send_output(time);
        path_->send_output(time, *ring_, FileSlot{0});
        ring_->submit_and_wait(Duration{});
        while (ring_->poll_completed()) ++kicks_failed_;
    }
    void turn() {
        const Instant time = now();
        path_->take_input(time);
        path_->wake(time);
        released_ += path_->poll_released(0);
        for (auto front = path_->rx_front(0); !front.empty(); front = path_->rx_front(0)) {
            for (const std::byte byte : front)
                is_right_ = is_right_ && byte == pattern(read_++, false);
            path_->rx_taken(0, time, front.size());
        }
        for (auto report = path_->poll_report(0, time); report.fact != SocketFact::None;
             report = path_->poll_report(0, time))
            facts_.push_back(report.fact);
        while (lent_ < wanted_) {
            const std::size_t part = std::min<std::size_t>(16 * 1024, wanted_ - lent_);
            if (!path_->try_send(0, std::span{out_}.subspan(lent_, part))) break;
            lent_ += part;
        }
        send_output(time);
        EXPECT_TRUE(path_->is_account_right());
        pollfd waits{.fd = path_->descriptor(0), .events = POLLIN, .revents = 0};
        if (!path_->has_input()) ::poll(&waits, 1, 1);
    }
    template <class Condition>
    bool turns_until(Condition condition) {
        const Instant end = now() + Duration::from_s(20);
        while (!condition() && now() < end) {
            turn();
            if (peer_.accept()) peer_.turn(theirs_);
        }
        return condition();
    }
    [[nodiscard]] bool was(SocketFact fact) const {
        return std::ranges::find(facts_, fact) != facts_.end();
    }

    VethPair pair_;
    std::optional<SocketAddress> to_;
    Route route_;
    PathShape shape_;
    classifier::Classifier classifier_;
    std::optional<reserve::Arena> arena_;
    std::optional<XdpPath> path_;
    KernelPeer peer_;
    std::vector<std::byte> out_;
    std::vector<SocketFact> facts_;
    std::size_t wanted_ = 0;
    std::size_t theirs_ = 0;
    std::size_t lent_ = 0;
    std::size_t released_ = 0;
    std::size_t read_ = 0;
    bool is_right_ = true;
    bool withholds_pieces_ = false;
    std::optional<Ring> ring_;
    unsigned kicks_failed_ = 0;
};

// Goal: when each frame takes two places of the driver's ring there is room for all that we have
// there; a driver that tells nothing, or has plenty, gets what the shape allows, and none so few
// that data and answers cannot both go out.
TEST(SendingMax, FramesMayTakeTwoPlacesEach) {
    PathShape shape;
    shape.transmit_entries = 512;
    EXPECT_EQ(XdpPath::sending_max(shape, 0), 512U);
    EXPECT_EQ(XdpPath::sending_max(shape, 4096), 512U);
    EXPECT_EQ(XdpPath::sending_max(shape, 256), 120U) << "virtio's usual ring";
    for (std::uint32_t places = 82; places <= 1024; ++places)
        EXPECT_LE(2 * XdpPath::sending_max(shape, places) + 16, places);
    for (std::uint32_t places = 1; places < 82; ++places)
        EXPECT_GT(XdpPath::sending_max(shape, places), 2 * XdpPath::kControlEntries);
}

// Goal: bytes cross in both directions at once, unchanged, to the kernel's TCP, over IPv4 and IPv6
// and behind a router; what was lent comes back; both sides end in order.
TEST_F(PathOnVeth, BothDirectionsAtOnce) {
    for (const char* host : {"192.0.2.2", "2001:db8::2", "198.51.100.2"}) {
        SCOPED_TRACE(host);
        path_.reset();
        classifier_ = {};
        facts_.clear();
        wanted_ = theirs_ = lent_ = released_ = read_ = 0;
        peer_ = {};
        pair_ = {};
        if (!make(host)) return;
        ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
        ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up); }));
        wanted_ = out_.size();
        theirs_ = 3'000'000;
        ASSERT_TRUE(turns_until([&] { return released_ == wanted_ && read_ == theirs_; }));
        EXPECT_EQ(peer_.read, wanted_);
        EXPECT_TRUE(peer_.is_right);
        EXPECT_TRUE(is_right_);
        static_cast<void>(path_->close(0, now()));
        ASSERT_TRUE(turns_until([&] { return was(SocketFact::Lost); }));
        EXPECT_TRUE(path_->is_idle(0));
        EXPECT_TRUE(peer_.saw_end);
        EXPECT_FALSE(peer_.saw_reset);
        EXPECT_EQ(path_->losses().invalid_descriptors, 0U);
    }
}

// Goal: the same with packets of several frames, up to the largest IP packet: the segments are
// really as long as the link carries, and bytes and frames are all accounted for.
TEST_F(PathOnVeth, PacketsOfSeveralFrames) {
    for (const char* host : {"192.0.2.2", "2001:db8::2"}) {
        for (const std::uint32_t mtu : {4000U, 9000U, 65535U}) {
            SCOPED_TRACE(testing::Message() << host << ", MTU " << mtu);
            path_.reset();
            classifier_ = {};
            facts_.clear();
            wanted_ = theirs_ = lent_ = released_ = read_ = 0;
            peer_ = {};
            pair_ = {};
            if (!make(host, 1, mtu)) return;
            ASSERT_EQ(path_->pieces(), shape_.packet_pieces);
            ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
            ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up); }));
            const std::uint32_t headers = to_->is_ipv6() ? 72 : 52;
            EXPECT_EQ(path_->stream(0).connection().mss_bytes(), mtu - headers);
            wanted_ = out_.size();
            theirs_ = 3'000'000;
            ASSERT_TRUE(turns_until([&] { return released_ == wanted_ && read_ == theirs_; }));
            EXPECT_EQ(peer_.read, wanted_);
            EXPECT_TRUE(peer_.is_right);
            EXPECT_TRUE(is_right_);
            EXPECT_EQ(path_->losses().invalid_descriptors, 0U);
            EXPECT_EQ(path_->stream(0).malformed_count(), 0U);
            EXPECT_EQ(path_->stream(0).connection().counters().timeouts, 0U);
        }
    }
}

// Goal: a queue that takes no packet of several frames, as of a driver without them, gets segments
// that fit into one frame, whatever the link would carry.
TEST_F(PathOnVeth, QueueWithoutPiecesGetsSmallSegments) {
    withholds_pieces_ = true;
    if (!make("192.0.2.2", 1, 9000)) return;
    EXPECT_EQ(path_->pieces(), 1U);
    ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
    ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up); }));
    EXPECT_EQ(path_->stream(0).connection().mss_bytes(), shape_.mtu_bytes_max(1) - 52);
    wanted_ = theirs_ = out_.size();
    ASSERT_TRUE(turns_until([&] { return released_ == wanted_ && read_ == theirs_; }));
    EXPECT_TRUE(peer_.is_right && is_right_);
}

// Goal: a connection is reset, and the next one, from another port, works: nothing of the first is
// left. Several times more than there are ports.
TEST_F(PathOnVeth, ConnectsAgainAfterReset) {
    if (!make("192.0.2.2")) return;
    for (int i = 0; i < 10; ++i) {
        facts_.clear();
        wanted_ = lent_ = released_ = read_ = theirs_ = 0;
        peer_.sent = peer_.read = 0;
        peer_.saw_reset = false;
        ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
        ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up); }));
        theirs_ = 50'000;
        wanted_ = 100'000;
        ASSERT_TRUE(turns_until([&] { return peer_.read > 10'000; }));
        EXPECT_EQ(path_->reset(0, now()).fact, SocketFact::None);
        ASSERT_TRUE(turns_until([&] { return was(SocketFact::Lost) && peer_.saw_reset; }));
        EXPECT_TRUE(path_->is_idle(0));
        peer_.close();
        EXPECT_TRUE(is_right_ && peer_.is_right);
    }
}

// Goal: the same with the driver woken by a ring, as in a process that has no other system call;
// and while the interface is down it is tried seldom, and goes on when it is up.
TEST_F(PathOnVeth, RingWakesTheDriver) {
    if (!make("192.0.2.2")) return;
    use_ring();
    ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
    ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up); }));
    wanted_ = out_.size();
    theirs_ = 1'000'000;
    ASSERT_TRUE(turns_until([&] { return released_ == wanted_ && read_ == theirs_; }));
    EXPECT_TRUE(peer_.is_right && is_right_);
    const std::string name = VethPair::kOurs;
    ASSERT_EQ(std::system(("ip link set " + name + " down").c_str()), 0);
    kicks_failed_ = 0;
    lent_ = released_ = 0;
    const Instant end = now() + Duration::from_ms(300);
    while (now() < end) turn();
    // Doubled from 100 us to 10 ms: seven to get there, then at most 30.
    EXPECT_GE(kicks_failed_, 5U);
    EXPECT_LE(kicks_failed_, 45U);
    ASSERT_EQ(std::system(("ip link set " + name + " up").c_str()), 0);
    EXPECT_TRUE(turns_until([&] { return released_ == wanted_; }));
}

// Goal: a successor is ready while the one before has the queue, takes it when that has gone, and
// the connection that was left open at the peer ends with a reset.
TEST_F(PathOnVeth, SuccessorTakesTheQueue) {
    if (!make("192.0.2.2")) return;
    ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
    ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up) && peer_.accept(); }));
    const wire::Flow old = path_->flow(0);
    reserve::MemoryPlan plan;
    XdpPath::add_to_plan(plan, shape_);
    auto arena = reserve::Arena::map(plan.total());
    ASSERT_TRUE(arena.has_value());
    XdpPath heir{shape_, std::span{&route_, 1}, tcp::Options{}, arena->region()};
    const PathDoors doors{.table_fd = classifier_.shared.get(),
                          .sockets_fd = classifier_.sockets.get(),
                          .owner = classifier::FlowOwner{1},
                          .secret = {.first = 3, .second = 4}};
    ASSERT_TRUE(heir.prepare(doors).has_value());
    EXPECT_EQ(heir.bind(doors.sockets_fd).error().code(), EBUSY);
    EXPECT_FALSE(heir.is_bound());
    // A death: nothing is said, and the table stays as it is.
    path_.reset();
    const auto table = classifier::ClassifierTable::map(doors.table_fd);
    ASSERT_TRUE(table.has_value());
    ASSERT_TRUE(table->try_add_flow(doors.owner, {.flow = old, .path = steer::FlowPath::Socket}));
    table->set_pressure_mode(classifier::PressureMode::On);
    const Instant end = now() + Duration::from_s(10);
    while (!heir.bind(doors.sockets_fd) && now() < end) ::poll(nullptr, 0, 1);
    ASSERT_TRUE(heir.is_bound());
    ASSERT_EQ(heir.connect(0, now(), *to_).fact, SocketFact::None);
    while (!peer_.saw_reset && now() < end) {
        heir.take_input(now());
        heir.wake(now());
        heir.send_output(now());
        peer_.turn(0);
    }
    EXPECT_TRUE(peer_.saw_reset);
    EXPECT_TRUE(heir.is_account_right());
}

// Goal: a port where nobody listens, and an address that is not of the route, end in Lost.
TEST_F(PathOnVeth, RefusedConnectionsAreLost) {
    if (!make("192.0.2.2")) return;
    ASSERT_EQ(path_->connect(0, now(), *SocketAddress::from_text("192.0.2.2", 9)).fact,
              SocketFact::None);
    ASSERT_TRUE(turns_until([&] { return was(SocketFact::Lost); }));
    EXPECT_TRUE(path_->is_idle(0));
    EXPECT_EQ(path_->connect(0, now(), *SocketAddress::from_text("192.0.2.77", 9)).fact,
              SocketFact::Lost);
}

// Goal: the peer's end of the stream comes after its last byte, and ends the connection.
TEST_F(PathOnVeth, PeersEndComesLast) {
    if (!make("192.0.2.2", 2)) return;
    ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
    ASSERT_TRUE(turns_until([&] { return was(SocketFact::Up); }));
    theirs_ = 200'000;
    ASSERT_TRUE(turns_until([&] { return peer_.sent == theirs_; }));
    peer_.close();
    const Instant end = now() + Duration::from_s(10);
    while (!was(SocketFact::Lost) && now() < end) turn();
    EXPECT_TRUE(was(SocketFact::Lost));
    EXPECT_EQ(read_, theirs_);
    EXPECT_TRUE(is_right_);
}

// Goal: the local ports are taken in the kernel as long as the path lives.
TEST_F(PathOnVeth, PortsAreReserved) {
    if (!make("192.0.2.2")) return;
    ASSERT_EQ(path_->connect(0, now(), *to_).fact, SocketFact::None);
    ASSERT_TRUE(turns_until([&] { return peer_.accept(); }));
    const std::uint16_t port = path_->flow(0).local_port;
    const auto at = SocketAddress::from_text("192.0.2.1", port);
    const UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    EXPECT_EQ(::bind(fd.get(), at->raw(), at->raw_bytes()), -1);
    EXPECT_EQ(errno, EADDRINUSE);
}

}  // namespace
}  // namespace holdfast::netpath::xdp
