// The attached program on a pair of virtual devices, with frames that were never a socket buffer:
// the kernel's test run sends them from the far end, as a network card would deliver them.

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "netpath/classifier/loader.h"
#include "netpath/classifier/table.h"
#include "netpath/classifier/zeroed.h"
#include "netpath/wire/arp.h"
#include "netpath/wire/ethernet.h"
#include "tests/netpath/classifier/trace.h"
#include "tests/netpath/classifier/veth.h"
#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::classifier {

namespace {

constexpr std::uint32_t kFrames = 20000;
constexpr FlowOwner kOwner{7};

/// Sends frames out of a device without socket buffers.
class Sender {
public:
    explicit Sender(unsigned interface) : interface_(interface) {
        std::array<bpf_insn, 2> program{};
        program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
        program[0].imm = XDP_TX;
        program[1].code = BPF_JMP | BPF_EXIT;
        program_ = UniqueFd{bpf_prog_load(BPF_PROG_TYPE_XDP, nullptr, "GPL", program.data(),
                                          program.size(), nullptr)};
    }
    bool is_ready() const { return static_cast<bool>(program_); }

    void send(const steer::Bytes& frame, std::uint32_t count) {
        xdp_md context{};
        context.data_end = static_cast<__u32>(frame.size());
        context.ingress_ifindex = interface_;
        auto options = zeroed<bpf_test_run_opts>();
        options.sz = sizeof options;
        options.data_in = frame.data();
        options.data_size_in = static_cast<__u32>(frame.size());
        options.ctx_in = &context;
        options.ctx_size_in = sizeof context;
        options.repeat = static_cast<int>(count);
        options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
        options.batch_size = 64;
        ASSERT_EQ(bpf_prog_test_run_opts(program_.get(), &options), 0);
    }

private:
    unsigned interface_;
    UniqueFd program_;
};

/// What arrives at a device of one type of Ethernet, with a program on it: a device of this kind
/// takes in what a program at the other end sends only when it has one itself.
class Listener {
public:
    Listener(unsigned interface, std::uint16_t type) {
        std::array<bpf_insn, 2> program{};
        program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
        program[0].imm = XDP_PASS;
        program[1].code = BPF_JMP | BPF_EXIT;
        const UniqueFd pass{bpf_prog_load(BPF_PROG_TYPE_XDP, nullptr, "GPL", program.data(),
                                          program.size(), nullptr)};
        link_ =
            UniqueFd{bpf_link_create(pass.get(), static_cast<int>(interface), BPF_XDP, nullptr)};
        socket_ = UniqueFd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(type))};
        sockaddr_ll place{};
        place.sll_family = AF_PACKET;
        place.sll_protocol = htons(type);
        place.sll_ifindex = static_cast<int>(interface);
        is_ready_ =
            link_ && ::bind(socket_.get(), static_cast<sockaddr*>(static_cast<void*>(&place)),
                            sizeof place) == 0;
    }
    bool is_ready() const { return is_ready_; }
    /// Empty: nothing came within 2 s.
    steer::Bytes next() const {
        pollfd wish{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&wish, 1, 2000) != 1) return {};
        steer::Bytes frame(256);
        const ssize_t got = ::recv(socket_.get(), frame.data(), frame.size(), 0);
        frame.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return frame;
    }

private:
    UniqueFd link_;
    UniqueFd socket_;
    bool is_ready_ = false;
};

steer::Bytes tcp_frame(const char* from, unsigned from_port, unsigned to_port) {
    steer::Bytes frame(60);
    const auto put = [&frame](std::size_t at, std::initializer_list<unsigned> bytes) {
        for (const unsigned byte : bytes) frame[at++] = static_cast<std::byte>(byte);
    };
    put(0, {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46});
    put(20, {0x40, 0, 64, 6});
    const auto source = steer::address(from);
    std::ranges::copy(source.bytes(), frame.begin() + 26);
    put(30, {192, 0, 2, 1, from_port >> 8U, from_port & 0xffU, to_port >> 8U, to_port & 0xffU});
    return frame;
}

struct Attached {
    explicit Attached(unsigned interface, XdpWish wish = XdpWish::Native) {
        auto made = load_classifier({.interface_index = interface, .mode = wish});
        if (!made) return;
        files = *std::move(made);
        if (auto mapped = ClassifierTable::map(files.shared.get())) table = *std::move(mapped);
    }
    Classifier files;
    ClassifierTable table;
};

Instant now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant::from_ns(time.tv_sec * 1'000'000'000 + time.tv_nsec);
}

/// The frames are judged in softirqs, soon.
std::uint64_t wait_for(const ClassifierTable& table, std::uint64_t packets) {
    const auto total = [&table] {
        const PacketCounts counts = table.counts();
        return counts.calm + counts.dropped + counts.to_kernel + counts.unleased +
               counts.management + counts.management_excess + counts.neighbour + counts.answered;
    };
    for (int i = 0; i < 100000 && total() < packets; ++i) std::this_thread::yield();
    return total();
}

// Goal: under pressure a stray packet ends before there is a socket buffer: the stack's first
// tracepoint never fires for the device. A session's packets all reach it. Without pressure both
// do, or the test would see nothing.
TEST(ClassifierOnWire, DropsBeforeSocketBuffers) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    const VethPair pair{"hfcw"};
    ASSERT_TRUE(pair.is_made());
    const Attached gate{pair.near_index()};
    ASSERT_TRUE(gate.table.is_mapped());
    EventCount received{"net/netif_receive_skb", "name == \"" + pair.near_name() + "\""};
    if (!received.is_made()) GTEST_SKIP() << "no tracefs here";
    Sender sender{pair.far_index()};
    ASSERT_TRUE(sender.is_ready());
    const auto stray = tcp_frame("198.51.100.9", 999, 80);
    const auto session = tcp_frame("192.0.2.2", 3260, 40000);
    const steer::FlowRule rule{
        .flow = {.remote = steer::address("192.0.2.2"), .remote_port = 3260}};
    ASSERT_TRUE(gate.table.try_add_flow(kOwner, rule));
    gate.table.renew_lease(now());

    received.begin();
    sender.send(stray, kFrames);
    EXPECT_GE(wait_for(gate.table, kFrames), kFrames);
    EXPECT_EQ(gate.table.counts().calm, kFrames);
    EXPECT_EQ(received.count(), kFrames);

    gate.table.set_pressure_mode(PressureMode::On);
    received.begin();
    sender.send(stray, kFrames);
    EXPECT_GE(wait_for(gate.table, 2 * kFrames), 2 * kFrames);
    EXPECT_EQ(gate.table.counts().dropped, kFrames);
    EXPECT_EQ(received.count(), 0U);

    received.begin();
    sender.send(session, kFrames);
    EXPECT_GE(wait_for(gate.table, 3 * kFrames), 3 * kFrames);
    EXPECT_EQ(gate.table.counts().to_kernel, kFrames);
    EXPECT_EQ(received.count(), kFrames);

    std::array<DropCount, 4> room{};
    const auto drops = gate.table.drops(room);
    ASSERT_EQ(drops.size(), 1U);
    EXPECT_EQ(drops[0].protocol, 6);
    EXPECT_EQ(drops[0].port, 80);
    EXPECT_EQ(drops[0].packets, kFrames);
}

// Goal: a lease that nobody renews ends, and everything passes, though pressure is on.
TEST(ClassifierOnWire, WithoutLeaseEverythingPasses) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    const VethPair pair{"hfcl"};
    ASSERT_TRUE(pair.is_made());
    const Attached gate{pair.near_index()};
    ASSERT_TRUE(gate.table.is_mapped());
    Sender sender{pair.far_index()};
    const auto stray = tcp_frame("198.51.100.9", 999, 80);
    gate.table.set_pressure_mode(PressureMode::On);
    sender.send(stray, 100);  // Nobody has ever renewed it.
    EXPECT_EQ(wait_for(gate.table, 100), 100U);
    EXPECT_EQ(gate.table.counts().unleased, 100U);
    gate.table.renew_lease(now());
    sender.send(stray, 100);
    EXPECT_EQ(wait_for(gate.table, 200), 200U);
    EXPECT_EQ(gate.table.counts().dropped, 100U);
    // As if the last renewal had been 16 s ago.
    constexpr Duration kSince = Duration::from_s(16);
    gate.table.shared().lease_until_ns =
        static_cast<std::uint64_t>((now().ns() + ClassifierTable::kLease.ns()) - kSince.ns());
    sender.send(stray, 100);
    EXPECT_EQ(wait_for(gate.table, 300), 300U);
    EXPECT_EQ(gate.table.counts().unleased, 200U);
}

// Goal: of a flood to the management port as many packets pass as its bucket allows, and no more.
TEST(ClassifierOnWire, ManagementPortHasARate) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    const VethPair pair{"hfcm"};
    ASSERT_TRUE(pair.is_made());
    const Attached gate{pair.near_index()};
    ASSERT_TRUE(gate.table.is_mapped());
    Sender sender{pair.far_index()};
    gate.table.set_management({.port = 22, .packets_per_s = 1, .burst = 10});
    gate.table.set_pressure_mode(PressureMode::On);
    gate.table.renew_lease(now());
    const Instant begun = now();
    sender.send(tcp_frame("198.51.100.9", 999, 22), 5000);
    EXPECT_EQ(wait_for(gate.table, 5000), 5000U);
    const auto more = static_cast<std::uint64_t>((now() - begun).ns() / 1'000'000'000 + 1);
    const PacketCounts counts = gate.table.counts();
    EXPECT_GE(counts.management, 10U);
    EXPECT_LE(counts.management, 10U + more);
    EXPECT_EQ(counts.management + counts.management_excess, 5000U);
}

// Goal: under pressure a question for an address of our own TCP comes back as its answer, with no
// socket buffer made for it here; without pressure it is the kernel's.
TEST(ClassifierOnWire, AnswersInTheDriver) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    const VethPair pair{"hfca"};
    ASSERT_TRUE(pair.is_made());
    const Attached gate{pair.near_index()};
    ASSERT_TRUE(gate.table.is_mapped());
    const Listener listener{pair.far_index(), ETHERTYPE_ARP};
    ASSERT_TRUE(listener.is_ready());
    EventCount received{"net/netif_receive_skb", "name == \"" + pair.near_name() + "\""};
    if (!received.is_made()) GTEST_SKIP() << "no tracefs here";
    Sender sender{pair.far_index()};
    const auto ours = steer::station(1);
    const auto asker = steer::station(9);
    ASSERT_TRUE(gate.table.try_add_address(steer::address("192.0.2.1")));
    ASSERT_TRUE(gate.table.try_answer_for(steer::address("192.0.2.1"), ours));
    gate.table.renew_lease(now());
    const auto question = steer::arp_request(asker, "192.0.2.2", "192.0.2.1");

    received.begin();
    sender.send(question, 1);
    EXPECT_EQ(wait_for(gate.table, 1), 1U);
    EXPECT_EQ(gate.table.counts().answered, 0U);
    EXPECT_EQ(received.count(), 1U);

    gate.table.set_pressure_mode(PressureMode::On);
    received.begin();
    sender.send(question, 1);
    const steer::Bytes frame = listener.next();
    ASSERT_EQ(frame.size(), question.size());
    const auto ethernet = wire::parse_ethernet(frame);
    ASSERT_TRUE(ethernet);
    EXPECT_EQ(ethernet->header.to, asker);
    EXPECT_EQ(ethernet->header.from, ours);
    const auto arp = wire::parse_arp(ethernet->payload);
    ASSERT_TRUE(arp);
    EXPECT_EQ(arp->operation, wire::ArpOperation::Reply);
    EXPECT_EQ(arp->sender_mac, ours);
    EXPECT_EQ(arp->sender_ip, steer::address("192.0.2.1"));
    EXPECT_EQ(arp->target_ip, steer::address("192.0.2.2"));
    EXPECT_EQ(gate.table.counts().answered, 1U);
    EXPECT_EQ(received.count(), 0U);
}

}  // namespace

}  // namespace holdfast::netpath::classifier
