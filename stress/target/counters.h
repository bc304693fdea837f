/// What the target counted. Everything that happens shows up here, so that a test can ask.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace holdfast::target {

struct Counters {
    std::uint64_t connections = 0;
    std::uint64_t connections_lost = 0;
    std::uint64_t logins = 0;
    std::uint64_t logins_refused = 0;
    std::uint64_t sessions_reinstated = 0;
    std::uint64_t connections_reinstated = 0;
    std::uint64_t recovery_logouts = 0;
    std::uint64_t tasks_reassigned = 0;
    std::uint64_t tasks_forgotten = 0;
    std::uint64_t snacks = 0;
    std::uint64_t snacks_refused = 0;
    std::uint64_t pdus_sent_again = 0;
    std::uint64_t tasks_preempted = 0;
    std::uint64_t logouts = 0;
    std::uint64_t pdus_received = 0;
    std::uint64_t pdus_sent = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
    std::uint64_t commands = 0;
    std::uint64_t fua_writes = 0;
    std::uint64_t r2ts = 0;
    std::uint64_t unsolicited_bytes = 0;
    std::uint64_t task_management = 0;
    std::uint64_t tasks_aborted = 0;
    std::uint64_t digest_errors = 0;
    std::uint64_t stray_data_out = 0;
    std::uint64_t pings_answered = 0;
    std::uint64_t power_cuts = 0;
    std::uint64_t blocks_lost = 0;
    std::uint64_t late_writes = 0;
    std::uint64_t late_writes_cancelled = 0;
    /// By SCSI operation code, and by iSCSI opcode of the PDUs received.
    std::array<std::uint64_t, 256> scsi{};
    std::array<std::uint64_t, 64> received{};
    /// What an initiator did against RFC 7143, by sentence.
    std::map<std::string, std::uint64_t> violations;
    /// Faults that fired, by the name of their action.
    std::map<std::string, std::uint64_t> faults;
};

}  // namespace holdfast::target
