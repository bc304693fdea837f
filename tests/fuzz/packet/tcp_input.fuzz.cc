/// Input: the life of a connection, a byte at a time: what the owner does, how time passes, and
/// segments of the peer whose numbers lie near what the connection expects.
#include "base/assert.h"
#include "tests/fuzz/input.h"
#include "tests/netpath/tcp/endpoint.h"

namespace holdfast::tcp_test {
namespace {

EndpointConfig config_of(fuzz::Input& input) {
    EndpointConfig config{.limits = {.records = 8, .sent = 32, .rx_frames = 16}};
    const std::uint8_t choice = input.byte();
    config.options.sack = (choice & 1) != 0;
    config.options.timestamps = (choice & 2) != 0;
    config.options.window_scaling = (choice & 4) != 0;
    config.ends.is_v6 = (choice & 8) != 0;
    return config;
}

class Life {
public:
    Life(fuzz::Input& input, const EndpointConfig& config)
        : input_(input), ends_(config.ends), endpoint_(config) {
        isn_ = 0U - input.word();
        peer_isn_ = 0x8000'0000U - input.word();
        endpoint_.connect(now(), isn_, input.word());
        drain();
    }
    void step() {
        switch (input_.byte() % 10) {
        case 0: static_cast<void>(endpoint_.write(1 + input_.word() % 5000)); break;
        case 1: endpoint_.read(now(), input_.word()); break;
        case 2: now_ns_ += std::int64_t{input_.word()} * 100'000; break;
        case 3: now_ns_ += std::int64_t{input_.byte()} * 1'000'000'000'000; break;
        case 4: wake(); break;
        case 5:
            if (input_.byte() < 8) endpoint_.stream().close(now());
            break;
        case 6:
            if (input_.byte() < 4) endpoint_.stream().reset(now());
            break;
        case 7: icmp(); break;
        default: segment(); break;
        }
        drain();
    }

private:
    [[nodiscard]] Instant now() const { return Instant::from_ns(now_ns_); }
    void wake() {
        const Instant due = endpoint_.stream().next_wake();
        if (!due.is_never() && due.ns() < now_ns_ + 10'000'000'000'000)
            now_ns_ = std::max(now_ns_, due.ns());
        endpoint_.stream().wake(now());
    }
    void drain() {
        for (int i = 0; i < 1000; ++i) {
            const Bytes frame = endpoint_.output(now(), (i & 7) != 7);
            if (frame.empty()) break;
            HF_ASSERT(frame_from_us(ends_, frame).packet.has_value());
            HF_ASSERT(i < 999);
        }
        while (endpoint_.stream().poll_fact()) {
        }
        endpoint_.settle();
        HF_ASSERT(endpoint_.complaint().empty() ||
                  endpoint_.complaint().starts_with("received a wrong byte"));
    }
    void icmp() {
        const netpath::tcp::Connection& c = endpoint_.stream().connection();
        endpoint_.input(
            now(), icmp_from_router(ends_, {.type = static_cast<std::uint8_t>(input_.byte() % 13),
                                            .code = static_cast<std::uint8_t>(input_.byte() % 8),
                                            .mtu = input_.word(),
                                            .seq = c.snd_una().raw() + input_.byte(),
                                            .quoted_ip_bytes = 40U + input_.word() % 1461U}));
    }
    void segment() {
        const netpath::tcp::Connection& c = endpoint_.stream().connection();
        const bool is_open = c.state() != netpath::tcp::State::SynSent;
        Packet packet{.flags = static_cast<std::uint8_t>(input_.byte() & 0x3f)};
        const auto near = [this](std::uint32_t base) {
            const std::uint16_t word = input_.word();
            return base + (word & 0x3fffU) - ((word & 0x8000U) != 0 ? 0x3fffU : 0U);
        };
        packet.seq = near(is_open ? c.rcv_nxt().raw() : peer_isn_);
        const std::uint8_t exact = input_.byte();
        if ((exact & 1) != 0 && is_open) packet.seq = c.rcv_nxt().raw();
        packet.ack = (exact & 2) != 0 ? c.snd_nxt().raw() : near(c.snd_una().raw());
        packet.window = input_.word();
        packet.payload.resize(input_.word() % 1400U);
        if ((exact & 4) != 0) packet.payload.clear();
        if ((exact & 8) != 0) {
            for (int i = input_.byte() % 4; i > 0; --i) {
                const std::uint32_t begin = c.snd_una().raw() + input_.word() % 20000U;
                packet.sacks.emplace_back(begin, begin + input_.word() % 5000U);
            }
        }
        if ((exact & 16) != 0) packet.timestamps = {input_.word(), input_.word()};
        if (packet.has(kSyn)) {
            packet.mss = input_.word();
            packet.sack_permitted = (exact & 32) != 0;
            if ((exact & 64) != 0) packet.window_shift = input_.byte();
        }
        endpoint_.input(now(), frame_from_peer(ends_, packet));
    }

    fuzz::Input& input_;
    Ends ends_;
    Endpoint endpoint_;
    std::int64_t now_ns_ = 1'000'000'000;
    std::uint32_t isn_ = 0;
    std::uint32_t peer_isn_ = 0;
};

}  // namespace
}  // namespace holdfast::tcp_test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    holdfast::fuzz::Input input{data, size};
    holdfast::tcp_test::Life life{input, holdfast::tcp_test::config_of(input)};
    for (int i = 0; i < 2000 && !input.empty(); ++i) life.step();
    return 0;
}
