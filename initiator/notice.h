/// Facts worth a line in the log. Pure code logs nothing: it leaves notices that the caller drains.
#pragma once

#include <cstdint>

namespace holdfast::initiator {

/// What happened. The meaning of `a` and `b` stands beside each.
enum class NoticeKind : std::uint8_t {
    SessionUp,             ///< a: milliseconds since it was lost, 0 the first time. b: TSIH.
    SessionLost,           ///< a: LossReason. b: requests in flight.
    ConnectFailed,         ///< a: attempt number. b: milliseconds until the next.
    LoginRefused,          ///< a: status class << 8 | detail, RFC 7143 section 11.13.5.
    LoginViolation,        ///< a: LoginError.
    AuthenticationFailed,  ///< a: ChapError.
    Redirected,            ///< a: 1 temporary, 2 permanent. b: hops so far.
    PeerViolation,         ///< a: Violation. b: opcode.
    DigestError,           ///< a: 0 header, 1 data. b: opcode.
    NopTimeout,      ///< a: milliseconds waited. b: our own measured lateness in milliseconds.
    AsyncEvent,      ///< a: event code. b: parameter 1.
    Rejected,        ///< a: reason. b: opcode of our rejected PDU.
    CommandTimeout,  ///< a: tag. b: milliseconds.
    TaskManagement,  ///< a: function. b: response.
    RetryByStatus,   ///< a: SCSI status. b: sense key << 16 | asc << 8 | ascq.
    RequestFailed,   ///< a: Outcome. b: sense key << 16 | asc << 8 | ascq.
    Fenced,         ///< a: FenceRung that proved the end of the old tasks. b: milliseconds it took.
    DeviceChanged,  ///< a: 1 capacity, 2 identity. b: new block count.
    ProbeFailed,    ///< a: ProbeError.
    ConnectionAdded,       ///< a: CID.
    ConnectionRefused,     ///< a: CID. b: status as in LoginRefused, 0: another reason.
    ConnectionLost,        ///< a: CID. b: LossReason. The session goes on.
    ConnectionReinstated,  ///< a: CID. b: commands to be taken over.
    ConnectionRemoved,     ///< a: CID. b: commands to be taken over by another connection.
    NegotiationNote,       ///< a: KeyId. b: what the target answered (see negotiation).
};

struct Notice {
    NoticeKind kind{};
    std::uint64_t a = 0;
    std::uint64_t b = 0;
};

/// Why a session went away.
enum class LossReason : std::uint8_t {
    TransportLost,
    NopTimeout,
    PeerViolation,
    HeaderDigest,
    DataDigest,
    Rejected,
    AsyncDrop,
    AsyncLogout,
    TaskManagementFailed,
    LoginFailed,
    WindowStuck,
    RepairFailed,         ///< What was lost was asked for, in vain.
    ReinstatementFailed,  ///< A connection was lost, and its commands could not be taken over.
    PortRegistered,       ///< An earlier session's reservation key stands at this initiator port.
};

/// Which rung of the fence's ladder proved that old writes can no longer be executed. Design,
/// invariant 6.
enum class FenceRung : std::uint8_t {
    NothingToFence,    ///< No write was outstanding when the session was lost.
    LogicalUnitReset,  ///< The profile owns the unit alone: LOGICAL UNIT RESET was answered
                       ///< "complete".
    WaitedOut,         ///< The unit is shared: the configured fence time passed.
    TargetWarmReset,   ///< The unit reset was refused; TARGET WARM RESET was answered "complete".
    PreemptAndAbort,   ///< The reservation key of the lost session was preempted.
};

/// Why the probe of the unit gave up.
enum class ProbeError : std::uint8_t {
    NoSuchLun,        ///< REPORT LUNS or INQUIRY say that the unit is not there.
    NotABlockDevice,  ///< Peripheral type other than 0 (disk).
    BadCapacity,      ///< Zero blocks, or a block size that is not 512..4096 and a power of two.
    MalformedAnswer,
    NotReady,     ///< NOT READY until the login time-out passed.
    OtherDevice,  ///< The identity changed between two logins.
    Preempted,    ///< Another host has taken our reservation away.
};

}  // namespace holdfast::initiator
