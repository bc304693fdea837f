// Recorder, as the simulator links it: in place of initiator/session/recorder.cc. What the engine
// tells its flight recorder goes to the coverage tables and to the trace, at the moment when it
// happens, so that the phase is the one that met the event.
#include <cstdio>
#include <optional>

#include "initiator/pdu/opcode.h"
#include "initiator/recorder.h"
#include "tests/sim/allocation_guard.h"
#include "tests/sim/coverage.h"

namespace holdfast::initiator {

namespace {

using sim::Coverage;
using sim::Happening;
using sim::Table;
using sim::tap;

constexpr std::uint32_t kNone = 0xffffffffU;

Happening received(Bhs header, Recorder::Judged judged) {
    if (judged == Recorder::Judged::Broken) return Happening::InBroken;
    switch (static_cast<TargetOpcode>(u8_at<0>(header) & 0x3fU)) {
    case TargetOpcode::NopIn:
        return task_tag_of(header).raw() == kNone ? Happening::InPing : Happening::InPingAnswer;
    case TargetOpcode::ScsiResponse: return Happening::InResponse;
    case TargetOpcode::TaskManagementResponse: return Happening::InTaskResponse;
    case TargetOpcode::LoginResponse: return Happening::InLogin;
    case TargetOpcode::TextResponse: return Happening::InText;
    case TargetOpcode::DataIn:
        return (u8_at<1>(header) & 1U) != 0 ? Happening::InDataStatus : Happening::InData;
    case TargetOpcode::LogoutResponse: return Happening::InLogout;
    case TargetOpcode::ReadyToTransfer: return Happening::InR2t;
    case TargetOpcode::AsyncMessage: return Happening::InAsync;
    case TargetOpcode::Reject: return Happening::InReject;
    }
    return Happening::InBroken;
}

Happening managed(Bhs header) {
    const unsigned function = u8_at<1>(header) & 0x7fU;
    if (function == 1) return Happening::OutAbort;
    if (function == 8) return Happening::OutReassign;
    return function == 5 ? Happening::OutUnitReset : Happening::OutTargetReset;
}

Happening sent(Bhs header) {
    switch (static_cast<InitiatorOpcode>(u8_at<0>(header) & 0x3fU)) {
    case InitiatorOpcode::NopOut:
        return task_tag_of(header).raw() == kNone ? Happening::OutPingAnswer : Happening::OutPing;
    case InitiatorOpcode::ScsiCommand: return Happening::OutCommand;
    case InitiatorOpcode::TaskManagementRequest: return managed(header);
    case InitiatorOpcode::LoginRequest: return Happening::OutLogin;
    case InitiatorOpcode::DataOut: return Happening::OutData;
    case InitiatorOpcode::LogoutRequest: return Happening::OutLogout;
    case InitiatorOpcode::TextRequest: break;
    case InitiatorOpcode::SnackRequest: {
        const unsigned type = u8_at<1>(header) & 0x0fU;
        if (type == 2) return Happening::OutDataAck;
        return type == 1 ? Happening::OutSnackStatus : Happening::OutSnackData;
    }
    }
    return Happening::OutLogin;
}

/// The first of a run of Happenings that follows the order of another enumeration.
Happening beyond(Happening first, std::uint64_t offset) {
    return static_cast<Happening>(static_cast<std::uint64_t>(first) + offset);
}

Happening noticed(const Notice& notice) {
    // In the order of NoticeKind; those with a reason of their own are taken apart before.
    static constexpr std::array kKinds{Happening::SessionUp,
                                       Happening::LostOther,
                                       Happening::ConnectFailed,
                                       Happening::LoginRefused,
                                       Happening::LoginViolation,
                                       Happening::AuthenticationFailed,
                                       Happening::Redirected,
                                       Happening::PeerViolation,
                                       Happening::HeaderDigest,
                                       Happening::NopTimeout,
                                       Happening::AsyncEvent,
                                       Happening::Rejected,
                                       Happening::CommandTimeout,
                                       Happening::TaskManagement,
                                       Happening::RetryByStatus,
                                       Happening::RequestFailed,
                                       Happening::FencedNothing,
                                       Happening::DeviceChanged,
                                       Happening::ProbeFailed,
                                       Happening::ConnectionAdded,
                                       Happening::ConnectionRefused,
                                       Happening::ConnectionLost,
                                       Happening::ConnectionReinstated,
                                       Happening::ConnectionRemoved,
                                       Happening::NegotiationNote};
    static_assert(kKinds.size() == static_cast<std::size_t>(NoticeKind::NegotiationNote) + 1);
    constexpr auto kLastReason = static_cast<std::uint64_t>(LossReason::PortRegistered);
    if (notice.kind == NoticeKind::SessionLost && notice.a <= kLastReason) {
        return beyond(Happening::LostTransport, notice.a);
    }
    if (notice.kind == NoticeKind::DigestError && notice.a != 0) return Happening::DataDigest;
    if (notice.kind == NoticeKind::Fenced) return beyond(Happening::FencedNothing, notice.a);
    const auto kind = static_cast<std::size_t>(notice.kind);
    return kind < kKinds.size() ? kKinds.at(kind) : Happening::OtherNotice;
}

template <class State, class Event>
void stepped(Table table, State from, State to, Event event, int conn) {
    const auto state = static_cast<std::size_t>(from);
    const auto what = static_cast<std::size_t>(event);
    if (tap().coverage != nullptr) tap().coverage->saw(table, state, what);
    if (tap().say == nullptr) return;
    const sim::ForeignScope pause;
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "   %s %d: %s, %s -> %s", name_of(table).data(), conn,
                  event_name(table, what).data(), state_name(table, state).data(),
                  state_name(table, static_cast<std::size_t>(to)).data());
    tap().say(line.data());
}

void tell(const char* direction, int conn, Happening what, Bhs header) {
    if (tap().say == nullptr) return;
    const sim::ForeignScope pause;
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(),
                  "   %s %d %s itt %08x ttt %08x sn %u %u %u data-sn %u offset %u bytes %u",
                  direction, conn, event_name(Table::Phase, static_cast<std::size_t>(what)).data(),
                  task_tag_of(header).raw(), be32_at<20>(header), be32_at<24>(header),
                  be32_at<28>(header), be32_at<32>(header), be32_at<36>(header),
                  be32_at<40>(header), data_segment_bytes(header));
    tap().say(line.data());
}

}  // namespace

Recorder::Recorder(RecorderMemory) noexcept {}

void Recorder::on_sent(std::uint8_t conn, Bhs header, DigestsInUse) noexcept {
    const Happening what = sent(header);
    tap().saw(what);
    tell("->", conn, what, header);
}

void Recorder::on_received(std::uint8_t conn, Bhs header, DigestsInUse, Judged judged) noexcept {
    const Happening what = received(header, judged);
    tap().saw(what);
    if (tap().coverage != nullptr) {
        tap().coverage->saw(Table::PduIn, tap().conn_states.at(conn),
                            static_cast<std::size_t>(what));
    }
    tell("<-", conn, what, header);
}

void Recorder::on_step(std::uint8_t conn, ConnState from, const ConnStep& step,
                       ConnEvent event) noexcept {
    // As in conn_event(): the cleanup diagram takes over, and the place is free.
    const ConnState to = step.to == ConnState::CleanupWait ? ConnState::Free : step.to;
    tap().conn_states.at(conn) = static_cast<std::uint8_t>(to);
    stepped(conn == 0 ? Table::Leading : Table::Added, from, step.to, event, conn);
}

void Recorder::on_step(std::uint8_t conn, CleanupState from, const CleanupStep& step,
                       CleanupEvent event) noexcept {
    stepped(Table::Cleanup, from, step.to, event, conn);
}

void Recorder::on_step(SessionState from, const SessionStep& step, SessionEvent event) noexcept {
    stepped(Table::Session, from, step.to, event, 0);
}

void Recorder::on_notice(const Notice& notice) noexcept {
    const Happening what = noticed(notice);
    tap().saw(what);
    if (tap().say == nullptr) return;
    const sim::ForeignScope pause;
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "   notice %s %llu %llu",
                  event_name(Table::Phase, static_cast<std::size_t>(what)).data(),
                  static_cast<unsigned long long>(notice.a),
                  static_cast<unsigned long long>(notice.b));
    tap().say(line.data());
}

void Recorder::change_phase(std::uint8_t phase) noexcept {
    phase_ = phase;
    if (tap().say == nullptr) return;
    const sim::ForeignScope pause;
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "   phase %s", state_name(Table::Phase, phase).data());
    tap().say(line.data());
}

}  // namespace holdfast::initiator
