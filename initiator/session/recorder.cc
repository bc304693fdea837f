#include "initiator/recorder.h"

#include <sys/sdt.h>

#include <algorithm>

#include "base/assert.h"
#include "initiator/pdu/opcode.h"

namespace holdfast::initiator {

namespace {

using Words = std::array<std::uint64_t, RecordCell::kWords>;

Words pack(const FlightRecord& record) noexcept {
    const std::uint64_t flags = (record.digests.header ? 1U : 0U) |
                                (record.digests.data ? 2U : 0U) | (record.is_broken ? 4U : 0U);
    Words words{};
    words[1] = static_cast<std::uint64_t>(record.at.ns());
    words[2] = static_cast<std::uint64_t>(record.kind) | (std::uint64_t{record.conn} << 8) |
               (flags << 16) | (std::uint64_t{record.from} << 24) |
               (std::uint64_t{record.to} << 32) | (std::uint64_t{record.event} << 40) |
               (std::uint64_t{record.incarnation} << 48);
    words[3] = record.stream_offset;
    std::memcpy(std::span{words}.subspan<4>().data(), record.header.data(), record.header.size());
    return words;
}

template <class Enum>
std::uint8_t raw(Enum value) noexcept {
    return static_cast<std::uint8_t>(value);
}

/// A connection that was logged in and is no more: its last headers are worth keeping.
bool is_loss(ConnState from, ConnState to) noexcept {
    return to == ConnState::CleanupWait && from != to;
}

}  // namespace

Recorder::Recorder(RecorderMemory memory) noexcept {
    if (memory.shape.cells() == 0) return;
    HF_ASSERT(memory.shape.is_sound() && memory.cells.size() == memory.shape.cells());
    states_.cells = memory.cells.first(RecorderShape::kStateRecords);
    static_cast<void>(resume(states_, 1));
    auto rest = memory.cells.subspan(RecorderShape::kStateRecords);
    for (std::uint32_t i = 0; i < memory.shape.connections; ++i) {
        tracks_[i].cells = rest.first(memory.shape.records);
        rest = rest.subspan(memory.shape.records);
        streams_[i].incarnation = resume(tracks_[i], 2);
    }
}

/// Goes on where a predecessor stopped, in the half that it used less recently. Returns its last
/// incarnation.
std::uint16_t Recorder::resume(Track& track, std::size_t halves) noexcept {
    track.size = track.cells.size() / halves;
    HF_ASSERT(track.size > 0);
    std::uint16_t incarnation = 0;
    for (std::size_t i = 0; i < track.cells.size(); ++i) {
        const auto& words = track.cells[i].words;
        const std::uint64_t number = (words[0].load(std::memory_order_relaxed) + 1) / 2;
        if (number <= track.next_number) continue;
        track.next_number = number;
        track.begin = i < track.size && halves == 2 ? track.size : 0;
        incarnation = static_cast<std::uint16_t>(words[2].load(std::memory_order_relaxed) >> 48);
    }
    return incarnation;
}

void Recorder::put(Track& track, const FlightRecord& record) noexcept {
    if (track.cells.empty()) return;
    using enum std::memory_order;
    const std::uint64_t number = track.next_number++;
    RecordCell& cell = track.cells[track.begin + track.used];
    track.used = track.used + 1 == track.size ? 0 : track.used + 1;
    const Words words = pack(record);
    cell.words[0].store(2 * number + 1, relaxed);
    // Release keeps the odd number in front of every word; it costs nothing on x86.
    for (std::size_t i = 1; i < words.size(); ++i) cell.words[i].store(words[i], release);
    cell.words[0].store(2 * number + 2, release);
}

void Recorder::keep_this_half(Track& track) noexcept {
    if (track.cells.empty()) return;
    track.begin = track.begin == 0 ? track.size : 0;
    track.used = 0;
}

void Recorder::put_state(const FlightRecord& record) noexcept {
    put(states_, record);
}

void Recorder::put_pdu(FlightRecord record, Bhs header) noexcept {
    record.incarnation = streams_[record.conn].incarnation;
    std::ranges::copy(header, record.header.begin());
    put(tracks_[record.conn], record);
}

void Recorder::on_sent(std::uint8_t conn, Bhs header, DigestsInUse digests) noexcept {
    HF_ASSERT(conn < streams_.size());
    DTRACE_PROBE5(holdfast, pdu_sent, conn, u8_at<0>(header) & 0x3fU, task_tag_of(header).raw(),
                  data_segment_bytes(header), header.data());
    std::uint64_t& offset = streams_[conn].sent_bytes;
    put_pdu({.at = now_,
             .kind = RecordKind::PduSent,
             .conn = conn,
             .digests = digests,
             .stream_offset = offset},
            header);
    offset += layout_of(header, digests).total_bytes();
}

void Recorder::on_received(std::uint8_t conn, Bhs header, DigestsInUse digests,
                           Judged judged) noexcept {
    HF_ASSERT(conn < streams_.size());
    DTRACE_PROBE5(holdfast, pdu_received, conn, u8_at<0>(header) & 0x3fU, task_tag_of(header).raw(),
                  data_segment_bytes(header), header.data());
    std::uint64_t& offset = streams_[conn].received_bytes;
    put_pdu({.at = now_,
             .kind = RecordKind::PduReceived,
             .conn = conn,
             .digests = digests,
             .is_broken = judged == Judged::Broken,
             .stream_offset = offset},
            header);
    offset += layout_of(header, digests).total_bytes();
}

void Recorder::on_step(std::uint8_t conn, ConnState from, const ConnStep& step,
                       ConnEvent event) noexcept {
    HF_ASSERT(conn < streams_.size());
    DTRACE_PROBE4(holdfast, connection_step, conn, raw(from), raw(step.to), raw(event));
    if (event == ConnEvent::TransportUp) {
        const auto next = static_cast<std::uint16_t>(streams_[conn].incarnation + 1);
        streams_[conn] = Stream{.incarnation = next};
    }
    put_state({.at = now_,
               .kind = RecordKind::Connection,
               .conn = conn,
               .incarnation = streams_[conn].incarnation,
               .from = raw(from),
               .to = raw(step.to),
               .event = raw(event)});
    if (is_loss(from, step.to)) keep_this_half(tracks_[conn]);
}

void Recorder::on_step(std::uint8_t conn, CleanupState from, const CleanupStep& step,
                       CleanupEvent event) noexcept {
    HF_ASSERT(conn < streams_.size());
    DTRACE_PROBE4(holdfast, cleanup_step, conn, raw(from), raw(step.to), raw(event));
    put_state({.at = now_,
               .kind = RecordKind::Cleanup,
               .conn = conn,
               .incarnation = streams_[conn].incarnation,
               .from = raw(from),
               .to = raw(step.to),
               .event = raw(event)});
}

void Recorder::on_step(SessionState from, const SessionStep& step, SessionEvent event) noexcept {
    DTRACE_PROBE3(holdfast, session_step, raw(from), raw(step.to), raw(event));
    put_state({.at = now_,
               .kind = RecordKind::Session,
               .from = raw(from),
               .to = raw(step.to),
               .event = raw(event)});
}

void Recorder::on_notice(const Notice& notice) noexcept {
    DTRACE_PROBE3(holdfast, notice, raw(notice.kind), notice.a, notice.b);
    FlightRecord record{.at = now_, .kind = RecordKind::Notice, .event = raw(notice.kind)};
    const std::array<std::uint64_t, 2> numbers{notice.a, notice.b};
    std::ranges::copy(std::as_bytes(std::span{numbers}), record.header.begin());
    put_state(record);
}

void Recorder::change_phase(std::uint8_t phase) noexcept {
    DTRACE_PROBE2(holdfast, session_phase, phase_, phase);
    put_state({.at = now_, .kind = RecordKind::Phase, .from = phase_, .to = phase});
    phase_ = phase;
}

}  // namespace holdfast::initiator
