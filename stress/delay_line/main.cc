// A cable between two interfaces that takes its time, loses frames and changes their order, both
// ways. For kernels without netem. usage: delay-line IF IF DELAY_US [LOSS_PPM [REORDER_PPM [SEED]]]
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace holdfast {
namespace {

constexpr std::size_t kFrameBytes = 65536 + 18;  // The largest IP packet, and its tag.
constexpr int kRoomBytes = 8 << 20;
constexpr int kBatch = 64;
constexpr std::uint64_t kMillion = 1'000'000;
constexpr Duration kReorderedBy = Duration::from_us(500);  // Later than its successors.

Instant now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant::from_ns(time.tv_sec * 1'000'000'000 + time.tv_nsec);
}

struct Wish {
    Duration delay;
    std::uint64_t loss_ppm = 0;
    std::uint64_t reorder_ppm = 0;
};

/// Every frame that comes in at one interface; -1 when it cannot be opened.
int open_interface(std::string_view name) {
    const unsigned index = ::if_nametoindex(name.data());
    UniqueFd fd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL))};
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(index);
    packet_mreq all{};
    all.mr_ifindex = at.sll_ifindex;
    all.mr_type = PACKET_MR_PROMISC;
    const int on = 1;
    const bool fine =
        index != 0 && fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0 &&
        ::setsockopt(fd.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) == 0 &&
        ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) == 0 &&
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kRoomBytes, sizeof(kRoomBytes)) == 0 &&
        ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kRoomBytes, sizeof(kRoomBytes)) == 0;
    return fine ? fd.release() : -1;
}

/// One direction of the cable.
class Direction {
public:
    Direction(int from, int to, const Wish& wish, std::uint64_t seed)
        : from_(from), to_(to), wish_(wish), random_(seed) {}

    void take_in(Instant time) {
        for (int i = 0; i < kBatch; ++i) {
            const ssize_t got = ::recv(from_, room_.data(), room_.size(), 0);
            if (got <= 0) return;
            if (random_.below(kMillion) < wish_.loss_ppm) continue;
            const auto frame = std::span{room_}.first(static_cast<std::size_t>(got));
            const bool is_late = random_.below(kMillion) < wish_.reorder_ppm;
            auto& queue = is_late ? late_ : queue_;
            queue.push_back({time + wish_.delay + (is_late ? kReorderedBy : Duration{}),
                             {frame.begin(), frame.end()}});
        }
    }
    void give_out(Instant time) {
        for (auto* const queue : {&queue_, &late_}) {
            while (!queue->empty() && queue->front().due <= time) {
                const auto& bytes = queue->front().bytes;
                // A full interface drops it, as a cable's end would.
                static_cast<void>(::send(to_, bytes.data(), bytes.size(), 0));
                queue->pop_front();
            }
        }
    }
    [[nodiscard]] Instant next() const {
        Instant due = Instant::never();
        if (!queue_.empty()) due = earlier(due, queue_.front().due);
        if (!late_.empty()) due = earlier(due, late_.front().due);
        return due;
    }

private:
    struct Frame {
        Instant due;
        std::vector<std::byte> bytes;
    };
    int from_;
    int to_;
    Wish wish_;
    SplitMix64 random_;
    std::vector<std::byte> room_ = std::vector<std::byte>(kFrameBytes);
    std::deque<Frame> queue_;
    std::deque<Frame> late_;
};

int forward(int left, int right, const Wish& wish, std::uint64_t seed) {
    std::array directions{Direction{left, right, wish, seed},
                          Direction{right, left, wish, seed + 1}};
    std::array<pollfd, 2> ends{{{.fd = left, .events = POLLIN, .revents = 0},
                                {.fd = right, .events = POLLIN, .revents = 0}}};
    std::puts("forwarding");
    std::fflush(stdout);
    for (;;) {
        const Instant due = earlier(directions[0].next(), directions[1].next());
        timespec limit{.tv_sec = 1, .tv_nsec = 0};
        if (!due.is_never()) {
            const std::int64_t ns = std::max<std::int64_t>((due - now()).ns(), 0);
            limit = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
        }
        static_cast<void>(::ppoll(ends.data(), ends.size(), &limit, nullptr));
        const Instant time = now();
        for (Direction& direction : directions) direction.take_in(time);
        for (Direction& direction : directions) direction.give_out(time);
    }
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
    using namespace holdfast;
    const std::span words{argv, static_cast<std::size_t>(argc)};
    std::array<std::uint64_t, 4> numbers{0, 0, 0, 1};
    bool is_fine = words.size() >= 4 && words.size() <= 7;
    for (std::size_t i = 3; is_fine && i < words.size(); ++i) {
        const std::string_view word{words[i]};
        const auto [stop, error] = std::from_chars(word.begin(), word.end(), numbers[i - 3]);
        is_fine = error == std::errc{} && stop == word.end();
    }
    if (!is_fine) {
        std::fputs("usage: delay-line IF IF DELAY_US [LOSS_PPM [REORDER_PPM [SEED]]]\n", stderr);
        return 2;
    }
    const UniqueFd left{open_interface(words[1])};
    const UniqueFd right{open_interface(words[2])};
    if (!left || !right) {
        std::fputs("delay-line: cannot open the interfaces; are you root?\n", stderr);
        return 1;
    }
    const Wish wish{.delay = Duration::from_us(static_cast<std::int64_t>(numbers[0])),
                    .loss_ppm = numbers[1],
                    .reorder_ppm = numbers[2]};
    return forward(left.get(), right.get(), wish, numbers[3]);
}
