// path_sim: the initiator's engine, our TCP, a faulty link, TCP again, and the RAM target, in
// virtual time; one seed is one life.
//
// Safety: what was written is what is read, no request fails, no frame is in two places or in none,
// no more is released than was sent, and what the engine has lent comes back. Liveness: when the
// link has become good, every request ends, all loans are over, and the session logs out.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "initiator/engine.h"
#include "netpath/tcp/sabotage.h"
#include "tests/path_sim/server.h"

namespace holdfast::netpath::tcp {
Sabotage planted_sabotage = Sabotage::None;
}

namespace holdfast::path_sim {
namespace {

using initiator::ConnIndex;
using initiator::Engine;
using initiator::OrderKind;
using netpath::tcp::Fact;

constexpr Micros kSecond = 1'000'000;
constexpr Micros kGoodAfter = 12 * kSecond;
constexpr Micros kLifeMax = 300 * kSecond;
constexpr Micros kCloseWait = kSecond / 2;
constexpr std::uint64_t kTurnsMax = 2'000'000;
constexpr std::uint32_t kUnsentBytesMax = 32 * 1024;
constexpr std::uint16_t kDepth = 6;
constexpr std::uint32_t kBlockBytes = 512;
constexpr std::uint32_t kBlocksOfTag = 64;
constexpr std::uint64_t kRequests = 150;

/// Faults of the glue, beyond those of the TCP.
enum class Glue : std::uint8_t {
    None = 0,
    ReleaseEarly = 101,  ///< What was sent counts as acknowledged.
    ForgetRelease = 102,
};
Glue planted_glue = Glue::None;

std::uint64_t word_of(std::uint64_t version, std::uint64_t lba, std::size_t index) {
    if (version == 0) return 0;
    return (version * 0x9e37'79b9'7f4a'7c15ULL) ^ (lba << 20) ^ index;
}

netpath::wire::IpAddress address(std::uint8_t last) {
    const std::array<std::byte, 4> bytes{std::byte{192}, std::byte{0}, std::byte{2},
                                         std::byte{last}};
    return netpath::wire::IpAddress::v4(bytes);
}

Ends make_ends() {
    const netpath::wire::MacAddress us{{std::byte{2}, {}, {}, {}, {}, std::byte{1}}};
    const netpath::wire::MacAddress them{{std::byte{2}, {}, {}, {}, {}, std::byte{2}}};
    return {.ours = address(1),
            .theirs = address(2),
            .our_link = {.local = us, .remote = them, .vlan = {}},
            .their_link = {.local = them, .remote = us, .vlan = {}}};
}

std::vector<target::Storage> storage() {
    std::vector<target::Storage> made;
    made.push_back(std::move(*target::Storage::anonymous(kDepth * kBlocksOfTag * kBlockBytes)));
    return made;
}

struct Life {
    std::string failure{};
    std::uint64_t frames = 0;
    std::uint64_t sessions = 0;
    std::uint64_t resent = 0;
    std::uint64_t hash = 0;
};

/// One request at a time for each tag, each tag in a range of its own, so that its contents are
/// known exactly.
struct Job {
    bool is_out = false;
    bool is_write = false;
    std::uint64_t version = 0;
    std::uint32_t first = 0;
    std::uint32_t blocks = 0;
    std::array<std::uint64_t, kBlocksOfTag> contents{};
    std::vector<std::byte> buffer;
};

class World {
public:
    explicit World(std::uint64_t seed)
        : random_(seed),
          ends_(make_ends()),
          to_target_(draw_manners(), random_),
          to_us_(draw_manners(), random_),
          target_(draw_target(), storage(), now()),
          server_(target_, ends_, limits(), options(), random_),
          end_(limits(), options()) {
        if (random_.one_in(4)) {
            auto rule = target::parse_fault("every=" + std::to_string(700 + random_.below(3000)) +
                                            "ms reset");
            if (rule) target_.add_fault(std::move(*rule), now());
        }
        make_engine();
        for (Job& job : jobs_) job.buffer.resize(kBlocksOfTag * kBlockBytes);
    }

    Life live() {
        engine_->start(now());
        while (life_.failure.empty() && !is_over_) turn();
        life_.frames = to_target_.carried() + to_us_.carried();
        life_.sessions = engine_->counters().sessions_established;
        return life_;
    }

private:
    enum class State : std::uint8_t { Idle, Connecting, Up, Closing, Draining };

    Manners draw_manners() {
        Manners made;
        made.delay = 30 + static_cast<Micros>(random_.below(random_.one_in(3) ? 40'000 : 1000));
        if (random_.one_in(2)) made.jitter = static_cast<Micros>(random_.below(3000));
        if (random_.one_in(2)) made.loss_one_in = 8 + random_.below(200);
        if (random_.one_in(3)) made.twice_one_in = 8 + random_.below(100);
        if (random_.one_in(3)) made.corrupt_one_in = 20 + random_.below(100);
        if (random_.one_in(4)) {
            made.outage_one_in = 200 + random_.below(1000);
            made.outage = kSecond + static_cast<Micros>(random_.below(9 * kSecond));
        }
        return made;
    }
    target::TargetConfig draw_target() {
        target::TargetConfig config;
        config.luns = {
            target::LunConfig{.id = 0, .size_bytes = kDepth * kBlocksOfTag * kBlockBytes}};
        config.operational.max_recv_data_segment_bytes =
            static_cast<std::uint32_t>(512U << random_.below(6));
        config.operational.time2wait_s = 0;
        config.queue_depth = static_cast<std::uint32_t>(2 + random_.below(16));
        config.seed = random_.next();
        return config;
    }
    static netpath::tcp::Limits limits() { return {.records = 64, .sent = 256, .rx_frames = 64}; }
    static netpath::tcp::Options options() {
        netpath::tcp::Options made;
        made.window_bytes_max = 64 * 1024;
        made.user_timeout = Duration::from_s(15);
        made.connect_timeout = Duration::from_s(5);
        return made;
    }
    void make_engine() {
        initiator::SessionConfig config;
        config.initiator_name.assign_cut("iqn.2026-01.sim:initiator");
        config.target_name.assign_cut(target_.config().names.front());
        initiator::Portal portal;
        portal.host.assign_cut("192.0.2.2");
        config.portals.push(portal);
        config.isid = initiator::Isid{0x4000'0000'0001ULL};
        config.wish.header_digest = config.wish.data_digest = initiator::DigestWish::Never;
        config.wish.max_recv_data_segment_bytes =
            static_cast<std::uint32_t>(512U << random_.below(8));
        auto& timers = config.timers;
        timers.login = Duration::from_s(10);
        timers.nop_interval = Duration::from_s(2);
        timers.nop_timeout = Duration::from_s(4);
        timers.command = Duration::from_s(20);
        timers.abort_task = timers.lun_reset = timers.target_reset = Duration::from_s(5);
        timers.reconnect_max = Duration::from_s(1);
        const initiator::EngineLimits limits{
            .depth = kDepth, .request_bytes_max = kBlocksOfTag * kBlockBytes, .stage_bytes = 8192};
        reserve::MemoryPlan plan;
        Engine::add_to_plan(plan, limits);
        memory_.resize(plan.total().raw() + reserve::kCarveUnitBytes);
        region_.emplace(std::span{memory_});
        engine_.emplace(config, limits, *region_);
    }

    [[nodiscard]] Instant now() const { return Instant::from_ns(now_ * 1000); }
    void fail(const std::string& what) {
        if (life_.failure.empty()) life_.failure = what + " at " + std::to_string(now_) + " us";
    }

    // ---- The transport, as driver_reserved.cc and XdpPath have it.
    void connect() {
        taken_ = released_ = 0;
        const netpath::wire::Flow flow{.local = ends_.ours,
                                       .remote = ends_.theirs,
                                       .local_port = next_port_++,
                                       .remote_port = kTargetPort};
        state_ = State::Connecting;
        end_.stream().connect_with(
            now(), flow, ends_.our_link,
            {.isn = netpath::tcp::Seq{static_cast<std::uint32_t>(random_.next())},
             .timestamp_offset = static_cast<std::uint32_t>(random_.next())});
    }
    void drain() {
        state_ = State::Draining;
        close_by_ = kNever;
        end_.stream().reset(now());
    }
    void follow_orders() {
        while (const auto order = engine_->poll_order()) {
            switch (order->kind) {
            case OrderKind::Connect: connect(); break;
            case OrderKind::Close:
                if (state_ == State::Up) {
                    end_.stream().close(now());
                    state_ = State::Closing;
                    close_by_ = now_ + kCloseWait;
                    break;
                }
                [[fallthrough]];
            case OrderKind::Reset:
                if (state_ == State::Idle) {
                    engine_->transport_lost(ConnIndex{0}, now());
                } else if (state_ != State::Draining) {
                    drain();
                }
                break;
            case OrderKind::DeviceReady: is_ready_ = true; break;
            case OrderKind::DeviceResized: break;
            case OrderKind::GaveUp: fail("the engine gave up"); break;
            case OrderKind::Stopped: is_over_ = true; break;
            }
        }
    }
    void report_facts() {
        auto& stream = end_.stream();
        while (const auto fact = stream.poll_fact()) {
            if (fact->kind == Fact::Kind::Up && state_ == State::Connecting) {
                state_ = State::Up;
                initiator::FreshRandom fresh{};
                engine_->transport_up(ConnIndex{0}, now(), fresh);
            }
            if (fact->kind == Fact::Kind::PeerClosed) peer_closed_ = true;
            if (fact->kind == Fact::Kind::Ended && state_ != State::Idle &&
                state_ != State::Draining)
                drain();
        }
        if (state_ == State::Up && peer_closed_ && stream.rx_front().empty()) drain();
        const bool is_closed = state_ == State::Closing &&
                               stream.connection().state() == netpath::tcp::State::TimeWait;
        if (is_closed || now_ >= close_by_) drain();
        while (state_ == State::Closing && !stream.rx_front().empty())
            stream.rx_taken(now(), static_cast<std::uint32_t>(stream.rx_front().size()));
    }
    void release() {
        std::size_t bytes = 0;
        while (const auto piece = end_.stream().poll_returned_piece()) bytes += *piece;
        if (state_ != State::Up || bytes == 0) return;
        released_ += bytes;
        if (released_ > taken_) return fail("more was released than was sent");
        if (planted_glue == Glue::None) engine_->tx_released(ConnIndex{0}, bytes);
    }
    void receive() {
        auto& stream = end_.stream();
        while (state_ == State::Up && !stream.rx_front().empty()) {
            std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
            const auto spaces = engine_->rx_spaces(ConnIndex{0}, room);
            if (spaces.empty()) return;
            std::size_t filled = 0;
            for (auto space : spaces) {
                while (!space.empty() && !stream.rx_front().empty()) {
                    const auto front = stream.rx_front();
                    const std::size_t part = std::min(space.size(), front.size());
                    std::memcpy(space.data(), front.data(), part);
                    stream.rx_taken(now(), static_cast<std::uint32_t>(part));
                    space = space.subspan(part);
                    filled += part;
                }
            }
            engine_->rx_filled(ConnIndex{0}, now(), filled);
        }
    }
    void lend() {
        while (state_ == State::Up) {
            std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
            std::size_t bytes = 0;
            for (const auto span : engine_->tx_spans(ConnIndex{0}, now(), room)) {
                if (end_.stream().connection().unsent_bytes() >= kUnsentBytesMax) break;
                if (!end_.stream().try_send(span, static_cast<std::uint32_t>(span.size()))) break;
                bytes += span.size();
            }
            if (bytes == 0) return;
            taken_ += bytes;
            engine_->tx_sent(ConnIndex{0}, now(), bytes);
            if (planted_glue == Glue::ReleaseEarly) engine_->tx_released(ConnIndex{0}, bytes);
        }
    }
    void send_frames() {
        if (!end_.take_frames_back()) fail("a frame came back twice");
        if (!end_.is_account_right()) fail("a frame is missing");
        while (auto frame = end_.output(now(), !random_.one_in(30))) {
            for (const std::byte byte : *frame)
                life_.hash = (life_.hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3ULL;
            to_target_.carry(now_, std::move(*frame));
        }
        if (state_ != State::Draining) return;
        life_.resent += end_.stream().connection().counters().resent - resent_before_;
        resent_before_ = end_.stream().connection().counters().resent;
        state_ = State::Idle;
        peer_closed_ = false;
        while (end_.stream().poll_fact()) continue;
        while (end_.stream().poll_returned_piece()) continue;
        engine_->transport_lost(ConnIndex{0}, now());
    }

    // ---- The load.
    void submit_some() {
        if (!is_ready_ || is_stopping_) return;
        for (std::uint16_t tag = 0; tag < kDepth && submitted_ < kRequests; ++tag)
            if (!jobs_[tag].is_out && random_.one_in(2)) submit(tag);
        const bool is_idle = std::ranges::none_of(jobs_, &Job::is_out);
        if (submitted_ < kRequests || !is_idle || now_ < kGoodAfter) return;
        // Every loan must be over before the session says goodbye.
        if (state_ == State::Up && released_ != taken_) return;
        is_stopping_ = true;
        engine_->stop(now());
    }
    void submit(std::uint16_t tag) {
        Job& job = jobs_[tag];
        job.first = static_cast<std::uint32_t>(random_.below(kBlocksOfTag));
        job.blocks = 1 + static_cast<std::uint32_t>(random_.below(kBlocksOfTag - job.first));
        job.is_write = random_.one_in(2);
        const auto data = std::span{job.buffer}.first(std::size_t{job.blocks} * kBlockBytes);
        const std::uint64_t lba = std::uint64_t{tag} * kBlocksOfTag + job.first;
        if (job.is_write) {
            job.version = ++versions_;
            fill(data, job.version, lba);
        } else {
            std::ranges::fill(data, std::byte{0xee});
        }
        const auto kind =
            job.is_write ? initiator::RequestKind::Write : initiator::RequestKind::Read;
        const auto taken = engine_->submit(now(), {.tag = tag,
                                                   .kind = kind,
                                                   .lba = Lba{lba},
                                                   .blocks = BlockCount{job.blocks},
                                                   .data = data});
        if (taken != initiator::Submitted::Accepted) return fail("a request was refused");
        job.is_out = true;
        ++submitted_;
    }
    static void fill(std::span<std::byte> data, std::uint64_t version, std::uint64_t lba) {
        for (std::size_t i = 0; i * 8 < data.size(); ++i) {
            const std::uint64_t word =
                word_of(version, lba + i * 8 / kBlockBytes, i * 8 % kBlockBytes);
            std::memcpy(data.subspan(i * 8).data(), &word, sizeof(word));
        }
    }
    void take_completions() {
        while (const auto done = engine_->poll_completion()) {
            Job& job = jobs_.at(done->tag);
            job.is_out = false;
            if (done->outcome != initiator::Outcome::Done) return fail("a request failed");
            if (!job.is_write) {
                check(job, done->tag);
                continue;
            }
            for (std::uint32_t i = 0; i < job.blocks; ++i)
                job.contents.at(job.first + i) = job.version;
            // The buffer is its owner's again: whoever still sends from it sends this.
            std::ranges::fill(job.buffer, std::byte{0x5a});
        }
        while (engine_->poll_notice()) continue;
    }
    void check(const Job& job, std::uint16_t tag) {
        for (std::uint32_t block = 0; block < job.blocks; ++block) {
            const std::uint64_t lba = std::uint64_t{tag} * kBlocksOfTag + job.first + block;
            for (std::size_t at = 0; at < kBlockBytes; at += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, &job.buffer[block * kBlockBytes + at], sizeof(word));
                if (word != expected(job, block, lba, at))
                    return fail("a block has wrong contents");
            }
        }
    }
    static std::uint64_t expected(const Job& job, std::uint32_t block, std::uint64_t lba,
                                  std::size_t at) {
        return word_of(job.contents.at(job.first + block), lba, at);
    }

    void step_time() {
        Micros next = std::min(now_ + kSecond, std::min(to_target_.next(), to_us_.next()));
        const Instant wake =
            earlier(earlier(engine_->next_wake(), end_.stream().next_wake()), server_.next_wake());
        if (!wake.is_never()) next = std::min(next, (wake.ns() + 999) / 1000);
        next = std::min(next, close_by_);
        if (now_ < kGoodAfter)
            next = std::min(next, now_ + 1 + static_cast<Micros>(random_.below(5000)));
        now_ = std::max(now_ + 1, next);
    }
    void turn() {
        step_time();
        if (now_ > kLifeMax || ++turns_ > kTurnsMax) return fail("no liveness");
        if (now_ > kGoodAfter && !is_good_) {
            is_good_ = true;
            to_target_.become_good();
            to_us_.become_good();
            target_.clear_faults();
        }
        while (const auto frame = to_us_.arrive(now_))
            if (state_ != State::Idle) end_.input(now(), *frame);
        while (const auto frame = to_target_.arrive(now_)) server_.input(now(), *frame);
        if (end_.stream().next_wake() <= now()) end_.stream().wake(now());
        release();
        receive();
        report_facts();
        engine_->wake(now(), Duration{});
        follow_orders();
        take_completions();
        submit_some();
        lend();
        send_frames();
        follow_orders();
        if (target_.next_wake() <= now()) target_.wake(now());
        server_.turn(now(), now_, to_us_);
        static_cast<void>(target_.take_touched());
        if (!server_.complaint().empty()) fail(server_.complaint());
        const auto& broken = target_.counters().violations;
        if (!broken.empty()) fail("the target complains: " + broken.begin()->first);
    }

    SplitMix64 random_;
    Micros now_ = kSecond / 10;
    Ends ends_;
    Wire to_target_;
    Wire to_us_;
    target::Target target_;
    Server server_;
    End end_;
    State state_ = State::Idle;
    bool peer_closed_ = false;
    Micros close_by_ = kNever;
    std::uint16_t next_port_ = 50'000;
    std::uint64_t taken_ = 0;
    std::uint64_t released_ = 0;
    std::uint64_t resent_before_ = 0;
    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    std::optional<Engine> engine_;
    std::array<Job, kDepth> jobs_{};
    std::uint64_t versions_ = 0;
    std::uint64_t submitted_ = 0;
    std::uint64_t turns_ = 0;
    bool is_ready_ = false;
    bool is_stopping_ = false;
    bool is_good_ = false;
    bool is_over_ = false;
    Life life_;
};

struct Arguments {
    std::uint64_t first = 1;
    std::uint64_t seeds = 100;
    bool expects_failure = false;
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
            const std::uint64_t kind = number();
            if (kind > 100) planted_glue = static_cast<Glue>(kind);
            if (kind < 100)
                netpath::tcp::planted_sabotage = static_cast<netpath::tcp::Sabotage>(kind);
        } else if (word == "--expect-failure") {
            arguments.expects_failure = true;
        } else {
            std::fputs(
                "usage: path_sim [--seeds N] [--first S] [--sabotage K] [--expect-failure]\n",
                stderr);
            std::exit(2);
        }
    }
    return arguments;
}

}  // namespace
}  // namespace holdfast::path_sim

int main(int count, char** words) {
    using namespace holdfast::path_sim;
    const Arguments arguments = parse({words, static_cast<std::size_t>(count)});
    Life all;
    for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
        const std::uint64_t seed = arguments.first + i;
        const Life life = World{seed}.live();
        all.frames += life.frames;
        all.sessions += life.sessions;
        all.resent += life.resent;
        all.hash ^= life.hash + seed;
        if (life.failure.empty()) continue;
        std::printf("seed %llu failed: %s\n", static_cast<unsigned long long>(seed),
                    life.failure.c_str());
        return arguments.expects_failure ? 0 : 1;
    }
    std::printf(
        "%llu lives, %llu frames, %llu segments sent again, %llu sessions, hash %016llx\n",
        static_cast<unsigned long long>(arguments.seeds),
        static_cast<unsigned long long>(all.frames), static_cast<unsigned long long>(all.resent),
        static_cast<unsigned long long>(all.sessions), static_cast<unsigned long long>(all.hash));
    return arguments.expects_failure ? 1 : 0;
}
