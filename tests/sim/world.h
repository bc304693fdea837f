/// One simulated life: an engine, a model target, the wire between them, a workload with an oracle,
/// and faults, all from one seed, in virtual time.
///
/// Safety: what was reported as written is there, a read returns a value that the block may have,
/// no older write appears after a newer one, each tag ends exactly once, no buffer is touched
/// outside its loan, no call of the engine allocates, the target has nothing to complain about.
/// Liveness: once the faults stop everything ends within kLimitQuiet.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "initiator/engine.h"
#include "tests/sim/allocation_guard.h"
#include "tests/sim/model_target.h"

namespace holdfast::sim {

/// How one life ended.
struct Verdict {
    std::string failure;  ///< Empty: everything held.
    std::uint64_t hash = 0;
    std::uint64_t requests = 0;
    std::uint64_t sessions = 0;
    std::uint64_t late_executions = 0;
    std::uint64_t taken_over = 0;  ///< Commands reassigned, or sent again as they were.
    Micros lived = 0;
};

/// What a block may contain. Version 0 is zeroes.
class Oracle {
public:
    explicit Oracle(std::uint32_t blocks) : blocks_(blocks) {}
    struct Block {
        std::set<std::uint64_t> legal{0};    ///< What a read may return.
        std::set<std::uint64_t> durable{0};  ///< What may be there after a power cut.
        std::uint64_t acknowledged_at = 0;   ///< When it was last written, in completions.
        bool is_anything = false;            ///< After a discard, what a read returns.
        bool is_durable_anything = false;    ///< The same, after a power cut.
        bool is_locked = false;              ///< A request is out for it.
    };
    Block& at(std::uint64_t lba) { return blocks_.at(lba); }
    [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(blocks_.size()); }
    void lose_power();

private:
    std::vector<Block> blocks_;
};

/// The contents of one block of a version.
void fill_block(std::span<std::byte> to, std::uint64_t version, std::uint64_t lba);
/// The version of a block, or none if it is no whole block of any version.
[[nodiscard]] std::optional<std::uint64_t> version_of(std::span<const std::byte> from,
                                                      std::uint64_t lba);

/// Bytes on their way.
struct Chunk {
    Bytes bytes;
    Micros at = 0;
};
/// One transport connection, from Connect to transport_lost.
/// Bytes that the transport has taken and may send again: they must not change meanwhile.
struct Held {
    std::vector<std::span<const std::byte>> spans;
    Bytes sent;
    Micros until = 0;
};
struct Link {
    initiator::ConnIndex index{};
    int conn = 0;  ///< At the target; 0: it never got there.
    std::deque<Chunk> to_target;
    std::deque<Chunk> to_us;
    Bytes arrived;  ///< Read by us next.
    bool is_dead_for_target = false;
    Micros peer_closed_at = kNever;  ///< We see the end of the stream then.
    Micros up_at = kNever;           ///< Connect succeeds.
    Micros fails_at = kNever;        ///< Connect fails.
    Micros gone_at = kNever;         ///< After Reset or Close: nothing is lent any more.
    bool is_up = false;
    bool is_leaving = false;
    bool has_gap = false;                  ///< Bytes were lost: nothing can be delivered any more.
    std::uint64_t cut_after = UINT64_MAX;  ///< Bytes to the target until the cut.
    Micros clog_to_target_until = 0;       ///< Nothing is delivered before.
    Micros clog_to_us_until = 0;
    bool is_tight = false;  ///< Clogged, the path takes nothing from us either.
    // What the engine has lent, and when the transport gets to it.
    std::vector<std::span<const std::byte>> tx_lent;
    std::deque<Held> held;  ///< Taken, and not yet released.
    Micros holds_for = 0;   ///< As a transport that waits for acknowledgements; 0: it copies.
    std::vector<std::span<std::byte>> rx_lent;
    Micros tx_at = kNever;
    Micros rx_at = kNever;
};
/// A request that is out, or was last.
struct Job {
    bool is_out = false;
    initiator::Request request{};
    std::uint64_t version = 0;
    std::uint64_t lba = 0;
    std::uint32_t blocks = 0;
    bool is_fua = false;
    bool may_be_lost = false;  ///< Out at a power cut: its answer may be older than that.
    std::uint64_t flush_mark = 0;
};

class World {
public:
    World(std::uint64_t seed, bool is_traced);
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    [[nodiscard]] Verdict live();

private:
    void choose_life();
    void make_engine();
    void start_engine();
    void stop_engine();
    void kill_process();
    void on_device_ready();
    [[nodiscard]] Instant next_wake();
    /// One of the engine's polls, with its allocations counted.
    template <class T>
    [[nodiscard]] std::optional<T> polled(std::optional<T> (initiator::Engine::*poll)() noexcept) {
        const EngineScope scope;
        return ((*engine_).*poll)();
    }
    void wake_engine();
    void turn();
    void step_time();
    void fail(const std::string& what);
    void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3ULL; }
    void trace(const std::string& what) const;

    // The wire, link.cc.
    void open_link(initiator::ConnIndex index);
    void move_wire();
    void move_link(Link& link);
    void deliver_to_target(Link& link);
    void deliver_to_us(Link& link);
    void take_tx(Link& link);
    void release_tx(Link& link);
    void fill_rx(Link& link);
    void end_link(Link& link);
    void drop_link(Link& link);
    void lend_spans();
    void lend_spans_of(Link& link);
    void cut_for_target(Link& link);
    [[nodiscard]] Micros next_event_of(const Link& link) const;
    [[nodiscard]] Micros next_delivery_of(const Link& link) const;
    [[nodiscard]] Micros next_wire_event() const;
    [[nodiscard]] Micros delay();

    // The workload and its oracle, workload.cc.
    void submit_some();
    void start_job(std::uint16_t tag);
    void submit(const Job& job);
    [[nodiscard]] bool try_lock(Job& job);
    void on_completion(const initiator::Completion& completion);
    void on_written(const Job& job, bool is_done);
    void trace_job(const std::string& what, const Job& job) const;
    void check_read(const Job& job);
    void check_idle_buffers();
    void check_disk();

    // Faults, faults.cc.
    void choose_temper();
    void choose_denial();
    void maybe_fault();
    void end_outages();
    void strike();
    void take_link_down();
    void restart_target();
    void cut_one();
    void leave_half_open();
    void clog_one();
    void stop_early();
    void stop_faults();
    void maybe_pause();
    [[nodiscard]] bool is_paused() const { return now_ < paused_until_; }
    void carry_on_without_us();
    void step_paused();
    void judge_notice(const initiator::Notice& notice);

    SplitMix64 random_;
    bool is_traced_;
    Micros now_ = 1'000'000;
    std::uint64_t hash_ = 0xcbf29ce484222325ULL;
    std::string failure_;

    std::uint16_t depth_ = 8;
    std::uint8_t connections_ = 1;
    std::uint32_t request_blocks_max_ = 8;
    initiator::SessionConfig config_;
    TargetParameters parameters_;
    TargetFaults faults_;
    Disk disk_;
    Oracle oracle_;
    std::optional<ModelTarget> target_;
    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    std::optional<initiator::Engine> engine_;

    std::array<std::optional<Link>, initiator::EngineLimits::kConnectionsMax> links_;
    Micros wire_free_at_ = 0;  ///< The path is first in, first out, over all connections.
    bool is_link_down_ = false;

    std::vector<Job> jobs_;
    std::vector<std::vector<std::byte>> buffers_;
    std::uint64_t next_version_ = 1;
    std::uint64_t submitted_ = 0;
    std::uint64_t completed_ = 0;
    std::uint64_t request_goal_ = 0;
    Micros next_submit_ = 0;
    bool is_ready_ = false;
    bool has_device_ = false;
    bool is_over_ = false;
    bool is_stopping_ = false;
    bool faults_on_ = true;
    bool has_volatile_cache_ = false;
    bool knows_reservations_ = false;
    bool survives_cuts_ = false;  ///< Level 2 on both sides.
    Micros faults_until_ = 0;
    Micros next_fault_ = 0;
    Micros stopped_at_ = kNever;
    Micros stall_until_ = 0;   ///< Until then nothing moves at all.
    Micros paused_until_ = 0;  ///< Until then our loop does not run; the wire and the target do.
    Micros pause_for_ = 0;     ///< A pause that begins as soon as something is lent to send.
    Micros asked_ = kNever;    ///< When the engine wanted to be woken.
    bool is_calm_ = false;     ///< Nothing ever goes wrong, but for a host that is late.
    Micros link_up_at_ = kNever;
    Micros restart_done_at_ = kNever;
};

}  // namespace holdfast::sim
