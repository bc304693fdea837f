/// What an I/O process or the supervisor puts into its log ring, beyond the engine's notices. The
/// sentences are made by the reader, in daemon/control/sentences.h.
#pragma once

#include <cstdint>

namespace holdfast::daemon {

/// The meaning of `a` and `b` stands beside each. "step" counts on.
enum class IoEvent : std::uint8_t {
    Started,            ///< a: pid.
    PlanMade,           ///< a: bytes planned. b: bytes of the arena.
    ProtectionMissing,  ///< a: index into StatusFacts::protections.
    TierGiven,          ///< a: PromiseTier.
    KernelReserveSet,   ///< a: vm.min_free_kbytes now. b: before.
    ExportReady,        ///< a: ExportKind. b: ublk id, or 0.
    ExportResized,      ///< a: bytes now. b: bytes before.
    ExportFailed,       ///< a: ExportKind. b: errno.
    Armed,              ///< a: VmLck in KiB.
    DetachAsked,        ///< a: 1 when hurried.
    Detached,           ///< a: 0.
    Exiting,            ///< a: exit status.
    RingFull,           ///< a: records dropped since the last one.
    LoopLate,           ///< a: microseconds late. b: the worst so far.
    CallFailed,         ///< a: errno. b: IoCall.
    NbdClientCame,      ///< a: clients now.
    NbdClientLeft,      ///< a: clients now. b: 1 when it broke the protocol.
    HostUnknown,        ///< a: 0. A redirect named a host that cannot be resolved.
    TookOver,           ///< a: microseconds since the supervisor noticed the death.
    DeviceAdopted,      ///< a: the same, when the kernel had taken us as its successor.
    QueuesTaken,        ///< a: how many of the interface. b: microseconds waited for them.
};
inline constexpr std::uint8_t kIoEventCount = 21;

/// Which call CallFailed is about.
enum class IoCall : std::uint8_t {
    Map,
    Lock,
    Ring,
    Socket,
    UblkControl,
    UblkQueue,
    Sandbox,
    Scheduling,
    Other,
};
inline constexpr std::uint8_t kIoCallCount = 9;

/// How much a record matters; the numbers are those of syslog, RFC 5424 section 6.2.1.
enum class LogLevel : std::uint8_t {
    Error = 3,
    Warning = 4,
    Note = 5,
    Info = 6,
    Debug = 7,
};

/// Who wrote a record, and so which enumeration its code belongs to.
enum class LogSource : std::uint8_t {
    Engine,  ///< initiator::NoticeKind.
    Io,      ///< IoEvent.
};
inline constexpr std::uint8_t kLogSourceCount = 2;

}  // namespace holdfast::daemon
