/// What a login agreed. RFC 7143 section 13.
#pragma once

#include <cstdint>
#include <optional>

#include "base/fixed_vector.h"
#include "initiator/pdu/length.h"

namespace holdfast::initiator {

/// Operational parameters as they stand after login; without login, the defaults of section 13.
/// Lengths in bytes, times in seconds.
struct NegotiatedParameters {
    // Of the connection.
    bool header_digest = false;
    bool data_digest = false;
    std::uint32_t max_recv_ours_bytes = 8192;    ///< We take data segments up to this.
    std::uint32_t max_recv_theirs_bytes = 8192;  ///< The target takes data segments up to this.

    // Of the session. A login that adds a connection hands back what the session had.
    bool initial_r2t = true;
    bool immediate_data = true;
    std::uint32_t max_burst_bytes = 262144;
    std::uint32_t first_burst_bytes = 65536;  ///< At most max_burst_bytes.
    std::uint16_t max_outstanding_r2t = 1;
    std::uint16_t time2wait_s = 2;
    std::uint16_t time2retain_s = 20;
    bool data_pdu_in_order = true;
    bool data_sequence_in_order = true;
    std::uint8_t error_recovery_level = 0;
    std::uint16_t max_connections = 1;
    std::uint8_t protocol_level = 1;  ///< RFC 7144 features only from 2 on; we never offer 2.

    std::optional<std::uint16_t> target_portal_group{};  ///< 0 is legal. Section 13.9.
    FixedString<255> target_alias{};  ///< For display: control characters were replaced.

    [[nodiscard]] DigestsInUse digests() const noexcept { return {header_digest, data_digest}; }
};

}  // namespace holdfast::initiator
