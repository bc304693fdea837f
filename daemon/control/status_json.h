/// The facts of an attachment as JSON, as metrics, and as the properties that udev rules use.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "daemon/control/wire.h"
#include "daemon/shared/status_block.h"

namespace holdfast::daemon {

/// What control knows beside the facts.
struct StatusContext {
    Instant now;
    std::string_view state;  ///< See AttachmentState.
    std::uint64_t heartbeat = 0;
    std::uint64_t log_records_dropped = 0;
};

/// One attachment with everything; docs/operating.md describes the keys.
[[nodiscard]] Json status_json(const StatusFacts& facts, const StatusContext& context);

/// Count, mean, maximum and percentiles in microseconds.
[[nodiscard]] Json latency_json(const LatencyHistogram& histogram);

/// The text exposition format of Prometheus, version 0.0.4, for all attachments.
[[nodiscard]] std::string metrics_text(std::span<const StatusFacts> all);

/// KEY=value lines for IMPORT{program} of a udev rule: names for by-path, by-id and
/// /dev/holdfast. Only characters that udev allows in links.
[[nodiscard]] std::string udev_properties(const StatusFacts& facts);

/// "ip-ADDR:PORT-iscsi-IQN-lun-N", as path_id of systemd names SCSI disks of iSCSI.
[[nodiscard]] std::string by_path_name(const StatusFacts& facts);
/// "wwn-0x..." or "scsi-..." from the unit's designator or serial; empty when it has none.
[[nodiscard]] std::string by_id_name(const initiator::DeviceFacts& device);

}  // namespace holdfast::daemon
