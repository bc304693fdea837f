#include "daemon/control/sentences.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

#include "daemon/control/failures.h"

namespace holdfast::daemon {

namespace {

using initiator::Notice;
using initiator::NoticeKind;

/// The text of an enumerator that came as a number; a number too large gives a general one.
template <std::size_t N>
std::string_view text_at(const std::array<std::string_view, N>& texts, std::uint64_t index) {
    return index < N ? texts[static_cast<std::size_t>(index)] : "something new";
}

/// LossReason, in its order.
constexpr std::array<std::string_view, 14> kLossReasons{
    "the connection broke",
    "the target did not answer a ping in time",
    "the target broke the protocol",
    "a header digest was wrong",
    "a data digest was wrong",
    "the target rejected one of our PDUs",
    "the target announced that it drops the connection",
    "the target asked for a logout",
    "task management failed",
    "logging in failed",
    "the target did not open its command window",
    "the target did not send again what was lost",
    "a lost connection could not be taken up again",
    "a reservation key of an earlier session stands at this initiator port",
};
constexpr std::array<std::string_view, 5> kFenceRungs{
    "nothing was outstanding", "the logical unit was reset", "the fence time was waited out",
    "the target was reset", "the lost session's reservation key was preempted"};
/// initiator::Outcome, in its order.
constexpr std::array<std::string_view, 9> kOutcomes{"done",
                                                    "medium error",
                                                    "reservation conflict",
                                                    "no space",
                                                    "write protected",
                                                    "not supported",
                                                    "failure of the target",
                                                    "timed out",
                                                    "the device is gone"};
constexpr std::array<std::string_view, kExportKindCount> kExportKinds{"block device", "NBD socket"};
constexpr std::array<std::string_view, kIoCallCount> kIoCalls{
    "mapping memory", "locking memory", "the ring",   "a socket",     "the ublk control device",
    "a ublk queue",   "the sandbox",    "scheduling", "a system call"};

std::string sense_text(std::uint64_t sense) {
    return fmt::format("sense {:x}/{:02x}/{:02x}", (sense >> 16) & 0xff, (sense >> 8) & 0xff,
                       sense & 0xff);
}

/// SpecError, in its order.
constexpr std::array<std::string_view, kSpecErrorCount> kSpecErrors{
    "the attach request has another size than this release expects; restart holdfastd after an "
    "update",
    "the attach request is not one; restart holdfastd",
    "holdfast-control and holdfastd are of different releases; restart holdfastd",
    "the attach request is damaged; restart holdfastd",
    "the name may have 1 to 32 of a-z 0-9 . _ -, a letter or digit first; choose another",
    "the profile is unknown; use swap, root, data or multipath",
    "the tier is unknown; use A, B or C",
    "the attach request has flags that this release does not know; restart holdfastd",
    "the initiator name is not an iSCSI name; correct /etc/holdfast/initiatorname",
    "the target name is not an iSCSI name (iqn., eui. or naa.); check it",
    "no portal is given; add host:port",
    "a portal is not a numeric address with a port; check the portals",
    "the session identifier has more than 48 bits; remove the record from the state directory",
    "the CHAP settings are half; give user and password, and our own when the target proves itself",
    "a negotiation setting is out of range; check [negotiation] with docs/configuration.md",
    "a timer is zero or more than a day; check [timers]",
    "depth is out of range: 1 to 128 for ublk, to 256 for NBD; lower it",
    "request_size must be a multiple of 4096 up to 4 MiB; correct it",
    "connections must be 1 to 8; correct it",
    "the receive stage is out of range; restart holdfastd",
    "depth times request_size exceeds 512 MiB; lower one of them",
    "a socket buffer exceeds 64 MiB; lower send_buffer or receive_buffer",
    "the export is not usable: ublk_id must be 0 to 1048575, nbd_socket an absolute path; correct "
    "it",
    "the network path is unknown, or has no classifier to go with; restart holdfastd",
};

std::string notice_text(const Notice& notice) {
    switch (notice.kind) {
    case NoticeKind::SessionUp:
        return notice.a == 0 ? "session up" : fmt::format("session up again after {} ms", notice.a);
    case NoticeKind::SessionLost:
        return fmt::format("session lost: {}; {} requests wait", text_at(kLossReasons, notice.a),
                           notice.b);
    case NoticeKind::ConnectFailed:
        return fmt::format("connecting failed, attempt {}; next one in {} ms", notice.a, notice.b);
    case NoticeKind::LoginRefused:
        return fmt::format("login refused, status {:02x}/{:02x}: {}", (notice.a >> 8) & 0xff,
                           notice.a & 0xff, failure_of_login_status(notice.a).sentence);
    case NoticeKind::LoginViolation:
        return fmt::format("the target broke the protocol in the login (code {})", notice.a);
    case NoticeKind::AuthenticationFailed:
        return fmt::format("authentication failed (code {})", notice.a);
    case NoticeKind::Redirected:
        return fmt::format("redirected {}, hop {}", notice.a == 2 ? "permanently" : "for a while",
                           notice.b);
    case NoticeKind::ProbeFailed:
        return fmt::format("probing the LUN failed: {}", failure_of_probe(notice.a).sentence);
    case NoticeKind::NegotiationNote:
        return fmt::format("the target's answer to key {} is {}", notice.a, notice.b);
    case NoticeKind::PeerViolation:
        return fmt::format("protocol violation {} of the target in opcode 0x{:02x}", notice.a,
                           notice.b);
    case NoticeKind::DigestError:
        return fmt::format("{} digest wrong, opcode 0x{:02x}", notice.a == 0 ? "header" : "data",
                           notice.b);
    case NoticeKind::NopTimeout:
        return fmt::format("no answer to a ping for {} ms (own lateness {} ms)", notice.a,
                           notice.b);
    case NoticeKind::AsyncEvent:
        return fmt::format("asynchronous event {} from the target, parameter {}", notice.a,
                           notice.b);
    case NoticeKind::Rejected:
        return fmt::format("the target rejected opcode 0x{:02x}, reason 0x{:02x}", notice.b,
                           notice.a);
    case NoticeKind::CommandTimeout:
        return fmt::format("request {} without answer for {} ms", notice.a, notice.b);
    case NoticeKind::TaskManagement:
        return fmt::format("task management function {} answered {}", notice.a, notice.b);
    case NoticeKind::RetryByStatus:
        return fmt::format("request sent again after status 0x{:02x}, {}", notice.a,
                           sense_text(notice.b));
    case NoticeKind::RequestFailed:
        return fmt::format("request failed: {}, {}", text_at(kOutcomes, notice.a),
                           sense_text(notice.b));
    case NoticeKind::Fenced:
        return fmt::format("old requests are fenced off after {} ms: {}", notice.b,
                           text_at(kFenceRungs, notice.a));
    case NoticeKind::DeviceChanged:
        return notice.a == 1 ? fmt::format("the LUN has {} blocks now", notice.b)
                             : std::string{"the LUN has another identity now"};
    case NoticeKind::ConnectionAdded: return fmt::format("connection {} was added", notice.a);
    case NoticeKind::ConnectionRefused:
        return fmt::format("connection {} could not be added, status {:02x}/{:02x}", notice.a,
                           (notice.b >> 8) & 0xff, notice.b & 0xff);
    case NoticeKind::ConnectionLost:
        return fmt::format("connection {} was lost, the session goes on: {}", notice.a,
                           text_at(kLossReasons, notice.b));
    case NoticeKind::ConnectionReinstated:
        return fmt::format("connection {} is back, {} commands to take over", notice.a, notice.b);
    case NoticeKind::ConnectionRemoved:
        return fmt::format("connection {} was logged out, {} commands to take over", notice.a,
                           notice.b);
    }
    return fmt::format("notice {} with {} and {}", static_cast<int>(notice.kind), notice.a,
                       notice.b);
}

std::string io_sentence(const LogRecord& record) {
    switch (static_cast<IoEvent>(record.code)) {
    case IoEvent::Started: return fmt::format("process {} started", record.a);
    case IoEvent::PlanMade:
        return fmt::format("planned {} bytes, arena of {} bytes", record.a, record.b);
    case IoEvent::ProtectionMissing:
        return fmt::format("protection {} does not hold; 'holdfast status' names it", record.a);
    case IoEvent::TierGiven:
        return fmt::format("tier {}",
                           text_at(std::array<std::string_view, 3>{"A", "B", "C"}, record.a));
    case IoEvent::KernelReserveSet:
        return fmt::format("vm.min_free_kbytes is {} now, was {}", record.a, record.b);
    case IoEvent::ExportReady:
        return record.a == static_cast<std::uint64_t>(ExportKind::Ublk)
                   ? fmt::format("/dev/ublkb{} is ready", record.b)
                   : std::string{"the NBD socket is ready"};
    case IoEvent::ExportResized:
        return fmt::format("the device has {} bytes now, had {}", record.a, record.b);
    case IoEvent::ExportFailed:
        return fmt::format("making the {} failed: {}", text_at(kExportKinds, record.a),
                           errno_text(record.b));
    case IoEvent::Armed: return fmt::format("armed, {} KiB locked", record.a);
    case IoEvent::DetachAsked: return record.a == 1 ? "detaching in a hurry" : "detaching";
    case IoEvent::Detached: return "detached";
    case IoEvent::Exiting: return fmt::format("exiting with status {}", record.a);
    case IoEvent::RingFull: return fmt::format("{} log records were dropped", record.a);
    case IoEvent::LoopLate:
        return fmt::format("the loop woke up {} us late, worst so far {} us", record.a, record.b);
    case IoEvent::CallFailed:
        return fmt::format("{} failed: {}", text_at(kIoCalls, record.b), errno_text(record.a));
    case IoEvent::NbdClientCame: return fmt::format("an NBD client came, {} now", record.a);
    case IoEvent::NbdClientLeft:
        return fmt::format("an NBD client left{}, {} now",
                           record.b == 1 ? " after breaking the protocol" : "", record.a);
    case IoEvent::HostUnknown:
        return "the target redirected us to a host name that cannot be resolved";
    case IoEvent::TookOver:
        return fmt::format("took over: serving {:.1f} ms after the death of the one before",
                           static_cast<double>(record.a) / 1000.0);
    case IoEvent::DeviceAdopted:
        return fmt::format("the device was adopted after {:.1f} ms",
                           static_cast<double>(record.a) / 1000.0);
    case IoEvent::QueuesTaken:
        return fmt::format("took {} queues of the interface after {:.1f} ms", record.a,
                           static_cast<double>(record.b) / 1000.0);
    }
    return fmt::format("event {} with {} and {}", record.code, record.a, record.b);
}

}  // namespace

std::string_view errno_text(std::uint64_t code) {
    return Errno{static_cast<int>(code & 0xffff)}.text();
}

std::string sentence_of(const initiator::Notice& notice) {
    return notice_text(notice);
}

std::string sentence_of(const LogRecord& record) {
    if (record.source == LogSource::Engine)
        return sentence_of(
            Notice{.kind = static_cast<NoticeKind>(record.code), .a = record.a, .b = record.b});
    return io_sentence(record);
}

std::string sentence_of(SpecError error) {
    return std::string{text_at(kSpecErrors, static_cast<std::uint64_t>(error))};
}

std::string_view to_text(IoPhase phase) noexcept {
    constexpr std::array<std::string_view, kIoPhaseCount> kTexts{
        "starting", "logging-in", "exporting", "locking", "armed",
        "serving",  "detaching",  "ended",     "failed"};
    return text_at(kTexts, static_cast<std::uint64_t>(phase));
}

std::string_view to_text(initiator::FenceReliance fence) noexcept {
    using enum initiator::FenceReliance;
    switch (fence) {
    case Unknown: return "unknown";
    case PreemptAndAbort: return "preempt-and-abort";
    case UnitReset:
    case UnitResetUntried: return "lun-reset";
    case TargetResetUntried: return "target-reset";
    case Wait: return "wait";
    }
    return "unknown";
}

bool is_certain(initiator::FenceReliance fence) noexcept {
    using enum initiator::FenceReliance;
    return fence == PreemptAndAbort || fence == UnitReset || fence == Wait;
}

std::string_view to_text(initiator::SessionPhase phase) noexcept {
    constexpr std::array<std::string_view, 9> kTexts{"idle",    "connecting",  "logging-in",
                                                     "probing", "fencing",     "ready",
                                                     "waiting", "logging-out", "ended"};
    return text_at(kTexts, static_cast<std::uint64_t>(phase));
}

std::string_view to_text(LogLevel level) noexcept {
    constexpr std::array<std::string_view, 8> kTexts{"emergency", "alert", "critical", "error",
                                                     "warning",   "note",  "info",     "debug"};
    return text_at(kTexts, static_cast<std::uint64_t>(level));
}

}  // namespace holdfast::daemon
