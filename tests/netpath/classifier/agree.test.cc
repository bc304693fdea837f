// The BPF program against its specification, in the kernel, packet by packet.

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <array>
#include <fstream>
#include <map>
#include <utility>

#include "netpath/classifier/loader.h"
#include "netpath/classifier/table.h"
#include "netpath/classifier/zeroed.h"
#include "netpath/steer/decide.h"
#include "tests/netpath/classifier/veth.h"
#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::classifier {

namespace {

using steer::Bytes;
using steer::Decision;
using steer::OwnedSituation;
using steer::Reason;
using steer::Verdict;

constexpr FlowOwner kOwner{1};
constexpr std::uint64_t kFar = INT64_MAX / 2;

static_assert(static_cast<int>(Reason::Dropped) == static_cast<int>(abi::HF_DROPPED));
static_assert(static_cast<int>(Reason::NoSocket) == static_cast<int>(abi::HF_NO_SOCKET));
static_assert(static_cast<int>(Reason::Neighbour) == static_cast<int>(abi::HF_NEIGHBOUR));
static_assert(static_cast<int>(Reason::Answered) == static_cast<int>(abi::HF_ANSWERED));
static_assert(steer::kReasonCount == abi::HF_REASONS);

using Reasons = std::array<std::uint64_t, abi::HF_REASONS>;
using Kinds = std::map<std::uint64_t, std::uint64_t>;

/// What the program should remember of the packets so far.
struct Memory {
    Kinds dropped;
    std::vector<steer::Learned> learned;
};

std::uint64_t kind_of(const steer::PacketKind& kind) {
    return kind.is_ip ? abi::hf_drop_kind(kind.protocol, kind.port)
                      : abi::hf_drop_kind(HF_NOT_IP, kind.protocol);
}

int xdp_of(Verdict verdict) {
    if (verdict == Verdict::Drop) return XDP_DROP;
    if (verdict == Verdict::Answer) return XDP_TX;
    return verdict == Verdict::Pass ? XDP_PASS : XDP_REDIRECT;
}

/// The program, loaded and not attached.
class Kernel {
public:
    Kernel() {
        auto made = load_classifier({});
        if (!made) return;
        files_ = *std::move(made);
        auto table = ClassifierTable::map(files_.shared.get());
        if (table) table_ = *std::move(table);
        socket_ = UniqueFd{::socket(AF_XDP, SOCK_RAW, 0)};
    }

    bool is_ready() const { return table_.is_mapped() && socket_; }
    const ClassifierTable& table() const { return table_; }

    /// Everything as it is to be for the packets that follow.
    void set(const OwnedSituation& situation) {
        abi::hf_shared& shared = table_.shared();
        table_.remove_flows_of(kOwner);
        for (const steer::FlowRule& rule : situation.flows)
            ASSERT_TRUE(table_.try_add_flow(kOwner, rule));
        for (auto& one : shared.addresses) one = {};
        for (auto& one : shared.neighbours) one = {};
        for (auto& one : shared.drops) one = {};
        shared.drops_of_other_kinds = 0;
        for (const auto& one : situation.addresses) ASSERT_TRUE(table_.try_add_address(one));
        for (const auto& one : situation.answered)
            ASSERT_TRUE(table_.try_answer_for(one.address, one.station));
        for (const auto& one : situation.neighbours) ASSERT_TRUE(table_.try_watch_neighbour(one));
        shared.lease_until_ns = situation.is_leased ? kFar : 0;
        table_.set_pressure_mode(situation.is_pressed ? PressureMode::On : PressureMode::Auto);
        table_.set_management({.port = situation.management_port, .packets_per_s = 1000});
        shared.management_cost_ns = 0;
        shared.management_next_ns = situation.has_token ? 0 : kFar;
        const std::uint32_t queue = 0;
        if (situation.has_socket)
            ASSERT_TRUE(put_socket(files_.sockets.get(), queue, socket_.get()));
        else
            static_cast<void>(bpf_map_delete_elem(files_.sockets.get(), &queue));
    }

    /// As long as one packet takes, each address was answered for a second ago, or never.
    void set_answered(const OwnedSituation& situation) {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        const auto second_ago =
            static_cast<std::uint64_t>((time.tv_sec - 1) * 1'000'000'000 + time.tv_nsec);
        for (auto& one : table_.shared().addresses) one.answered_ns = 0;
        for (std::size_t i = 0; i < situation.addresses.size(); ++i) {
            const auto found = std::ranges::find(situation.answered, situation.addresses[i],
                                                 &steer::OwnAddress::address);
            const bool is_again = found != situation.answered.end() && found->is_asked_again;
            if (is_again) table_.shared().addresses[i].answered_ns = second_ago;
        }
    }

    /// What the program made of the last frame.
    const Bytes& left() const { return left_; }

    int run(const Bytes& frame) {
        auto options = zeroed<bpf_test_run_opts>();
        options.sz = sizeof options;
        options.data_in = frame.data();
        options.data_size_in = static_cast<__u32>(frame.size());
        options.repeat = 1;
        left_.assign(frame.size(), std::byte{0});
        options.data_out = left_.data();
        options.data_size_out = static_cast<__u32>(left_.size());
        EXPECT_EQ(bpf_prog_test_run_opts(files_.program.get(), &options), 0);
        EXPECT_EQ(options.data_size_out, frame.size());
        return static_cast<int>(options.retval);
    }

    Reasons reasons() const {
        Reasons sums{};
        for (const auto& one : table_.shared().counters)
            for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += one.packets[i];
        return sums;
    }

private:
    Classifier files_;
    ClassifierTable table_;
    UniqueFd socket_;
    Bytes left_;
};

std::string hex_of(const Bytes& frame) {
    std::string text;
    for (const std::byte byte : frame) {
        std::array<char, 4> room{};
        std::snprintf(room.data(), room.size(), "%02x", std::to_integer<unsigned>(byte));
        text += room.data();
    }
    return text;
}

void expect_learned(const Kernel& kernel, const OwnedSituation& situation, const Memory& memory) {
    for (const auto& address : situation.neighbours) {
        const auto found = kernel.table().neighbour(address);
        const auto wanted = std::ranges::find(memory.learned, address, &steer::Learned::address);
        ASSERT_EQ(found.has_value(), wanted != memory.learned.end());
        if (!found) continue;
        ASSERT_EQ(found->station, wanted->station);
    }
}

/// One packet through both. What they say, and what they remember, is the same.
void expect_same(Kernel& kernel, const OwnedSituation& situation, const Bytes& frame,
                 Memory& memory) {
    const Decision wanted = steer::decide(frame, situation.view());
    Reasons counts = kernel.reasons();
    kernel.set_answered(situation);
    const int verdict = kernel.run(frame);
    ++counts.at(static_cast<std::size_t>(wanted.reason));
    ASSERT_EQ(verdict, xdp_of(wanted.verdict));
    Bytes left = frame;
    if (wanted.answer) steer::write_answer(*wanted.answer, left);
    ASSERT_EQ(kernel.left(), left) << "wanted " << hex_of(left);
    ASSERT_EQ(kernel.reasons(), counts) << "wanted reason " << static_cast<int>(wanted.reason);
    const bool is_counted =
        wanted.reason == Reason::Dropped || wanted.reason == Reason::ManagementExcess;
    if (is_counted) ++memory.dropped[kind_of(wanted.kind)];
    if (wanted.learned) {
        std::erase_if(memory.learned,
                      [&](const auto& one) { return one.address == wanted.learned->address; });
        memory.learned.push_back(*wanted.learned);
    }
    expect_learned(kernel, situation, memory);
}

/// False: they differ, and the frame is shown.
bool agree(Kernel& kernel, const OwnedSituation& situation, const Bytes& frame, Memory& memory) {
    expect_same(kernel, situation, frame, memory);
    if (!testing::Test::HasFatalFailure()) return true;
    ADD_FAILURE() << hex_of(frame);
    return false;
}

void expect_kinds(const Kernel& kernel, const Kinds& wanted) {
    std::uint64_t others = 0;
    Kinds found;
    for (const auto& one : kernel.table().shared().drops)
        if (one.kind != 0) found[one.kind] = one.packets;
    for (const auto& [kind, packets] : wanted) {
        if (found.contains(kind))
            EXPECT_EQ(found[kind], packets) << kind;
        else
            others += packets;
    }
    EXPECT_EQ(kernel.table().drops_of_other_kinds(), others);
}

/// The frames of a classic pcap file with Ethernet.
std::vector<Bytes> frames_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    const std::vector<char> all{std::istreambuf_iterator<char>{file}, {}};
    std::vector<Bytes> frames;
    const auto word_at = [&all](std::size_t at) {
        std::uint32_t word = 0;
        std::memcpy(&word, &all.at(at), sizeof word);
        return word;
    };
    for (std::size_t at = 24; at + 16 <= all.size();) {
        const std::size_t bytes = word_at(at + 8);
        at += 16;
        const auto* begin = reinterpret_cast<const std::byte*>(&all.at(at));
        frames.emplace_back(begin, begin + bytes);
        at += bytes;
    }
    return frames;
}

// Goal: the BPF program decides as its specification does, for every packet that a seed makes up:
// VLAN tags, extension headers, fragments, quotes, cut and damaged frames, in situations of all
// kinds. What it counts and learns is the same, too.
TEST(ClassifierAgreement, GeneratedPackets) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    Kernel kernel;
    ASSERT_TRUE(kernel.is_ready());
    std::array<std::size_t, steer::kReasonCount> seen{};
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        steer::Choices choices{seed};
        const OwnedSituation situation = steer::make_situation(choices);
        kernel.set(situation);
        Memory memory;
        for (int i = 0; i < 60; ++i) {
            const Bytes frame = steer::make_frame(choices);
            ++seen.at(static_cast<std::size_t>(steer::decide(frame, situation.view()).reason));
            if (!agree(kernel, situation, frame, memory)) return;
        }
        expect_kinds(kernel, memory.dropped);
    }
    for (std::size_t i = 0; i < seen.size(); ++i)
        EXPECT_GT(seen[i], 100U) << "reason " << i << " is hardly tried";
}

// Goal: the same for what kernels really say: ARP, neighbour discovery, TCP, fragments,
// ICMP errors with quotes. Each frame whole and cut, in many situations.
TEST(ClassifierAgreement, CapturedPackets) {
    if (!is_root()) GTEST_SKIP() << "needs root: BPF programs";
    Kernel kernel;
    ASSERT_TRUE(kernel.is_ready());
    const auto frames = frames_of(HF_SOURCE_DIR "/tests/netpath/classifier/captures/kernel.pcap");
    ASSERT_GT(frames.size(), 35U);
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        steer::Choices choices{seed};
        const OwnedSituation situation = steer::make_situation(choices);
        kernel.set(situation);
        Memory memory;
        for (const Bytes& frame : frames) {
            if (!agree(kernel, situation, frame, memory)) return;
        }
        for (const Bytes& frame : frames) {
            const std::size_t bytes = std::max<std::size_t>(14, choices.below(130));
            if (bytes >= frame.size()) continue;
            const auto cut = static_cast<std::ptrdiff_t>(bytes);
            if (!agree(kernel, situation, {frame.begin(), frame.begin() + cut}, memory)) return;
        }
        expect_kinds(kernel, memory.dropped);
    }
}

}  // namespace

}  // namespace holdfast::netpath::classifier
