/// A binary log in shared memory: one producer that never waits, one consumer that makes the text.
///
/// A full ring drops the new record and counts it. Both ends keep their own position apart from the
/// shared one, so a mad peer can cost records, never memory safety or time.
/// Limits: 512 records of 32 bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/time.h"
#include "daemon/shared/io_event.h"
#include "initiator/notice.h"

namespace holdfast::daemon {

/// One fact with its time.
struct LogRecord {
    Instant at;  ///< CLOCK_MONOTONIC.
    LogSource source = LogSource::Io;
    std::uint8_t code = 0;  ///< initiator::NoticeKind or IoEvent, by `source`.
    LogLevel level = LogLevel::Info;
    std::uint64_t a = 0;
    std::uint64_t b = 0;

    [[nodiscard]] static LogRecord of(Instant at, LogLevel level,
                                      const initiator::Notice& notice) noexcept {
        return {.at = at,
                .source = LogSource::Engine,
                .code = static_cast<std::uint8_t>(notice.kind),
                .level = level,
                .a = notice.a,
                .b = notice.b};
    }
    [[nodiscard]] static LogRecord of(Instant at, LogLevel level, IoEvent event,
                                      std::uint64_t a = 0, std::uint64_t b = 0) noexcept {
        return {.at = at,
                .source = LogSource::Io,
                .code = static_cast<std::uint8_t>(event),
                .level = level,
                .a = a,
                .b = b};
    }
};

/// The shared part; zero-filled memory is an empty ring. Standard layout, the same in both
/// processes.
struct LogRing {
    static constexpr std::size_t kRecords = 512;
    static constexpr std::size_t kWords = 4;  ///< Per record: time, code words, a, b.
    static_assert((kRecords & (kRecords - 1)) == 0);

    using Cell = std::array<std::atomic<std::uint64_t>, kWords>;

    alignas(64) std::atomic<std::uint64_t> written{0};  ///< Records ever stored. Producer's.
    std::atomic<std::uint64_t> dropped{0};            ///< Records lost to a full ring. Producer's.
    alignas(64) std::atomic<std::uint64_t> taken{0};  ///< Records ever read. Consumer's.
    alignas(64) std::array<Cell, kRecords> cells{};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The writing end. One per ring, on one thread. Wait-free, no system call.
class LogProducer {
public:
    explicit LogProducer(LogRing& ring) noexcept
        : ring_(&ring), written_(ring.written.load(std::memory_order_relaxed)) {}

    /// False when the ring was full: the record is dropped and counted.
    bool try_put(const LogRecord& record) noexcept {
        const std::uint64_t taken = ring_->taken.load(std::memory_order_acquire);
        // A consumer that claims to be ahead of us, or absurdly behind, counts as a full ring.
        if (written_ - taken >= LogRing::kRecords) {
            ring_->dropped.fetch_add(1, std::memory_order_relaxed);
            return false;
        }
        LogRing::Cell& cell = ring_->cells[written_ % LogRing::kRecords];
        using enum std::memory_order;
        cell[0].store(static_cast<std::uint64_t>(record.at.ns()), relaxed);
        cell[1].store(pack(record), relaxed);
        cell[2].store(record.a, relaxed);
        cell[3].store(record.b, relaxed);
        ++written_;
        ring_->written.store(written_, release);
        return true;
    }

private:
    [[nodiscard]] static std::uint64_t pack(const LogRecord& record) noexcept {
        return static_cast<std::uint64_t>(record.source) | (std::uint64_t{record.code} << 8) |
               (static_cast<std::uint64_t>(record.level) << 16);
    }

    LogRing* ring_;
    std::uint64_t written_;
};

/// The reading end. One per ring, on one thread. A reader that starts anew goes on where its
/// predecessor stopped.
class LogConsumer {
public:
    explicit LogConsumer(LogRing& ring) noexcept
        : ring_(&ring), taken_(ring.taken.load(std::memory_order_relaxed)) {}

    /// The oldest record that was not taken yet; empty when there is none.
    [[nodiscard]] std::optional<LogRecord> try_take() noexcept {
        using enum std::memory_order;
        const std::uint64_t written = ring_->written.load(acquire);
        if (written == taken_) return {};
        if (written - taken_ > LogRing::kRecords) {  // A mad producer: start again at its end.
            taken_ = written;
            ring_->taken.store(taken_, release);
            return {};
        }
        const LogRing::Cell& cell = ring_->cells[taken_ % LogRing::kRecords];
        const std::uint64_t packed = cell[1].load(relaxed);
        const LogRecord record{
            .at = Instant::from_ns(static_cast<std::int64_t>(cell[0].load(relaxed))),
            .source = static_cast<LogSource>(packed & 0xff),
            .code = static_cast<std::uint8_t>((packed >> 8) & 0xff),
            .level = static_cast<LogLevel>((packed >> 16) & 0xff),
            .a = cell[2].load(relaxed),
            .b = cell[3].load(relaxed)};
        ++taken_;
        ring_->taken.store(taken_, release);
        return record;
    }

    /// Records lost to a full ring since it was made.
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return ring_->dropped.load(std::memory_order_relaxed);
    }

private:
    LogRing* ring_;
    std::uint64_t taken_;
};

}  // namespace holdfast::daemon
