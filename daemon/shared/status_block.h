/// The facts that an I/O process publishes for everybody to read: phase, tier, protections as read
/// back, plan, counters, device, export, latencies. Published through a seqlock in shared memory,
/// so the writer never waits for a reader.
///
/// Who reads must distrust: the writer is another process. facts_are_sound() judges a copy.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/latency_histogram.h"
#include "daemon/shared/profile.h"
#include "initiator/device_facts.h"
#include "initiator/engine.h"
#include "initiator/notice.h"

namespace holdfast::daemon {

/// How far an I/O process has come.
enum class IoPhase : std::uint8_t {
    Starting,   ///< Plan, arena, rings.
    LoggingIn,  ///< The first login and the probe.
    Exporting,  ///< Making the block device or the socket.
    Locking,    ///< Protections, sandbox, arming.
    Armed,      ///< Serving; all memory is fixed.
    Serving,    ///< Serving without lockdown, as asked.
    Detaching,  ///< Settling, logging out.
    Ended,
    Failed,
};
inline constexpr std::uint8_t kIoPhaseCount = 9;

/// One protection: what was asked for and what the kernel says. Design, invariant 9.
struct ProtectionRow {
    FixedString<31> name;    ///< Such as "mlockall" or "SCHED_FIFO".
    FixedString<31> wanted;  ///< As text, such as "priority 50".
    FixedString<31> found;
    FixedString<95> advice{};  ///< What the operator can do. Empty when it holds.
    bool holds = false;
};

/// The export as it stands.
struct ExportState {
    ExportKind kind = ExportKind::Ublk;
    bool is_ready = false;
    bool read_only = false;
    std::int32_t ublk_id = -1;
    std::uint32_t clients = 0;  ///< Nbd: connected now.
    FixedString<107> path;      ///< /dev/ublkbN, or the socket.
    std::uint64_t size_bytes = 0;
};

/// Who carries the session's TCP, as read back.
struct PathState {
    NetworkPath kind = NetworkPath::Kernel;
    bool is_zero_copy = false;  ///< Xdp: as the kernel says. Else frames are copied.
    std::uint16_t queues = 0;   ///< Xdp: receive queues, each with a socket. 0: none bound yet.
    std::uint32_t packet_bytes = 0;  ///< Xdp: the largest IP packet; the MTU, or what queues take.
    FixedString<15> interface{};     ///< Xdp.
};

/// A notice with its time.
struct TimedNotice {
    Instant at;  ///< CLOCK_MONOTONIC.
    initiator::Notice notice;
};

/// See the file comment. Trivially copyable; changes only together with StatusBlock::kVersion.
struct StatusFacts {
    static constexpr std::size_t kProtectionsMax = 24;
    static constexpr std::size_t kReasonsMax = 8;
    static constexpr std::size_t kNoticesMax = 8;

    AttachmentName name;
    ProfileId profile = ProfileId::Data;
    PromiseTier tier = PromiseTier::C;
    IoPhase phase = IoPhase::Starting;
    initiator::SessionPhase session_phase = initiator::SessionPhase::Idle;
    std::int32_t pid = 0;
    Instant started;    ///< CLOCK_MONOTONIC.
    Instant published;  ///< When these facts were true.

    FixedString<223> target_name;
    initiator::Lun lun{};
    FixedString<255> portal_host;  ///< The portal in use, or the one tried last.
    std::uint16_t portal_port = 0;
    std::uint16_t depth = 0;
    std::uint32_t request_bytes_max = 0;

    FixedVector<FixedString<95>, kReasonsMax> tier_reasons;  ///< Why not a better one.
    FixedVector<ProtectionRow, kProtectionsMax> protections;
    std::uint64_t plan_bytes = 0;          ///< Sum of the memory plan.
    std::uint64_t locked_bytes = 0;        ///< VmLck of /proc/self/status.
    std::uint64_t kernel_reserve_kib = 0;  ///< vm.min_free_kbytes as set; 0: not touched.

    initiator::EngineCounters counters;
    initiator::DeviceFacts device;
    ExportState exported;
    PathState path;
    LatencyHistogram read_latency;
    LatencyHistogram write_latency;
    LatencyHistogram flush_latency;
    std::uint64_t loop_late_max_ns = 0;
    /// The last ones, oldest first.
    FixedVector<TimedNotice, kNoticesMax> notices;
};
static_assert(std::is_trivially_copyable_v<StatusFacts>);
static_assert(std::is_standard_layout_v<StatusFacts>);

/// False when a length exceeds its capacity, an enumerator is unknown, or a bool is neither 0 nor
/// 1: the copy must not be read then.
[[nodiscard]] bool facts_are_sound(const StatusFacts& facts) noexcept;

/// The shared part. Zero-filled memory is a block in which nothing was published yet.
struct StatusBlock {
    static constexpr std::uint64_t kVersion = 7;
    static constexpr std::size_t kWords = (sizeof(StatusFacts) + 7) / 8;

    /// Odd while the writer is at work; 0: nothing published yet.
    alignas(64) std::atomic<std::uint64_t> sequence{0};
    /// Grows at least once per loop turn of an armed process; see the supervisor.
    std::atomic<std::uint64_t> heartbeat{0};
    alignas(64) std::array<std::atomic<std::uint64_t>, kWords> words{};
};

/// The writing end. One per block, on one thread. Wait-free, no system call; costs one pass over
/// the facts, so publish on a timer and on changes, not per request.
class StatusWriter {
public:
    explicit StatusWriter(StatusBlock& block) noexcept
        : block_(&block), sequence_(block.sequence.load(std::memory_order_relaxed) & ~1ULL) {}

    void publish(const StatusFacts& facts) noexcept {
        using enum std::memory_order;
        block_->sequence.store(sequence_ + 1, relaxed);
        auto rest = std::as_bytes(std::span{&facts, 1});
        for (auto& cell : block_->words) {
            std::uint64_t word = 0;
            const auto piece = rest.first(rest.size() < 8 ? rest.size() : 8);
            std::memcpy(&word, piece.data(), piece.size());
            rest = rest.subspan(piece.size());
            cell.store(word, release);  // Keeps the odd sequence in front of every word.
        }
        sequence_ += 2;
        block_->sequence.store(sequence_, release);
    }
    void beat() noexcept { block_->heartbeat.fetch_add(1, std::memory_order_relaxed); }

private:
    StatusBlock* block_;
    std::uint64_t sequence_;
};

/// The reading end. Any number of them, anywhere.
class StatusReader {
public:
    static constexpr int kTriesMax = 64;

    explicit StatusReader(const StatusBlock& block) noexcept : block_(&block) {}

    /// A consistent and sound copy. Empty when nothing was published yet, when the writer was at
    /// work during every try, or when the facts are damaged.
    [[nodiscard]] std::optional<StatusFacts> try_read() const noexcept {
        for (int i = 0; i < kTriesMax; ++i) {
            StatusFacts facts;
            if (!try_copy(facts)) continue;
            if (!facts_are_sound(facts)) return {};
            return facts;
        }
        return {};
    }
    [[nodiscard]] std::uint64_t heartbeat() const noexcept {
        return block_->heartbeat.load(std::memory_order_relaxed);
    }

private:
    [[nodiscard]] bool try_copy(StatusFacts& facts) const noexcept {
        using enum std::memory_order;
        const std::uint64_t before = block_->sequence.load(acquire);
        if (before == 0 || before % 2 != 0) return false;
        auto rest = std::as_writable_bytes(std::span{&facts, 1});
        for (const auto& cell : block_->words) {
            const std::uint64_t word = cell.load(acquire);  // Keeps the second look behind it.
            const auto piece = rest.first(rest.size() < 8 ? rest.size() : 8);
            std::memcpy(piece.data(), &word, piece.size());
            rest = rest.subspan(piece.size());
        }
        return block_->sequence.load(relaxed) == before;
    }

    const StatusBlock* block_;
};

}  // namespace holdfast::daemon
