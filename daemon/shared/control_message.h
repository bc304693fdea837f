/// What control, supervisor and I/O processes say to each other: fixed-size messages over
/// SOCK_SEQPACKET, one message per packet, descriptors by SCM_RIGHTS.
///
/// To attach: control sends Attach to the supervisor, with the classifier's descriptors (gate.h) if
/// there is one; they come back behind those of Attached, for a control process that starts anew.
/// The supervisor answers Refused, or Attached with two descriptors: the shared area
/// (shared_area.h), and a seqpacket socket that leads to the I/O process. On that socket the I/O
/// process says Ready or Failed once, and takes Detach and SetLogLevel; it says Detached when it
/// has logged out. When an I/O process is gone, the supervisor says Exited. A control process that
/// starts anew gets an Attached for every attachment that lives, with request_id 0.
///
/// A login may be redirected to a host name at any time (RFC 7143 section 13.8). The I/O process
/// resolves nothing: it says HostWanted, goes on with its loop, and connects when HostFound comes.
///
/// Sending never blocks; a full socket is an error of the sender's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <type_traits>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/strong.h"
#include "base/unique_fd.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/gate.h"
#include "daemon/shared/io_event.h"
#include "initiator/notice.h"

namespace holdfast::daemon {

/// An attachment for its life, chosen by the supervisor; never used twice.
using AttachmentId = Strong<struct AttachmentIdTag, std::uint32_t>;

enum class MessageKind : std::uint16_t {
    Attach,        ///< control -> supervisor
    Shutdown,      ///< control -> supervisor: detach everything and end.
    Kill,          ///< control -> supervisor: end a process that no longer answers.
    Attached,      ///< supervisor -> control, with two descriptors
    Refused,       ///< supervisor -> control
    Exited,        ///< supervisor -> control
    Ready,         ///< I/O process -> control: the export is there and requests are served.
    Failed,        ///< I/O process -> control: it will exit.
    Detach,        ///< control -> I/O process
    SetLogLevel,   ///< control -> I/O process
    Detached,      ///< I/O process -> control: logged out, it will exit.
    HostWanted,    ///< I/O process -> control: a target redirected us to this name.
    HostFound,     ///< control -> I/O process: the same name, and where it is.
    Upgrade,       ///< control -> supervisor: let the program that is installed now serve.
    DeviceReady,   ///< control -> supervisor: the device has its link; set up its queue, announce
                   ///< it.
    ControlReady,  ///< control -> supervisor: clients are served. code: seconds of the machine's
                   ///< watchdog, 0 for none; the first one counts.
};
inline constexpr std::uint16_t kMessageKindCount = 16;

/// Why an attachment did not come about or did not last. `code` of the message says more.
enum class FailReason : std::uint8_t {
    None,
    BadSpec,             ///< code: SpecError.
    NameTaken,           ///< An attachment with that name lives.
    TooManyAttachments,  ///< code: the limit.
    NoProcess,           ///< code: errno of fork or memfd.
    PlanTooLarge,        ///< code: bytes planned.
    ArenaFailed,         ///< code: errno of the mapping or of locking it.
    LockdownFailed,      ///< code: index of the protection, as in the status.
    TierTooLow,          ///< code: the PromiseTier that the machine can give.
    LoginFailed,         ///< notice: the engine's last word.
    ProbeFailed,         ///< notice: the engine's last word.
    ExportFailed,        ///< code: errno.
    NoUblk,              ///< code: errno of opening /dev/ublk-control.
    IoFailed,            ///< code: errno of a ring or a socket.
    Unreachable,         ///< No portal answered in time. notice: the engine's last word.
    LeftBehind,          ///< A process that an earlier supervisor left behind serves this unit.
    NoPath,              ///< The reserved path cannot be had. code: errno; EBUSY: a queue is taken.
};
inline constexpr std::uint8_t kFailReasonCount = 17;

/// The front of every message.
struct MessageHeader {
    static constexpr std::uint32_t kMagic = 0x48'46'43'4d;  // "HFCM"
    static constexpr std::uint16_t kVersion = 1;

    std::uint32_t magic = kMagic;
    std::uint16_t version = kVersion;
    MessageKind kind{};
    AttachmentId attachment{};     ///< 0 in Attach, Refused and Shutdown.
    std::uint32_t request_id = 0;  ///< Control's own number; comes back in Attached and Refused.
};

/// Attach.
struct AttachMessage {
    MessageHeader header{.kind = MessageKind::Attach};
    AttachSpec spec;
};

/// Every other kind; fields that a kind does not name are 0.
struct ControlMessage {
    MessageHeader header{};
    std::int32_t pid = 0;                  ///< Attached, Exited.
    std::int32_t exit_status = 0;          ///< Exited: exit code, or minus the signal number.
    FailReason reason = FailReason::None;  ///< Refused, Failed.
    LogLevel log_level = LogLevel::Info;   ///< SetLogLevel.
    std::uint8_t hurry = 0;                ///< Detach: 1 means do not wait for the target.
    std::uint64_t code = 0;                ///< By `reason`.
    initiator::Notice notice{};            ///< By `reason`.
    FixedString<255> host{};               ///< HostWanted, HostFound.
    FixedString<63> address{};             ///< HostFound; empty: it cannot be resolved.
};
static_assert(std::is_trivially_copyable_v<AttachMessage>);
static_assert(std::is_trivially_copyable_v<ControlMessage>);
static_assert(sizeof(ControlMessage) != sizeof(AttachMessage));

/// Room for any message.
inline constexpr std::size_t kMessageBytesMax = sizeof(AttachMessage);
/// Descriptors with one message: those of MessageKind::Attached and the classifier's; the maker's
/// requests (daemon/io/maker.h) have three more.
inline constexpr std::size_t kMessageFdsMax = 5 + GateFiles::kCount;

/// What is wrong with a message.
enum class MessageError : std::uint8_t {
    Size,  ///< No message has that size.
    Magic,
    Version,
    Kind,   ///< Unknown, or not of that size.
    Field,  ///< An enumerator out of range.
};

/// Judges everything but the spec; `attach_spec_from` judges that.
[[nodiscard]] std::expected<ControlMessage, MessageError> control_message_from(
    std::span<const std::byte> bytes) noexcept;

/// The spec's bytes inside an Attach message and its header; the spec is not judged.
struct AttachBytes {
    MessageHeader header;
    std::span<const std::byte> spec;  ///< Borrows.
};
[[nodiscard]] std::expected<AttachBytes, MessageError> attach_bytes_from(
    std::span<const std::byte> bytes) noexcept;

/// The kind that the header claims; empty when there is no sound header.
[[nodiscard]] std::optional<MessageKind> kind_of(std::span<const std::byte> bytes) noexcept;

[[nodiscard]] inline std::span<const std::byte> bytes_of(const ControlMessage& message) noexcept {
    return std::as_bytes(std::span{&message, 1});
}
[[nodiscard]] inline std::span<const std::byte> bytes_of(const AttachMessage& message) noexcept {
    return std::as_bytes(std::span{&message, 1});
}

/// One packet as it came.
struct Received {
    std::size_t bytes = 0;  ///< 0: the peer has closed.
    std::array<UniqueFd, kMessageFdsMax> fds;
};

/// Sends one packet without blocking. EAGAIN when the socket is full; never raises SIGPIPE.
/// Messages of other kinds may use it, too.
[[nodiscard]] OrErrno<void> send_message(int socket, std::span<const std::byte> message,
                                         std::span<const int> fds = {}) noexcept;

/// Takes one packet without blocking. EAGAIN when there is none; EMSGSIZE when it was larger than
/// `room` (it is gone then). Descriptors come close-on-exec.
[[nodiscard]] OrErrno<Received> receive_message(int socket, std::span<std::byte> room) noexcept;

}  // namespace holdfast::daemon
