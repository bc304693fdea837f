/// The flight recorder: the last PDU headers and state transitions of a session, in memory that the
/// caller gave and that other processes may read meanwhile. The same points are USDT probes.
///
/// Memory is cells of one record each: first kStateRecords cells for states and notices of the
/// whole session, then `records` cells for the headers of each connection. States have cells of
/// their own, because a busy connection overwrites its headers within milliseconds. When a
/// logged-in connection is lost, its track goes on in the other half: what led to the loss stays
/// until the next one, however late somebody comes to read it.
///
/// One writer, which never waits. Each cell is a seqlock: word 0 is odd while the cell is written,
/// and 2 x (number + 1) once record `number` stands in it. Zero-filled memory is an empty recorder.
/// No payload is ever kept, so no password and no data.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/notice.h"
#include "initiator/pdu/length.h"
#include "initiator/pdu/types.h"
#include "initiator/session/conn_fsm.h"

namespace holdfast::initiator {

enum class RecordKind : std::uint8_t {
    PduSent,
    PduReceived,
    Connection,  ///< from, to: ConnState; event: ConnEvent.
    Cleanup,     ///< from, to: CleanupState; event: CleanupEvent.
    Session,     ///< from, to: SessionState; event: SessionEvent.
    Phase,       ///< from, to: SessionPhase.
    Notice,      ///< event: NoticeKind; first words of `header`: a and b, native order.
};
inline constexpr std::uint8_t kRecordKindCount = 7;

/// One record, taken apart.
struct FlightRecord {
    std::uint64_t number = 0;  ///< Of its track, in order of writing.
    Instant at;                ///< On the engine's clock.
    RecordKind kind{};
    std::uint8_t conn = 0;
    /// Which TCP connection in this place: grows with each one that comes up.
    std::uint16_t incarnation = 0;
    DigestsInUse digests{};
    bool is_broken = false;  ///< Received, and not to be read any further: digest or form.
    std::uint8_t from = 0;
    std::uint8_t to = 0;
    std::uint8_t event = 0;
    std::uint64_t stream_offset = 0;  ///< Bytes before this PDU in its direction.
    std::array<std::byte, kBhsBytes> header{};
};

/// Where one record stands. Only words, so that a reader in another process races with nothing.
struct RecordCell {
    static constexpr std::size_t kWords = 4 + kBhsBytes / 8;
    std::array<std::atomic<std::uint64_t>, kWords> words{};
};
static_assert(sizeof(RecordCell) == 80);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The counts that size a recorder's memory. records 0: nothing is recorded.
struct RecorderShape {
    static constexpr std::uint32_t kConnectionsMax = 8;
    static constexpr std::uint32_t kRecordsMax = 16 * 1024;
    static constexpr std::uint32_t kStateRecords = 64;

    std::uint32_t connections = 0;
    std::uint32_t records = 0;  ///< Of each connection; even.

    [[nodiscard]] constexpr bool is_sound() const noexcept {
        return connections <= kConnectionsMax && records <= kRecordsMax && records % 2 == 0;
    }
    [[nodiscard]] constexpr std::size_t cells() const noexcept {
        if (connections == 0 || records == 0) return 0;
        return kStateRecords + std::size_t{connections} * records;
    }
    constexpr bool operator==(const RecorderShape&) const noexcept = default;
};

/// Memory for a recorder: shape.cells() cells, borrowed for the recorder's life. The cells of a
/// predecessor may be handed in: its records stay until they are overwritten.
struct RecorderMemory {
    std::span<RecordCell> cells{};
    RecorderShape shape{};
};

/// The record that stands in word 1 and following of a cell.
[[nodiscard]] inline FlightRecord unpack(
    std::span<const std::uint64_t, RecordCell::kWords> words) noexcept {
    FlightRecord record;
    const std::uint64_t packed = words[2];
    const auto byte = [packed](unsigned at) { return static_cast<std::uint8_t>(packed >> at); };
    record.number = words[0] / 2 - 1;
    record.at = Instant::from_ns(static_cast<std::int64_t>(words[1]));
    record.kind = static_cast<RecordKind>(byte(0));
    record.conn = byte(8);
    record.digests = {.header = (byte(16) & 1U) != 0, .data = (byte(16) & 2U) != 0};
    record.is_broken = (byte(16) & 4U) != 0;
    record.from = byte(24);
    record.to = byte(32);
    record.event = byte(40);
    record.incarnation = static_cast<std::uint16_t>(packed >> 48);
    record.stream_offset = words[3];
    std::memcpy(record.header.data(), words.subspan<4>().data(), record.header.size());
    return record;
}

/// The writing end. Without memory it keeps nothing, and the probes still fire. Thread: the
/// engine's.
class Recorder {
public:
    Recorder() noexcept = default;
    explicit Recorder(RecorderMemory memory) noexcept;

    /// The time of everything that follows.
    void set_time(Instant now) noexcept { now_ = now; }

    void on_sent(std::uint8_t conn, Bhs header, DigestsInUse digests) noexcept;
    enum class Judged : std::uint8_t { Good, Broken };
    void on_received(std::uint8_t conn, Bhs header, DigestsInUse digests, Judged judged) noexcept;
    void on_step(std::uint8_t conn, ConnState from, const ConnStep& step, ConnEvent event) noexcept;
    void on_step(std::uint8_t conn, CleanupState from, const CleanupStep& step,
                 CleanupEvent event) noexcept;
    void on_step(SessionState from, const SessionStep& step, SessionEvent event) noexcept;
    void on_notice(const Notice& notice) noexcept;
    /// Keeps a record when the phase is another one than before. SessionPhase, as a number.
    void on_phase(std::uint8_t phase) noexcept {
        if (phase != phase_) change_phase(phase);
    }

private:
    /// A run of cells that is written round and round, one half at a time when it has two.
    struct Track {
        std::span<RecordCell> cells{};
        std::size_t begin = 0;  // Of the half in use.
        std::size_t size = 0;   // Of the half in use.
        std::size_t used = 0;
        std::uint64_t next_number = 0;
    };
    struct Stream {
        std::uint16_t incarnation = 0;
        std::uint64_t sent_bytes = 0;
        std::uint64_t received_bytes = 0;
    };

    [[nodiscard]] static std::uint16_t resume(Track& track, std::size_t halves) noexcept;
    static void put(Track& track, const FlightRecord& record) noexcept;
    static void keep_this_half(Track& track) noexcept;
    void put_state(const FlightRecord& record) noexcept;
    void put_pdu(FlightRecord record, Bhs header) noexcept;
    void change_phase(std::uint8_t phase) noexcept;

    Instant now_;
    std::uint8_t phase_ = 0;
    Track states_;
    std::array<Track, RecorderShape::kConnectionsMax> tracks_{};
    std::array<Stream, RecorderShape::kConnectionsMax> streams_{};
};

}  // namespace holdfast::initiator
