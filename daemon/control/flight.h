/// The flight recorder of one attachment as a capture file: each header as a packet of a TCP
/// connection made up around it, cut behind the header; each state and notice as a line of text on
/// a second interface. docs/operating.md tells how to look at it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "daemon/control/failure.h"
#include "daemon/shared/flight_reader.h"
#include "initiator/recorder.h"

namespace holdfast::daemon {

/// What stands around the records.
struct FlightScene {
    std::string attachment;
    std::string target;
    std::string portal_host;  ///< An address in text; another word becomes a placeholder.
    std::uint16_t portal_port = 3260;
    /// Wall clock minus the records' clock, to date them.
    Duration wall_offset{};
};

/// Everything that can be read, in order of time. Fails when a record cannot be one.
[[nodiscard]] OrFailure<std::vector<initiator::FlightRecord>> collect_flight(
    const FlightReader& reader);

/// A pcapng file. Records that are no PDU become text.
[[nodiscard]] std::string pcapng_of(const FlightScene& scene,
                                    const std::vector<initiator::FlightRecord>& records);

/// One state or notice in words.
[[nodiscard]] std::string sentence_of(const initiator::FlightRecord& record);

/// CLOCK_REALTIME minus CLOCK_MONOTONIC, now.
[[nodiscard]] Duration wall_offset_now() noexcept;

}  // namespace holdfast::daemon
