/// What the operator decides about one attachment, as typed values: the middle between TOML text
/// or a client's request on one side and an AttachSpec on the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/url.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/profile.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

/// How the end of a lost session's writes is proven. docs/recovery.md, "the fence".
enum class FenceWish : std::uint8_t {
    Auto,     ///< Unit reset, or a wait on a shared unit.
    Preempt,  ///< A persistent reservation, and PREEMPT AND ABORT; below it as Auto.
};

/// The classifier in front of the attachment's interface. docs/classifier.md.
enum class GateWish : std::uint8_t {
    Off,
    Auto,     ///< Where the driver has native XDP; without it the tier says so.
    Require,  ///< Native, or the attachment fails.
    Generic,  ///< Also behind the driver, where it protects no memory.
};

struct GateSettings {
    std::optional<GateWish> wish;  ///< Empty: off.
    std::string interface;         ///< Empty: the one that leads to the first portal.
    std::uint16_t management_port = 0;
    std::uint32_t management_rate = 50;  ///< Packets a second.
};

/// Sizes, timers and negotiation. Each profile has its own defaults.
struct Tuning {
    std::uint16_t depth = 32;
    std::uint32_t request_bytes = 128 * 1024;
    std::uint8_t connections = 1;
    SocketSpec socket;
    PromiseTier tier = PromiseTier::C;  ///< The least that will do.
    FenceWish fence = FenceWish::Auto;
    NetworkPath path = NetworkPath::Kernel;
    initiator::OperationalWish wish;
    initiator::TimerConfig timers;
};

/// The defaults; docs/configuration.md shows them as a table.
[[nodiscard]] Tuning default_tuning(ProfileId profile);

/// One attachment.
struct AttachSettings {
    std::string name;
    ProfileId profile = ProfileId::Data;
    Tuning tuning;

    std::string target;
    std::optional<std::uint32_t> lun;
    std::vector<HostPort> portals;  ///< Tried in turn.

    std::string user;
    std::string password;       ///< From a client's request only, never from a file.
    std::string password_file;  ///< Mode 0600.
    std::string mutual_user;
    std::string mutual_password;
    std::string mutual_password_file;
    bool md5_only = false;

    ExportKind exported = ExportKind::Ublk;
    std::string nbd_socket;
    std::int32_t ublk_id = -1;
    bool read_only = false;
    bool shared = false;    ///< Others use the unit too: no LOGICAL UNIT RESET as a fence.
    std::uint8_t slot = 0;  ///< Distinguishes several attachments of one unit.

    bool starts_by_itself = true;  ///< `auto`: holdfastd attaches it at its start.
    bool force_tier = false;
    bool without_lockdown = false;
    bool keep_kernel_reserve = false;
    GateSettings gate;
    std::optional<bool> standby;  ///< A second I/O process that stands by; empty: the profile's.
};

/// True where requests must never fail: a second process costs as much locked memory again.
[[nodiscard]] bool default_standby(ProfileId profile) noexcept;

[[nodiscard]] std::string_view to_text(ProfileId profile) noexcept;
[[nodiscard]] std::string_view to_text(PromiseTier tier) noexcept;
[[nodiscard]] std::string_view to_text(ExportKind kind) noexcept;
[[nodiscard]] std::string_view to_text(NetworkPath path) noexcept;
[[nodiscard]] std::optional<ProfileId> profile_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<PromiseTier> tier_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<ExportKind> export_kind_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<FenceWish> fence_wish_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<GateWish> gate_wish_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<NetworkPath> network_path_from(std::string_view text) noexcept;

/// "15s", "200ms", "2min", "1h" or "forever"; empty when it is none of these.
[[nodiscard]] std::optional<Duration> duration_from(std::string_view text) noexcept;
/// "65536", "64KiB", "1MiB"; empty when it is none of these or beyond 64 bits.
[[nodiscard]] std::optional<std::uint64_t> size_from(std::string_view text) noexcept;
[[nodiscard]] std::string to_text(Duration duration);

}  // namespace holdfast::daemon
