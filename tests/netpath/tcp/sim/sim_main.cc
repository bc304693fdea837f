// tcp_sim: the stream against a model peer over a bad network, in virtual time; one seed is one
// life.
//
// Safety: no byte is wrong in either direction, no frame or piece is lost or given back twice, the
// peer is never sent more than its window, our window never shrinks, nothing is acknowledged that
// was not kept. Liveness: when the network has become good, everything arrives and both ends close.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <span>
#include <string>

#include "netpath/tcp/sabotage.h"
#include "tests/netpath/tcp/endpoint.h"
#include "tests/netpath/tcp/sim/peer.h"

namespace holdfast::netpath::tcp {
Sabotage planted_sabotage = Sabotage::None;
}

namespace holdfast::tcp_test {
namespace {

constexpr Micros kGoodAfter = 20'000'000;
constexpr Micros kLifeMax = 400'000'000;

/// What the network of one life does to packets.
struct Network {
    Micros delay = 1000;
    Micros jitter = 0;
    std::uint64_t loss_one_in = 0;  ///< 0: never.
    std::uint64_t twice_one_in = 0;
    std::uint64_t corrupt_one_in = 0;
    std::uint32_t mtu = 1500;
    bool tells_too_big = true;
};

struct Life {
    std::string failure{};
    std::uint64_t packets = 0;
    std::uint64_t hash = 0;
};

class World {
public:
    World(std::uint64_t seed, bool is_traced) : random_(seed), is_traced_(is_traced) {
        config_.ends.is_v6 = random_.one_in(4);
        config_.limits = {.records = 32, .sent = 256, .rx_frames = 64};
        config_.options.timestamps = random_.one_in(2);
        config_.options.sack = !random_.one_in(4);
        config_.options.window_bytes_max = 256 * 1024;
        config_.options.user_timeout = Duration::from_s(10'000);
        config_.options.connect_timeout = Duration::from_s(10'000);
        config_.options.close_timeout = Duration::from_s(10'000);
        config_.options.time_wait = Duration::from_s(5);
        draw_network();
        PeerManners manners;
        manners.has_sack = !random_.one_in(4);
        manners.has_timestamps = random_.one_in(2);
        manners.sends_dsack = random_.one_in(2);
        manners.window_shift = static_cast<std::uint8_t>(random_.below(5));
        manners.buffer_bytes = static_cast<std::uint32_t>(3000 + random_.below(60'000));
        manners.bytes_to_send = random_.below(150'000);
        manners.reads_slowly = random_.one_in(3);
        manners.reneges = random_.one_in(6);
        manners.may_lose_updates = random_.one_in(3);
        manners.resend_after = 100'000 + 4 * (network_.delay + network_.jitter);
        bytes_to_write_ = random_.below(200'000);
        is_lazy_reader_ = random_.one_in(3);
        endpoint_ = std::make_unique<Endpoint>(config_);
        peer_ = std::make_unique<Peer>(manners, draw_number(), random_);
        const std::uint32_t isn = draw_number();
        endpoint_->connect(now(), isn, draw_number());
    }

    Life live() {
        while (life_.failure.empty() && !is_over()) turn();
        finish();
        return life_;
    }

private:
    void draw_network() {
        network_.delay = 50 + static_cast<Micros>(random_.below(random_.one_in(3) ? 50'000 : 2000));
        if (random_.one_in(2)) network_.jitter = static_cast<Micros>(random_.below(5000));
        if (random_.one_in(2)) network_.loss_one_in = 10 + random_.below(200);
        if (random_.one_in(3)) network_.twice_one_in = 10 + random_.below(100);
        if (random_.one_in(3)) network_.corrupt_one_in = 20 + random_.below(100);
        if (random_.one_in(4)) {
            network_.mtu = 1300 + static_cast<std::uint32_t>(random_.below(190));
            network_.tells_too_big = random_.one_in(2);
        }
    }
    /// Often shortly before a wrap.
    std::uint32_t draw_number() {
        const auto any = static_cast<std::uint32_t>(random_.next());
        if (random_.one_in(2)) return any;
        const auto before = static_cast<std::uint32_t>(random_.below(100'000));
        return (random_.one_in(2) ? 0U : 0x8000'0000U) - before;
    }
    [[nodiscard]] Instant now() const { return Instant::from_ns(now_ * 1000); }
    void fail(const std::string& what) {
        if (life_.failure.empty()) life_.failure = what + " at " + std::to_string(now_) + " us";
    }
    [[nodiscard]] bool is_over() const { return has_ended_ && to_peer_.empty() && to_us_.empty(); }

    /// Puts a frame on the wire, or does not.
    void carry(std::multimap<Micros, Bytes>& to, Bytes frame) {
        ++life_.packets;
        const bool is_bad = now_ < kGoodAfter;
        if (is_bad && network_.loss_one_in > 0 && random_.one_in(network_.loss_one_in)) return;
        if (is_bad && network_.corrupt_one_in > 0 && random_.one_in(network_.corrupt_one_in)) {
            const std::size_t head = 14;
            frame.at(head + random_.below(frame.size() - head)) ^=
                static_cast<std::uint8_t>(1U << random_.below(8));
        }
        const auto arrive_at = [this] {
            return now_ + network_.delay +
                   static_cast<Micros>(
                       random_.below(static_cast<std::uint64_t>(network_.jitter) + 1));
        };
        if (is_bad && network_.twice_one_in > 0 && random_.one_in(network_.twice_one_in))
            to.emplace(arrive_at(), frame);
        to.emplace(arrive_at(), std::move(frame));
    }

    void tell(const char* arrow, const Packet& packet) const {
        if (!is_traced_) return;
        std::printf("%9.6f %s flags %02x seq %u bytes %zu ack %u window %u sacks %zu\n",
                    static_cast<double>(now_) / 1e6, arrow, packet.flags, packet.seq,
                    packet.payload.size(), packet.ack, packet.window, packet.sacks.size());
    }

    void check_sent(const Bytes& frame) {
        const Decoded decoded = frame_from_us(config_.ends, frame);
        if (!decoded.packet) return fail("a wrong frame: " + decoded.complaint);
        const Packet& packet = *decoded.packet;
        tell("->", packet);
        for (const std::uint8_t byte : frame) life_.hash = life_.hash * 1'099'511'628'211U + byte;
        if (packet.has(kSyn)) {
            shift_ = packet.window_shift.value_or(0);
            return;
        }
        if (packet.has(kRst)) return;
        const std::uint32_t shift = is_scaled_ ? shift_ : 0;
        const std::uint32_t edge = packet.ack + (std::uint32_t{packet.window} << shift);
        if (has_edge_ && static_cast<std::int32_t>(edge - edge_) < 0) fail("our window shrank");
        has_edge_ = true;
        edge_ = edge;
    }

    void send_all() {
        for (int i = 0;; ++i) {
            if (i > 5000) return fail("the stream never stops sending");
            Bytes frame = endpoint_->output(now(), !random_.one_in(30));
            if (frame.empty()) break;
            check_sent(frame);
            const std::size_t ip = frame.size() - 14;
            if (ip > network_.mtu) {
                if (network_.tells_too_big && !random_.one_in(3)) tell_too_big(frame);
                continue;
            }
            carry(to_peer_, std::move(frame));
        }
        while (const auto packet = peer_->send(now_)) {
            tell("<-", *packet);
            if (packet->has(kSyn)) is_scaled_ = packet->window_shift.has_value();
            carry(to_us_, frame_from_peer(config_.ends, *packet));
        }
    }
    void tell_too_big(const Bytes& frame) {
        const Decoded decoded = frame_from_us(config_.ends, frame);
        const bool is_v6 = config_.ends.is_v6;
        carry(to_us_,
              icmp_from_router(config_.ends, {.type = static_cast<std::uint8_t>(is_v6 ? 2 : 3),
                                              .code = static_cast<std::uint8_t>(is_v6 ? 0 : 4),
                                              .mtu = network_.mtu,
                                              .seq = decoded.packet->seq,
                                              .quoted_ip_bytes = decoded.ip_bytes}));
    }

    void use() {
        Stream& stream = endpoint_->stream();
        while (const auto fact = stream.poll_fact()) {
            using enum netpath::tcp::Fact::Kind;
            if (fact->kind == Up) is_up_ = true;
            if (fact->kind != Ended) continue;
            has_ended_ = true;
            if (fact->reason != netpath::tcp::EndReason::Closed) fail("ended for no reason");
        }
        const bool is_idle = is_lazy_reader_ && now_ < kGoodAfter && !random_.one_in(20);
        if (!is_idle) endpoint_->read(now(), 1 + random_.below(100'000));
        while (endpoint_->written_bytes() < bytes_to_write_) {
            const std::uint64_t left = bytes_to_write_ - endpoint_->written_bytes();
            const std::uint64_t most = std::min<std::uint64_t>(left, 1 + random_.below(20'000));
            if (!endpoint_->write(most)) break;
        }
        if (is_up_ && endpoint_->written_bytes() == bytes_to_write_ && !is_closing_) {
            is_closing_ = true;
            stream.close(now());
        }
        endpoint_->settle();
        if (endpoint_->returned_bytes() > peer_->received_bytes())
            fail("a piece came back that the peer has not got");
        if (!endpoint_->complaint().empty()) fail(endpoint_->complaint());
        if (!peer_->complaint().empty()) fail("the peer: " + peer_->complaint());
    }

    void turn() {
        use();
        send_all();
        endpoint_->settle();
        Micros next = std::min(now_ + 1'000'000, peer_->next_wake());
        const Instant wake = endpoint_->stream().next_wake();
        if (!wake.is_never()) next = std::min(next, (wake.ns() + 999) / 1000);
        if (!to_us_.empty()) next = std::min(next, to_us_.begin()->first);
        if (!to_peer_.empty()) next = std::min(next, to_peer_.begin()->first);
        now_ = std::max(now_, next);
        if (now_ > kGoodAfter) peer_->calm_down();
        if (now_ > kLifeMax) return fail("no liveness");
        if (++turns_ > 3'000'000) return fail("no end of turns");
        while (!to_us_.empty() && to_us_.begin()->first <= now_) {
            const Bytes frame = to_us_.begin()->second;
            to_us_.erase(to_us_.begin());
            endpoint_->input(now(), frame);
        }
        while (!to_peer_.empty() && to_peer_.begin()->first <= now_) {
            const Decoded decoded = frame_from_us(config_.ends, to_peer_.begin()->second);
            to_peer_.erase(to_peer_.begin());
            if (decoded.packet) peer_->receive(now_, *decoded.packet);
        }
        if (endpoint_->stream().next_wake() <= now()) endpoint_->stream().wake(now());
    }

    void finish() {
        if (!life_.failure.empty()) return;
        endpoint_->read(now(), SIZE_MAX);
        endpoint_->settle();
        if (!endpoint_->complaint().empty()) fail(endpoint_->complaint());
        if (peer_->received_bytes() != bytes_to_write_) fail("not everything arrived");
        if (!peer_->has_sent_all()) fail("not everything was taken");
        if (endpoint_->returned_bytes() != bytes_to_write_) fail("a piece did not come back");
        if (endpoint_->stream().connection().held_frames() != 0) fail("a frame is still held");
    }

    SplitMix64 random_;
    bool is_traced_;
    EndpointConfig config_;
    Network network_;
    Life life_;
    std::unique_ptr<Endpoint> endpoint_;
    std::unique_ptr<Peer> peer_;
    std::multimap<Micros, Bytes> to_peer_;
    std::multimap<Micros, Bytes> to_us_;
    Micros now_ = 1'000'000;
    std::uint64_t bytes_to_write_ = 0;
    std::uint64_t turns_ = 0;
    bool is_lazy_reader_ = false;
    bool is_up_ = false;
    bool is_closing_ = false;
    bool has_ended_ = false;
    bool is_scaled_ = false;
    bool has_edge_ = false;
    std::uint32_t edge_ = 0;
    std::uint32_t shift_ = 0;
};

struct Arguments {
    std::uint64_t first = 1;
    std::uint64_t seeds = 100;
    int sabotage = 0;
    bool expects_failure = false;
    bool is_traced = false;
};

Arguments parse(std::span<char*> words) {
    Arguments arguments;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string word = words[i];
        const auto number = [&]() -> std::uint64_t {
            return ++i < words.size() ? std::strtoull(words[i], nullptr, 10) : 0;
        };
        if (word == "--seeds") {
            arguments.seeds = number();
        } else if (word == "--first") {
            arguments.first = number();
        } else if (word == "--sabotage") {
            arguments.sabotage = static_cast<int>(number());
        } else if (word == "--expect-failure") {
            arguments.expects_failure = true;
        } else if (word == "--trace") {
            arguments.is_traced = true;
        } else {
            std::fputs(
                "usage: tcp_sim [--seeds N] [--first S] [--trace] [--sabotage K] "
                "[--expect-failure]\n",
                stderr);
            std::exit(2);
        }
    }
    return arguments;
}

}  // namespace
}  // namespace holdfast::tcp_test

int main(int count, char** words) {
    using namespace holdfast;
    const tcp_test::Arguments arguments = tcp_test::parse({words, static_cast<std::size_t>(count)});
    netpath::tcp::planted_sabotage = static_cast<netpath::tcp::Sabotage>(arguments.sabotage);
    std::uint64_t packets = 0;
    std::uint64_t hash = 0;
    for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
        const std::uint64_t seed = arguments.first + i;
        const tcp_test::Life life = tcp_test::World{seed, arguments.is_traced}.live();
        packets += life.packets;
        hash ^= life.hash + seed;
        if (life.failure.empty()) continue;
        std::printf("seed %llu failed: %s\n", static_cast<unsigned long long>(seed),
                    life.failure.c_str());
        return arguments.expects_failure ? 0 : 1;
    }
    std::printf("%llu lives, %llu packets, hash %016llx\n",
                static_cast<unsigned long long>(arguments.seeds),
                static_cast<unsigned long long>(packets), static_cast<unsigned long long>(hash));
    return arguments.expects_failure ? 1 : 0;
}
