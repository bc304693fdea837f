#include "netpath/io/tcp_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast::netpath {
namespace {

constexpr std::uint8_t kOwner = 7;

/// A listener on loopback, one family.
class Peer {
public:
    explicit Peer(const char* host) : listener_(socket(family_of(host), SOCK_STREAM, 0)) {
        const SocketAddress any = SocketAddress::from_text(host, 0).value();
        EXPECT_EQ(bind(listener_.get(), any.raw(), any.raw_bytes()), 0);
        EXPECT_EQ(listen(listener_.get(), 8), 0);
        sockaddr_in6 bound{};  // Both families have the port at the same place.
        socklen_t bytes = sizeof(bound);
        getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound), &bytes);
        address_ = SocketAddress::from_text(host, ntohs(bound.sin6_port)).value();
    }
    UniqueFd accept() const { return UniqueFd{::accept(listener_.get(), nullptr, nullptr)}; }
    const SocketAddress& address() const { return address_; }
    void stop() { listener_.reset(); }

private:
    static int family_of(const char* host) {
        return SocketAddress::from_text(host, 0).value().is_ipv6() ? AF_INET6 : AF_INET;
    }
    UniqueFd listener_;
    SocketAddress address_;
};

/// This process's sockets: descriptor and what it stands for.
std::map<int, std::string> descriptors_of_sockets() {
    std::map<int, std::string> found;
    for (int fd = 0; fd < 64; ++fd) {
        std::array<char, 64> target{};
        const std::string path = "/proc/self/fd/" + std::to_string(fd);
        if (::readlink(path.c_str(), target.data(), target.size() - 1) <= 0) continue;
        if (std::string_view{target.data()}.starts_with("socket:")) found[fd] = target.data();
    }
    return found;
}

class TcpSocketTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(ring_.open({}, {}).has_value());
        ASSERT_TRUE(socket_.open(ring_, FileSlot{0}, kOwner, 3, options()).has_value());
    }
    static TcpOptions options() {
        return {.send_bytes = 64 * 1024, .receive_bytes = 64 * 1024, .user_timeout_ms = 5000};
    }
    /// Turns the ring until the socket reports something.
    SocketReport next_report() {
        for (int turn = 0; turn < 100; ++turn) {
            while (const auto completed = ring_.poll_completed()) {
                const SocketReport report = socket_.on_completed(*completed);
                if (report.fact != SocketFact::None) return report;
            }
            ring_.submit_and_wait(Duration::from_ms(100));
        }
        ADD_FAILURE() << "no report";
        return {};
    }
    UniqueFd connect_to(const Peer& peer) {
        EXPECT_EQ(socket_.connect(peer.address()).fact, SocketFact::None);
        EXPECT_EQ(next_report().fact, SocketFact::Up);
        return peer.accept();
    }
    void receive(std::span<std::byte> into) {
        const std::array<std::span<std::byte>, 1> spans{into};
        socket_.receive(spans);
    }
    void send(std::string_view text) {
        const std::array<std::span<const std::byte>, 1> spans{std::as_bytes(std::span{text})};
        socket_.send(spans);
    }
    static int peer_error_after_read(const UniqueFd& peer) {
        char byte = 0;
        const ssize_t got = read(peer.get(), &byte, 1);
        return got < 0 ? errno : 0;
    }

    Ring ring_;
    TcpSocket socket_;
};

// Goal: bytes go both ways, in one piece and in several.
TEST_F(TcpSocketTest, MovesBytesBothWays) {
    const Peer peer{"127.0.0.1"};
    const UniqueFd other = connect_to(peer);
    send("hello");
    EXPECT_EQ(next_report().bytes, 5U);
    std::array<char, 16> text{};
    ASSERT_EQ(read(other.get(), text.data(), text.size()), 5);

    std::array<std::byte, 3> head{};
    std::array<std::byte, 4> tail{};
    const std::array<std::span<std::byte>, 2> spans{std::span<std::byte>{head}, tail};
    socket_.receive(spans);
    ASSERT_EQ(write(other.get(), "abcdef", 6), 6);
    const SocketReport report = next_report();
    EXPECT_EQ(report.fact, SocketFact::Received);
    EXPECT_EQ(report.bytes, 6U);
    EXPECT_EQ(std::memcmp(head.data(), "abc", 3), 0);
    EXPECT_EQ(std::memcmp(tail.data(), "def", 3), 0);
}

// Goal: IPv6 takes the same road.
TEST_F(TcpSocketTest, SpeaksIpv6) {
    const Peer peer{"::1"};
    const UniqueFd other = connect_to(peer);
    send("six");
    EXPECT_EQ(next_report().bytes, 3U);
}

// Goal: a reset is RST on the wire, ends a receive that is outstanding, and leaves a socket that
// connects again, many times over and to either family, on the same descriptors: none is closed, so
// that none can come back as somebody else's.
// Rows: BUG-56
TEST_F(TcpSocketTest, ResetIsRstAndTheSocketConnectsAgain) {
    const Peer ipv4{"127.0.0.1"};
    const Peer ipv6{"::1"};
    std::array<std::byte, 64> room{};
    const auto descriptors = descriptors_of_sockets();
    for (int round = 0; round < 50; ++round) {
        const UniqueFd other = connect_to(round % 3 == 2 ? ipv6 : ipv4);
        receive(room);
        ring_.submit_and_wait(Duration{});
        EXPECT_EQ(socket_.reset().fact, SocketFact::None);
        EXPECT_EQ(next_report().fact, SocketFact::Lost);
        EXPECT_TRUE(socket_.is_idle());
        EXPECT_EQ(ring_.outstanding(), 0U);
        EXPECT_EQ(peer_error_after_read(other), ECONNRESET);
    }
    EXPECT_EQ(descriptors_of_sockets(), descriptors);
}

// Goal: the source address is chosen anew for each connect: the one from before may be gone.
// Rows: BUG-66
TEST_F(TcpSocketTest, SourceAddressIsChosenAnew) {
    const Peer peer{"127.0.0.1"};
    const auto sources = [] {
        std::vector<std::uint32_t> list;
        for (const auto& [fd, inode] : descriptors_of_sockets()) {
            sockaddr_in name{};
            socklen_t size = sizeof(name);
            int listens = 0;
            socklen_t bytes = sizeof(listens);
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes);
            const bool is_it =
                listens == 0 && getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0;
            if (is_it && name.sin_family == AF_INET) list.push_back(ntohl(name.sin_addr.s_addr));
        }
        return list;
    };
    for (int round = 0; round < 2; ++round) {
        {
            const UniqueFd other = connect_to(peer);
            EXPECT_EQ(sources(), (std::vector<std::uint32_t>{INADDR_LOOPBACK, INADDR_LOOPBACK}));
        }
        EXPECT_EQ(socket_.reset().fact, SocketFact::None);
        EXPECT_EQ(next_report().fact, SocketFact::Lost);
        EXPECT_EQ(sources(), std::vector<std::uint32_t>{INADDR_ANY}) << "bound to the old one";
    }
}

// Goal: a process that dies resets: what it has queued does not follow it to the target.
// Method: the socket goes away without a word while the peer reads nothing.
TEST(TcpSocket, DeathIsReset) {
    const Peer peer{"127.0.0.1"};
    UniqueFd other;
    {
        Ring ring;
        TcpSocket socket;
        ASSERT_TRUE(ring.open({}, {}).has_value());
        ASSERT_TRUE(socket.open(ring, FileSlot{0}, kOwner, 0, {}).has_value());
        ASSERT_EQ(socket.connect(peer.address()).fact, SocketFact::None);
        ring.submit_and_wait(Duration::from_s(1));
        other = peer.accept();
        const auto completed = ring.poll_completed();
        ASSERT_TRUE(completed.has_value());
        ASSERT_EQ(socket.on_completed(*completed).fact, SocketFact::Up);
    }
    char byte = 0;
    EXPECT_LT(read(other.get(), &byte, 1), 0);
    EXPECT_EQ(errno, ECONNRESET);
}

// Goal: a reset also ends a send that waits for room, and what was queued never arrives.
TEST_F(TcpSocketTest, ResetEndsASendThatWaits) {
    const Peer peer{"127.0.0.1"};
    const UniqueFd other = connect_to(peer);
    const std::string block(1 << 20, 'x');
    for (int i = 0; i < 1000 && socket_.can_send(); ++i) {
        send(block);
        ring_.submit_and_wait(Duration::from_ms(20));
        while (const auto completed = ring_.poll_completed())
            EXPECT_EQ(socket_.on_completed(*completed).fact, SocketFact::Sent);
    }
    ASSERT_FALSE(socket_.can_send());
    EXPECT_EQ(socket_.reset().fact, SocketFact::None);
    EXPECT_EQ(next_report().fact, SocketFact::Lost);
    EXPECT_EQ(ring_.outstanding(), 0U);
}

// Goal: options survive a disconnect, because nobody sets them again.
TEST_F(TcpSocketTest, OptionsSurviveADisconnect) {
    const Peer peer{"127.0.0.1"};
    for (int round = 0; round < 2; ++round) {
        const UniqueFd other = connect_to(peer);
        int value = 0;
        socklen_t bytes = sizeof(value);
        // Method: the process's only IPv4 TCP socket that is connected to the peer's port.
        int found = -1;
        for (int fd = 3; fd < 64; ++fd) {
            sockaddr_in name{};
            socklen_t size = sizeof(name);
            if (getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 &&
                std::memcmp(&name, peer.address().raw(), sizeof(name)) == 0)
                found = fd;
        }
        ASSERT_GE(found, 0);
        ASSERT_EQ(getsockopt(found, IPPROTO_TCP, TCP_NODELAY, &value, &bytes), 0);
        EXPECT_NE(value, 0);
        ASSERT_EQ(getsockopt(found, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &bytes), 0);
        EXPECT_EQ(value, 5000);
        ASSERT_EQ(getsockopt(found, SOL_SOCKET, SO_RCVBUF, &value, &bytes), 0);
        EXPECT_EQ(value, 2 * 64 * 1024);
        EXPECT_EQ(socket_.reset().fact, SocketFact::None);
        EXPECT_EQ(next_report().fact, SocketFact::Lost);
    }
}

// Goal: a refused connect is Lost, and the next one works.
TEST_F(TcpSocketTest, RefusedConnectIsLost) {
    Peer gone{"127.0.0.1"};
    gone.stop();
    EXPECT_EQ(socket_.connect(gone.address()).fact, SocketFact::None);
    EXPECT_EQ(next_report().fact, SocketFact::Lost);
    const Peer peer{"127.0.0.1"};
    const UniqueFd other = connect_to(peer);
    EXPECT_TRUE(socket_.is_up());
}

// Goal: a connect that hangs can be reset.
// Method: an address of the documentation range, which nobody answers.
TEST_F(TcpSocketTest, HangingConnectCanBeReset) {
    const SocketReport begun = socket_.connect(SocketAddress::from_text("192.0.2.1", 3260).value());
    ASSERT_EQ(begun.fact, SocketFact::None);
    ring_.submit_and_wait(Duration{});
    SocketReport ended = socket_.reset();
    if (ended.fact == SocketFact::None) ended = next_report();
    EXPECT_EQ(ended.fact, SocketFact::Lost);
    EXPECT_TRUE(socket_.is_idle());
}

// Goal: the peer's FIN and the peer's RST are both Lost.
TEST_F(TcpSocketTest, PeerThatGoesIsLost) {
    const Peer peer{"127.0.0.1"};
    std::array<std::byte, 64> room{};
    for (const bool abruptly : {false, true}) {
        UniqueFd other = connect_to(peer);
        receive(room);
        if (abruptly) {
            const linger at_once{.l_onoff = 1, .l_linger = 0};
            setsockopt(other.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        }
        other.reset();
        EXPECT_EQ(next_report().fact, SocketFact::Lost);
        EXPECT_TRUE(socket_.is_idle());
    }
}

// Goal: an orderly close sends FIN, takes what the peer still sends, and ends with the peer's FIN.
TEST_F(TcpSocketTest, OrderlyCloseWaitsForThePeer) {
    const Peer peer{"127.0.0.1"};
    UniqueFd other = connect_to(peer);
    std::array<std::byte, 64> room{};
    receive(room);
    EXPECT_EQ(socket_.close(Instant::from_ns(0)).fact, SocketFact::None);
    ring_.submit_and_wait(Duration{});
    EXPECT_EQ(peer_error_after_read(other), 0);
    ASSERT_EQ(write(other.get(), "late", 4), 4);
    other.reset();
    EXPECT_EQ(next_report().fact, SocketFact::Lost);
}

// Goal: an orderly close does not wait longer than kCloseWait.
TEST_F(TcpSocketTest, OrderlyCloseHasALimit) {
    const Peer peer{"127.0.0.1"};
    const UniqueFd other = connect_to(peer);
    const Instant start = Instant::from_ns(1000);
    EXPECT_EQ(socket_.close(start).fact, SocketFact::None);
    EXPECT_EQ(socket_.next_wake(), start + TcpSocket::kCloseWait);
    socket_.wake(start + TcpSocket::kCloseWait);
    EXPECT_EQ(next_report().fact, SocketFact::Lost);
}

}  // namespace
}  // namespace holdfast::netpath
