/// Everything the operator decides about one session. Plain data, copied into the engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/fixed_vector.h"
#include "base/strong.h"
#include "base/time.h"

namespace holdfast::initiator {

/// An 8-byte SAM logical unit number as it stands in the header. RFC 7143 section 11.2.1.7.
using Lun = Strong<struct LunTag, std::uint64_t>;

/// Initiator session identifier, 48 bits, big-endian on the wire. RFC 7143 section 11.12.5.
/// Persistent for each (target, portal group, slot), so that reservations survive and reinstatement
/// works.
using Isid = Strong<struct IsidTag, std::uint64_t>;

/// A target portal. The host is an IPv4 or IPv6 address in text without brackets, or a DNS name
/// that came in a redirect. RFC 7143 section 13.8.
struct Portal {
    FixedString<255> host;
    std::uint16_t port = 3260;
};

/// What to ask for a digest. RFC 7143 section 13.1.
enum class DigestWish : std::uint8_t {
    Prefer,   ///< Offer "CRC32C,None".
    Require,  ///< Offer "CRC32C" and refuse to go on without.
    Never,    ///< Offer "None".
};

/// CHAP credentials, one direction. RFC 7143 section 12.1.3. Secrets are binary octets.
struct ChapSecret {
    FixedString<255> name;
    FixedString<255> secret;
    [[nodiscard]] bool is_set() const noexcept { return !secret.empty(); }
};

/// Who proves what to whom.
struct AuthConfig {
    ChapSecret to_target;         ///< We prove ourselves; unset: AuthMethod=None is offered alone.
    ChapSecret from_target;       ///< Mutual: the target must prove itself too. Needs to_target.
    bool offer_md5_only = false;  ///< For targets known to choke on a list (Synology, old LIO).
};

/// Operational parameters offered; the target's choice wins within RFC 7143 section 13.
struct OperationalWish {
    /// What the engine can do; a wish beyond is refused before it gets there.
    static constexpr std::uint16_t kOutstandingR2tMax = 8;
    static constexpr std::uint8_t kErrorRecoveryLevelMax = 2;

    DigestWish header_digest = DigestWish::Prefer;
    DigestWish data_digest = DigestWish::Prefer;
    bool initial_r2t = false;
    bool immediate_data = true;
    std::uint32_t max_recv_data_segment_bytes = 256 * 1024;
    std::uint32_t max_burst_bytes = 1024 * 1024;
    std::uint32_t first_burst_bytes = 256 * 1024;
    std::uint16_t max_outstanding_r2t = 4;  ///< 1 to kOutstandingR2tMax.
    std::uint16_t time2wait_s = 0;          ///< The larger of both sides' wishes holds.
    std::uint16_t time2retain_s = 20;
    bool data_pdu_in_order = true;
    bool data_sequence_in_order = true;
    std::uint16_t max_connections = 1;      ///< The engine sets it: EngineLimits::connections.
    std::uint8_t error_recovery_level = 0;  ///< Up to kErrorRecoveryLevelMax.
};

/// Every timer of a session. Defaults follow shipped initiators, see docs/recovery.md.
struct TimerConfig {
    Duration login = Duration::from_s(15);
    Duration logout = Duration::from_s(15);
    Duration nop_interval = Duration::from_s(5);  ///< Of silence from the target.
    Duration nop_timeout = Duration::from_s(5);
    Duration command = Duration::from_s(30);
    Duration flush = Duration::from_s(180);
    Duration abort_task = Duration::from_s(15);
    Duration lun_reset = Duration::from_s(30);
    Duration target_reset = Duration::from_s(30);
    Duration replacement =
        Duration::max();  ///< How long requests wait without a session; max: for ever.
    Duration reconnect_min = Duration::from_ms(50);
    Duration reconnect_max = Duration::from_s(5);
    Duration fence_wait =
        Duration::from_s(30);  ///< Shared units: how long old writes may linger at the target.
};

/// One session to one logical unit.
struct SessionConfig {
    FixedString<223> initiator_name;
    FixedString<255> initiator_alias;
    FixedString<223> target_name;
    FixedVector<Portal, 4> portals;       ///< At least one; tried in turn.
    std::uint16_t portal_group = 0xffff;  ///< From discovery; 0xffff: not known, not checked.
    Isid isid{};
    Lun lun{};
    std::uint32_t first_cmd_sn = 1;  ///< Where CmdSN starts in each session; any value is legal.
    AuthConfig auth;
    OperationalWish wish;
    TimerConfig timers;
    bool owns_unit_alone =
        true;  ///< Nobody else uses the unit: LOGICAL UNIT RESET may serve as the fence.
    /// Hold a persistent reservation, and fence by PREEMPT AND ABORT where the unit can.
    bool fence_by_reservation = false;
    bool read_only = false;  ///< Refuse writes ourselves, whatever the unit allows.
    /// An earlier process served the device and died: its writes may still be on their way, and
    /// its requests will come again. The first session is fenced too, and while the profile lets
    /// requests wait the engine does not give up.
    bool takes_over_device = false;
};

}  // namespace holdfast::initiator
