/// Everything one I/O process is told about its attachment, as one fixed-size message.
///
/// The control process parses text and resolves names, fills an AttachSpec and sends it to the
/// supervisor over SOCK_SEQPACKET. The supervisor trusts none of it: the bytes go through
/// attach_spec_from() before anything reads them as a structure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/fixed_vector.h"
#include "daemon/shared/gate.h"
#include "daemon/shared/profile.h"
#include "initiator/engine.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

/// The name of an attachment: 1 to 32 of a-z 0-9 . _ -, the first one a letter or a digit, so that
/// it can stand in a path.
using AttachmentName = FixedString<32>;

/// True when `name` may name an attachment.
[[nodiscard]] bool is_attachment_name(std::string_view name) noexcept;

/// How the unit appears on this machine.
struct ExportSpec {
    ExportKind kind = ExportKind::Ublk;
    bool read_only = false;  ///< The export refuses writes, whatever the unit allows.
    /// Ublk: the N of /dev/ublkbN that is wanted, -1 for any.
    std::int32_t ublk_id_wish = -1;
    /// Nbd: absolute path of the listening socket, created with mode 0600. Fits sun_path with its
    /// zero.
    FixedString<107> nbd_socket_path;
};

/// Kernel buffers of one connection, part of the kernel reserve's sum. Bytes; 0 leaves the kernel's
/// own choice.
struct SocketSpec {
    std::uint32_t send_bytes = 0;
    std::uint32_t receive_bytes = 0;
};

/// Bits of AttachSpec::flags.
enum AttachFlag : std::uint32_t {
    kAttachForceTier = 1U << 0,          ///< Go on below the demanded tier: the operator insists.
    kAttachWithoutLockdown = 1U << 1,    ///< No protections at all: tests, unprivileged tries.
    kAttachKeepKernelReserve = 1U << 2,  ///< Do not touch vm.min_free_kbytes.
    kAttachWithoutStandby = 1U << 3,     ///< One I/O process: half the memory, slower takeovers.
    kAttachFlagsKnown = kAttachForceTier | kAttachWithoutLockdown | kAttachKeepKernelReserve |
                        kAttachWithoutStandby,
};

/// See the file comment. Portal hosts are numeric addresses here: nobody resolves names later.
struct AttachSpec {
    static constexpr std::uint32_t kMagic = 0x48'46'41'53;  // "HFAS"
    static constexpr std::uint16_t kVersion = 5;
    static constexpr std::uint32_t kRequestBytesMax = 4U * 1024 * 1024;
    /// depth * request_bytes_max at most; one attachment never plans for more data than this.
    static constexpr std::uint64_t kDataBytesMax = 512ULL * 1024 * 1024;
    static constexpr std::uint16_t kDepthMax = 256;
    static constexpr std::uint16_t kUblkDepthMax = 128;  ///< Tags per ring of a ublk queue.
    static constexpr std::uint8_t kConnectionsMax = initiator::EngineLimits::kConnectionsMax;

    std::uint32_t magic = kMagic;
    std::uint16_t version = kVersion;
    ProfileId profile = ProfileId::Data;
    PromiseTier tier_demanded = PromiseTier::C;
    std::uint32_t flags = 0;
    AttachmentName name;
    initiator::SessionConfig session;
    initiator::EngineLimits limits;
    SocketSpec socket;
    /// Kernel or Xdp; Auto was decided by whoever made the spec. Xdp goes with a gate that is
    /// there, through whose interface the session runs.
    NetworkPath path = NetworkPath::Kernel;
    ExportSpec exported;
    GateSpec gate;
    /// Of the host's network cards, for the kernel's reserve; 0: unknown.
    std::uint32_t receive_queues = 0;
};

static_assert(std::is_trivially_copyable_v<initiator::SessionConfig>);
static_assert(std::is_trivially_copyable_v<initiator::EngineLimits>);
static_assert(std::is_trivially_copyable_v<AttachSpec>);
static_assert(std::is_standard_layout_v<AttachSpec>);
static_assert(sizeof(AttachSpec) < 16 * 1024, "one SOCK_SEQPACKET message");

/// What is wrong with a spec. Each one has a sentence in daemon/control/sentences.h.
enum class SpecError : std::uint8_t {
    Size,           ///< Not sizeof(AttachSpec) bytes.
    Magic,          ///< Not a spec.
    Version,        ///< Another release made it.
    Damaged,        ///< A length beyond its capacity, or a bool that is neither 0 nor 1.
    Name,           ///< See is_attachment_name().
    Profile,        ///< Not a ProfileId.
    TierDemand,     ///< Not a PromiseTier.
    Flags,          ///< Bits that nobody defined.
    InitiatorName,  ///< Empty, too short or not iqn. eui. naa.
    TargetName,
    NoPortal,
    Portal,        ///< Not a numeric address, or port 0.
    Isid,          ///< More than 48 bits.
    Auth,          ///< Half a credential, or mutual CHAP without our own.
    Wish,          ///< An operational parameter beyond RFC 7143 section 13, or beyond the engine.
    Timer,         ///< Zero, negative or beyond a day (replacement may be for ever).
    Depth,         ///< 1..256; ublk 1..128.
    RequestBytes,  ///< A multiple of 4096 up to kRequestBytesMax.
    Connections,   ///< 1..kConnectionsMax.
    StageBytes,    ///< 4096..1 MiB, and room for one request's headers.
    DataBytes,     ///< depth * request_bytes_max beyond kDataBytesMax.
    SocketBytes,   ///< Beyond 64 MiB.
    Export,        ///< Not an ExportKind, a bad ublk id, or an NBD path that is not absolute.
    Path,          ///< Neither Kernel nor Xdp, or Xdp without a classifier.
};
inline constexpr std::uint8_t kSpecErrorCount = 24;

/// Judges every field. Safe on any bit pattern: reads nothing whose length it has not checked.
[[nodiscard]] std::expected<void, SpecError> check(const AttachSpec& spec) noexcept;

/// Copies and judges bytes that came from another process.
[[nodiscard]] std::expected<AttachSpec, SpecError> attach_spec_from(
    std::span<const std::byte> bytes) noexcept;

/// The spec as bytes, for sending. Borrows.
[[nodiscard]] inline std::span<const std::byte> bytes_of(const AttachSpec& spec) noexcept {
    return std::as_bytes(std::span{&spec, 1});
}

}  // namespace holdfast::daemon
