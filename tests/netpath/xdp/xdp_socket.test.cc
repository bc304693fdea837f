#include "netpath/xdp/xdp_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "netpath/xdp/route.h"
#include "reserve/arena.h"
#include "tests/netpath/xdp/veth_pair.h"

namespace holdfast::netpath::xdp {
namespace {

using xdp_test::VethPair;

constexpr std::uint16_t kEtherTest = 0x88b5;  // IEEE 802: for experiments.

class OnVeth : public testing::Test {
protected:
    void make(unsigned queues) {
        const std::string reason = pair_.make(queues);
        if (!reason.empty()) GTEST_SKIP() << reason;
        reserve::MemoryPlan plan;
        const UmemShape shape{.frames = 512, .frame_bytes = 2048};
        Umem::add_to_plan(plan, shape);
        auto arena = reserve::Arena::map(plan.total());
        ASSERT_TRUE(arena.has_value());
        arena_.emplace(std::move(*arena));
        umem_.emplace(shape, arena_->region());
        wish_.interface_index = ::if_nametoindex(VethPair::kOurs);
    }

    VethPair pair_;
    std::optional<reserve::Arena> arena_;
    std::optional<Umem> umem_;
    XdpSocketWish wish_{.receive_entries = 128, .transmit_entries = 64};
};

// Goal: veth has no zero copy, and the socket says so; who demands it is refused.
TEST_F(OnVeth, CopyModeIsNotCalledZeroCopy) {
    make(1);
    if (IsSkipped()) return;
    {
        XdpSocket socket;
        wish_.demands_zero_copy = true;
        EXPECT_FALSE(socket.open(wish_, *umem_, nullptr).has_value());
    }
    XdpSocket socket;
    wish_.demands_zero_copy = false;
    const auto opened = socket.open(wish_, *umem_, nullptr);
    ASSERT_TRUE(opened.has_value()) << opened.error().text();
    EXPECT_FALSE(socket.is_zero_copy());
    // Goal: nobody else gets the queue.
    auto other = reserve::Arena::map(ByteCount{512 * 2048 + 65536});
    ASSERT_TRUE(other.has_value());
    Umem more{{.frames = 64, .frame_bytes = 2048}, other->region()};
    XdpSocket second;
    const auto refused = second.open(wish_, more, nullptr);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), EBUSY);
}

// Goal: frames leave as they were written, in order, many more than the ring holds, and every frame
// comes home.
TEST_F(OnVeth, FramesLeaveInOrderAndComeHome) {
    make(1);
    if (IsSkipped()) return;
    const UniqueFd catcher{pair_.in_theirs([] {
        const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kEtherTest));
        const int room = 4 << 20;
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
        return fd;
    })};
    ASSERT_TRUE(static_cast<bool>(catcher));
    XdpSocket socket;
    ASSERT_TRUE(socket.open(wish_, *umem_, nullptr).has_value());
    constexpr std::uint32_t kFrames = 1000;
    constexpr std::size_t kBytes = 600;
    std::uint32_t sent = 0;
    std::uint32_t caught = 0;
    for (int turn = 0; turn < 10'000 && caught < kFrames; ++turn) {
        while (const auto home = socket.completion().try_pop())
            umem_->give_back(umem_->number_of(*home));
        socket.completion().release();
        while (sent < kFrames && socket.transmit().pending() < 64) {
            const auto number = umem_->try_take();
            if (!number) break;
            const auto frame = umem_->frame(*number).first(kBytes);
            std::ranges::fill(frame, static_cast<std::byte>(sent % 251));
            frame[12] = std::byte{kEtherTest >> 8};
            frame[13] = std::byte{kEtherTest & 0xff};
            std::memcpy(frame.data() + 20, &sent, sizeof(sent));
            ASSERT_TRUE(socket.transmit().try_push(
                {.addr = umem_->address_of(*number), .len = kBytes, .options = 0}));
            ++sent;
        }
        socket.transmit().publish();
        socket.kick_transmit();
        std::array<std::byte, 2048> got{};
        while (::recv(catcher.get(), got.data(), got.size(), MSG_DONTWAIT) ==
               static_cast<ssize_t>(kBytes)) {
            std::uint32_t number = 0;
            std::memcpy(&number, got.data() + 20, sizeof(number));
            ASSERT_EQ(number, caught);
            ASSERT_EQ(got[kBytes - 1], static_cast<std::byte>(caught % 251));
            ++caught;
        }
    }
    EXPECT_EQ(caught, kFrames);
    while (const auto home = socket.completion().try_pop())
        umem_->give_back(umem_->number_of(*home));
    EXPECT_EQ(umem_->free_count(), 512U);
    EXPECT_EQ(socket.losses().invalid_descriptors, 0U);
}

// Goal: each queue of an interface has a socket, and all of them one packet memory.
TEST_F(OnVeth, QueuesShareOneMemory) {
    make(3);
    if (IsSkipped()) return;
    std::array<XdpSocket, 3> sockets;
    for (std::uint32_t queue = 0; queue < 3; ++queue) {
        wish_.queue = queue;
        wish_.transmit_entries = queue == 0 ? 64 : 0;
        const auto opened = sockets[queue].open(wish_, *umem_, queue == 0 ? nullptr : &sockets[0]);
        ASSERT_TRUE(opened.has_value()) << queue << ": " << opened.error().text();
    }
    wish_.queue = 3;
    XdpSocket beyond;
    EXPECT_FALSE(beyond.open(wish_, *umem_, &sockets[0]).has_value());
}

// Goal: what the kernel knows about the way to a peer, on the link and behind a router, IPv4 and
// IPv6; and what is no way.
TEST_F(OnVeth, RoutesAreTheKernels) {
    make(1);
    if (IsSkipped()) return;
    const auto route_to = [](const char* host) {
        return find_route(*SocketAddress::from_text(host, 3260));
    };
    const auto direct = route_to("192.0.2.2");
    ASSERT_TRUE(direct.has_value()) << direct.error().text();
    EXPECT_EQ(direct->interface_index, wish_.interface_index);
    EXPECT_EQ(direct->next_hop, direct->remote);
    EXPECT_EQ(direct->local, ip_of(*SocketAddress::from_text("192.0.2.1", 0)));
    EXPECT_NE(direct->next_station, wire::MacAddress{});
    EXPECT_NE(direct->station, wire::MacAddress{});
    EXPECT_EQ(direct->mtu_bytes, 1500U);
    EXPECT_EQ(direct->receive_queues, 1U);
    const auto behind = route_to("198.51.100.2");
    ASSERT_TRUE(behind.has_value()) << behind.error().text();
    EXPECT_EQ(behind->next_hop, direct->remote);
    EXPECT_EQ(behind->next_station, direct->next_station);
    const auto ipv6 = route_to("2001:db8::2");
    ASSERT_TRUE(ipv6.has_value()) << ipv6.error().text();
    EXPECT_EQ(ipv6->next_station, direct->next_station);
    EXPECT_EQ(ipv6->local, ip_of(*SocketAddress::from_text("2001:db8::1", 0)));
    const auto ours = route_to("192.0.2.1");
    ASSERT_FALSE(ours.has_value());
    EXPECT_EQ(ours.error().code(), EOPNOTSUPP);
    const auto nowhere = route_to("203.0.113.1");
    ASSERT_FALSE(nowhere.has_value());
    EXPECT_EQ(nowhere.error().code(), ENETUNREACH);
    EXPECT_EQ(port_of(*SocketAddress::from_text("2001:db8::2", 3260)), 3260);
}

}  // namespace
}  // namespace holdfast::netpath::xdp
