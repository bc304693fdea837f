#include "daemon/shared/flight_reader.h"

#include <array>
#include <atomic>

#include "base/assert.h"
#include "initiator/engine.h"
#include "initiator/notice.h"
#include "initiator/session/conn_fsm.h"

namespace holdfast::daemon {

using initiator::FlightRecord;
using initiator::RecordCell;
using initiator::RecorderShape;
using initiator::RecordKind;

namespace {

using Words = std::array<std::uint64_t, RecordCell::kWords>;

/// No connection sees so many PDUs.
constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 56;

/// Empty when there is none, or when it changed meanwhile.
std::optional<Words> try_copy(const RecordCell& cell) noexcept {
    using enum std::memory_order;
    Words words{};
    words[0] = cell.words[0].load(acquire);
    if (words[0] == 0 || words[0] % 2 != 0) return {};
    // Acquire keeps the second look at the number behind every word.
    for (std::size_t i = 1; i < words.size(); ++i) words[i] = cell.words[i].load(acquire);
    if (cell.words[0].load(relaxed) != words[0]) return {};
    return words;
}

template <class Enum>
bool is_within(std::uint8_t value, Enum last) noexcept {
    return value <= static_cast<std::uint8_t>(last);
}

/// The states' numbers count from 0 without gaps.
bool has_known_states(const FlightRecord& record) noexcept {
    using namespace initiator;
    switch (record.kind) {
    case RecordKind::PduSent:
    case RecordKind::PduReceived: return true;
    case RecordKind::Connection:
        return is_within(record.from, ConnState::CleanupWait) &&
               is_within(record.to, ConnState::CleanupWait) &&
               is_within(record.event, ConnEvent::SessionLoggedOut);
    case RecordKind::Cleanup:
        return is_within(record.from, CleanupState::Free) &&
               is_within(record.to, CleanupState::Free) &&
               is_within(record.event, CleanupEvent::LogoutDone);
    case RecordKind::Session:
        return is_within(record.from, SessionState::Failed) &&
               is_within(record.to, SessionState::Failed) &&
               is_within(record.event, SessionEvent::TimedOut);
    case RecordKind::Phase:
        return is_within(record.from, SessionPhase::Ended) &&
               is_within(record.to, SessionPhase::Ended);
    case RecordKind::Notice: return is_within(record.event, NoticeKind::NegotiationNote);
    }
    return false;
}

bool is_pdu(RecordKind kind) noexcept {
    return kind == RecordKind::PduSent || kind == RecordKind::PduReceived;
}

/// Empty when the record may be believed.
std::optional<FlightError> judge(const FlightRecord& record, std::size_t cell,
                                 const RecorderShape& shape) noexcept {
    if (record.number >= kNumberMax) return FlightError::Number;
    if (static_cast<std::uint8_t>(record.kind) >= initiator::kRecordKindCount)
        return FlightError::Kind;
    const bool is_header_cell = cell >= RecorderShape::kStateRecords;
    if (is_pdu(record.kind) != is_header_cell) return FlightError::Kind;
    if (record.conn >= shape.connections) return FlightError::Connection;
    if (is_header_cell && (cell - RecorderShape::kStateRecords) / shape.records != record.conn)
        return FlightError::Connection;
    if (record.at < Instant{}) return FlightError::Time;
    if (!has_known_states(record)) return FlightError::State;
    return {};
}

/// Of each connection; even. Swap stays small.
std::uint32_t records_of(ProfileId profile) noexcept {
    switch (profile) {
    case ProfileId::Swap: return 256;
    case ProfileId::Root: return 512;
    case ProfileId::Data:
    case ProfileId::Multipath: return 1024;
    }
    return 256;
}

}  // namespace

RecorderShape flight_shape_of(const AttachSpec& spec) noexcept {
    return {.connections = spec.limits.connections, .records = records_of(spec.profile)};
}

std::expected<std::optional<FlightRecord>, FlightError> FlightReader::try_read(
    std::size_t i) const noexcept {
    HF_ASSERT(i < cells_.size());
    if (!shape_.is_sound() || cells_.size() != shape_.cells())
        return std::unexpected{FlightError::Shape};
    for (int tries = 0; tries < kTriesMax; ++tries) {
        const auto words = try_copy(cells_[i]);
        if (!words) continue;
        const FlightRecord record = initiator::unpack(*words);
        if (const auto wrong = judge(record, i, shape_)) return std::unexpected{*wrong};
        return record;
    }
    return std::optional<FlightRecord>{};
}

}  // namespace holdfast::daemon
