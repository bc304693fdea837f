#include "daemon/control/failures.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <ranges>
#include <string_view>
#include <utility>

#include "daemon/control/sentences.h"
#include "daemon/control/settings.h"

namespace holdfast::daemon {

namespace {

using initiator::Notice;
using initiator::NoticeKind;

Failure made(ExitCode code, std::string sentence) {
    return Failure{.code = code, .sentence = std::move(sentence)};
}

std::string_view tier_text(std::uint64_t tier) {
    return tier < kTierCount ? to_text(static_cast<PromiseTier>(tier)) : "unknown";
}

struct LoginStatus {
    std::uint16_t status;
    ExitCode code;
    std::string_view sentence;
};

/// RFC 7143 section 11.13.5.
constexpr std::array kLoginStatuses{
    LoginStatus{0x0200, ExitCode::Protocol,
                "the target says our login is wrong without saying how; look into its log, and "
                "with CHAP try "
                "chap_md5_only"},
    LoginStatus{0x0201, ExitCode::Authentication,
                "the target does not accept the user or password; check both"},
    LoginStatus{0x0202, ExitCode::Authentication,
                "the target does not allow this initiator in; add the initiator name to its access "
                "list"},
    LoginStatus{0x0203, ExitCode::NotFound,
                "there is no such target behind this portal; 'holdfast discover' lists those that "
                "are"},
    LoginStatus{0x0204, ExitCode::NotFound, "the target was removed; ask whoever runs it"},
    LoginStatus{0x0205, ExitCode::Protocol,
                "the target does not support our protocol version; it is too old"},
    LoginStatus{0x0206, ExitCode::Failed,
                "the target takes no further connection of this session; use connections = 1"},
    LoginStatus{0x0207, ExitCode::Protocol,
                "the target misses a parameter in our login; look into its log"},
    LoginStatus{0x0208, ExitCode::Failed,
                "the target cannot include this connection in the session; use connections = 1"},
    LoginStatus{0x0209, ExitCode::Protocol,
                "the target does not support the session type; is it a discovery-only portal?"},
    LoginStatus{0x020a, ExitCode::Failed, "the target knows no such session any more; try again"},
    LoginStatus{0x020b, ExitCode::Protocol,
                "the target says our login is out of order; look into its log"},
    LoginStatus{0x0300, ExitCode::Unreachable,
                "the target has an internal error; try again, then look into its log"},
    LoginStatus{0x0301, ExitCode::Unreachable, "the target is not in service now; try again later"},
    LoginStatus{0x0302, ExitCode::Unreachable,
                "the target has no resources for another session; close one or raise its limit"},
};

constexpr std::array<std::string_view, 7> kProbeErrors{
    "there is no such LUN at the target; 'holdfast discover' lists targets, and the target's own "
    "configuration its LUNs",
    "the LUN is not a disk; Holdfast serves block devices only",
    "the LUN reports a capacity or block size that no block device can have; check the target",
    "the LUN's answers to the probe are malformed; update the target or try another LUN",
    "the LUN stayed 'not ready'; wait until the target has brought it up",
    "behind the address there is another device than before; check what the target exports",
    "another host has preempted our reservation of the LUN; when it is ours again, detach and "
    "attach",
};
constexpr std::array<ExitCode, 7> kProbeCodes{
    ExitCode::NotFound,    ExitCode::NotFound,    ExitCode::DeviceError, ExitCode::Protocol,
    ExitCode::DeviceError, ExitCode::DeviceError, ExitCode::DeviceError};

/// path = "xdp", and the way to the target does not allow it.
Failure failure_of_path(std::uint64_t error) {
    switch (error) {
    case EBUSY:
        return made(ExitCode::Exists,
                    "the interface's queues are taken by another AF_XDP socket, and one interface "
                    "carries one session with path = \"xdp\"; use path = \"kernel\", or a portal "
                    "behind another interface");
    case EXDEV:
        return made(ExitCode::Usage,
                    "the classifier is on another interface than the one that leads to the "
                    "target; leave classifier_interface out, or use path = \"kernel\"");
    case EOPNOTSUPP:
        return made(ExitCode::Usage, "the target is on this host; use path = \"kernel\"");
    default: break;
    }
    return made(ExitCode::Unreachable,
                fmt::format("no AF_XDP path to the target: {}; check its route, or use path = "
                            "\"kernel\"",
                            errno_text(error)));
}

/// LockdownFailed and what the kernel refused.
Failure failure_of_machine(const ControlMessage& message) {
    const std::string_view errno_name = errno_text(message.code);
    switch (message.reason) {
    case FailReason::NoProcess:
        return made(ExitCode::Failed,
                    fmt::format("holdfastd cannot start an I/O process: {}; free memory or raise "
                                "its limits",
                                errno_name));
    case FailReason::PlanTooLarge:
        return made(ExitCode::Usage,
                    fmt::format("the memory plan comes to {} MiB, more than this machine can "
                                "lock; lower depth or request_size ('holdfast plan' shows the sum)",
                                (message.code >> 20) + 1));
    case FailReason::ArenaFailed:
        return made(ExitCode::NotPermitted,
                    fmt::format("the planned memory cannot be locked: {}; run holdfastd as root, "
                                "or lower depth or request_size",
                                errno_name));
    case FailReason::LockdownFailed:
        return made(ExitCode::NotPermitted,
                    fmt::format("protection {} does not hold; 'holdfast check-host' says why",
                                message.code));
    case FailReason::TierTooLow:
        return made(ExitCode::TierTooLow,
                    fmt::format("this machine can promise tier {} only, which is less than the "
                                "profile needs; mend what 'holdfast check-host' names, or insist "
                                "with --force-tier",
                                tier_text(message.code)));
    case FailReason::NoUblk:
        return made(ExitCode::NotFound,
                    fmt::format("/dev/ublk-control cannot be opened: {}; run modprobe ublk_drv "
                                "(Linux 6.0 or later), or use --export nbd",
                                errno_name));
    case FailReason::ExportFailed:
        return made(ExitCode::Failed, fmt::format("the export cannot be made: {}; look into the "
                                                  "log of holdfastd",
                                                  errno_name));
    case FailReason::None:
    case FailReason::BadSpec:
    case FailReason::NameTaken:
    case FailReason::LeftBehind:
    case FailReason::TooManyAttachments:
    case FailReason::LoginFailed:
    case FailReason::ProbeFailed:
    case FailReason::Unreachable:
    case FailReason::NoPath:
    case FailReason::IoFailed: break;
    }
    return made(
        ExitCode::Failed,
        fmt::format("the I/O process failed: {}; look into the log of holdfastd", errno_name));
}

Failure authentication_failure() {
    return made(
        ExitCode::Authentication,
        "authentication failed: the target asks for CHAP, offers no method that we have, or "
        "did not prove itself; check user and passwords");
}

Failure protocol_failure() {
    return made(
        ExitCode::Protocol,
        "what answers at the portal does not speak iSCSI as RFC 7143 has it; check the port, "
        "then the target");
}

/// `error` is an initiator::LoginError.
Failure failure_of_login_error(std::uint64_t error) {
    using enum initiator::LoginError;
    const auto is = [error](initiator::LoginError known) {
        return error == static_cast<std::uint64_t>(known);
    };
    if (is(AuthenticationMissing) || is(AuthenticationRefused) || is(Chap))
        return authentication_failure();
    if (is(DigestMissing))
        return made(ExitCode::Usage,
                    "the target does not offer a digest that is required; enable it there, or set "
                    "header_digest and data_digest to \"prefer\"");
    if (is(WrongPortalGroup))
        return made(ExitCode::NotFound,
                    "the portal belongs to another portal group than discovery said; run 'holdfast "
                    "discover' again");
    return protocol_failure();
}

}  // namespace

Failure failure_of_login(const initiator::LoginFailure& failure) {
    if (failure.error == initiator::LoginError::RefusedByTarget)
        return failure_of_login_status(failure.status);
    return failure_of_login_error(static_cast<std::uint64_t>(failure.error));
}

Failure failure_of_probe(std::uint64_t error) {
    if (error >= kProbeCodes.size())
        return made(ExitCode::Failed, fmt::format("probing the LUN failed (code {}); look into the "
                                                  "target's log",
                                                  error));
    const auto known = static_cast<std::size_t>(error);
    return made(kProbeCodes[known], std::string{kProbeErrors[known]});
}

Failure failure_of_login_status(std::uint64_t status) {
    for (const LoginStatus& known : kLoginStatuses) {
        if (known.status == status)
            return {.code = known.code, .sentence = std::string{known.sentence}};
    }
    return {.code = ExitCode::Protocol,
            .sentence = fmt::format("the target refuses the login with the status {:02x}/{:02x}, "
                                    "which RFC 7143 does not define; look into its log",
                                    (status >> 8) & 0xff, status & 0xff)};
}

std::optional<Failure> failure_of_notice(const initiator::Notice& notice) {
    switch (notice.kind) {
    case NoticeKind::ConnectFailed:
        return made(ExitCode::Unreachable,
                    "nothing answers at the portal; check address, port, firewall, and that the "
                    "target runs");
    case NoticeKind::LoginRefused: return failure_of_login_status(notice.a);
    case NoticeKind::AuthenticationFailed: return authentication_failure();
    case NoticeKind::LoginViolation: return failure_of_login_error(notice.a);
    case NoticeKind::PeerViolation:
    case NoticeKind::DigestError: return protocol_failure();
    case NoticeKind::ProbeFailed: return failure_of_probe(notice.a);
    case NoticeKind::SessionLost:
        return made(ExitCode::Unreachable,
                    "the connection to the target does not last; check the network, then the "
                    "target's log");
    case NoticeKind::SessionUp:
    case NoticeKind::Redirected:
    case NoticeKind::NopTimeout:
    case NoticeKind::AsyncEvent:
    case NoticeKind::Rejected:
    case NoticeKind::CommandTimeout:
    case NoticeKind::TaskManagement:
    case NoticeKind::RetryByStatus:
    case NoticeKind::RequestFailed:
    case NoticeKind::Fenced:
    case NoticeKind::DeviceChanged:
    case NoticeKind::ConnectionAdded:
    case NoticeKind::ConnectionRefused:
    case NoticeKind::ConnectionLost:
    case NoticeKind::ConnectionReinstated:
    case NoticeKind::ConnectionRemoved:
    case NoticeKind::NegotiationNote: break;
    }
    return {};
}

Failure failure_of_notices(std::span<const initiator::Notice> notices) {
    std::optional<Failure> weak;
    for (const Notice& notice : notices | std::views::reverse) {
        const auto failure = failure_of_notice(notice);
        if (!failure) continue;
        const bool says_little =
            notice.kind == NoticeKind::SessionLost || notice.kind == NoticeKind::ConnectFailed;
        if (!says_little) return *failure;
        if (!weak) weak = failure;
    }
    if (weak) return *weak;
    return {.code = ExitCode::Unreachable,
            .sentence =
                "the target does not answer; check address, port, firewall, and that the "
                "target runs"};
}

Failure failure_of(const ControlMessage& message) {
    switch (message.reason) {
    case FailReason::BadSpec:
        return made(ExitCode::Usage, sentence_of(static_cast<SpecError>(message.code)));
    case FailReason::NameTaken:
        return made(ExitCode::Exists,
                    "an attachment with that name is there already; detach it or choose --name");
    case FailReason::LeftBehind:
        return made(ExitCode::Exists,
                    "an I/O process that an earlier holdfastd left behind serves this LUN and goes "
                    "on; when its device is not in use any more, kill it (it is called "
                    "holdfast-io) and attach again");
    case FailReason::TooManyAttachments:
        return made(ExitCode::Exists,
                    fmt::format("there are {} attachments already, which is the limit; detach one",
                                message.code));
    case FailReason::LoginFailed:
    case FailReason::ProbeFailed:
    case FailReason::Unreachable: return failure_of_notices(std::span{&message.notice, 1});
    case FailReason::NoPath: return failure_of_path(message.code);
    case FailReason::None:
    case FailReason::NoProcess:
    case FailReason::PlanTooLarge:
    case FailReason::ArenaFailed:
    case FailReason::LockdownFailed:
    case FailReason::TierTooLow:
    case FailReason::ExportFailed:
    case FailReason::NoUblk:
    case FailReason::IoFailed: break;
    }
    return failure_of_machine(message);
}

Failure failure_of_outcome(initiator::Outcome outcome, std::string_view doing) {
    using enum initiator::Outcome;
    const auto ended = [doing](ExitCode code, std::string_view what) {
        return made(code, fmt::format("{}: {}", doing, what));
    };
    switch (outcome) {
    case MediumError:
        return ended(ExitCode::DeviceError,
                     "the target reports unreadable data; check its disk and its log");
    case ReservationConflict:
        return ended(ExitCode::DeviceError,
                     "another initiator has reserved the LUN; release the reservation there");
    case NoSpace:
        return ended(ExitCode::DeviceError, "the target's thin pool is full; give it more space");
    case ReadOnly:
        return ended(ExitCode::DeviceError,
                     "the LUN is write protected; remove the protection at the target");
    case Unsupported:
        return ended(ExitCode::DeviceError,
                     "the LUN does not know the command; nothing to be done "
                     "but another target");
    case TimedOut:
        return ended(ExitCode::Timeout,
                     "the session was away for too long; check network and target");
    case Gone:
        return ended(ExitCode::DeviceError,
                     "the session ended, or the LUN is another one now; start again");
    case Done:
    case TargetFailure: break;
    }
    return ended(ExitCode::DeviceError, "the target failed the request; look into its log");
}

}  // namespace holdfast::daemon
