/// What the target is told to be. Plain data; filled by the command line or by a simulation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::target {

struct LunConfig {
    std::uint16_t id = 0;
    std::uint64_t size_bytes = 1ULL << 30;
    std::uint32_t block_bytes = 512;
    /// Volatile write cache: unflushed writes are lost by a power cut.
    bool cache = false;
    bool read_only = false;
    /// Advertise UNMAP and WRITE SAME with UNMAP.
    bool thin = false;
    /// Memory comes from this file, mapped shared, so that it outlives the process. Empty:
    /// anonymous.
    std::string file{};
    std::string serial{};
};

/// One name and secret of CHAP.
struct Account {
    std::string name;
    std::string secret;
};

/// Which digest values are acceptable in login.
enum class DigestPolicy : std::uint8_t { NoneOnly, Either, Required };

/// The target's side of the negotiation. RFC 7143 section 13.
struct OperationalPolicy {
    DigestPolicy header_digest = DigestPolicy::Either;
    DigestPolicy data_digest = DigestPolicy::Either;
    /// Zero: not declared, so that the default of 8192 holds.
    std::uint32_t max_recv_data_segment_bytes = 262'144;
    std::uint32_t max_burst_bytes = 1'048'576;
    std::uint32_t first_burst_bytes = 262'144;
    std::uint32_t max_outstanding_r2t = 8;
    std::uint32_t max_connections = 1;
    std::uint32_t time2wait_s = 2;
    std::uint32_t time2retain_s = 0;
    /// From 1 on lost PDUs are sent again; with 2 the commands of a lost connection are kept for
    /// Time2Retain.
    std::uint32_t recovery_level = 0;
    bool initial_r2t = false;
    bool immediate_data = true;
    bool data_pdu_in_order = true;
    bool data_sequence_in_order = true;
    /// Sent as they are in the first operational answer, which then does not transit: KEY=VALUE.
    std::vector<std::string> proposals;
};

struct AuthPolicy {
    /// Empty: no authentication is asked for.
    std::vector<Account> initiators;
    /// What the target proves itself with when the initiator asks. An empty name: cannot.
    Account mutual;
    /// CHAP_A numbers that are accepted. RFC 7143 section 12.1.3.
    std::vector<int> algorithms{5, 6, 7, 8};
    bool discovery_too = true;
};

enum class Reinstatement : std::uint8_t {
    Proper,   // RFC 7143 section 6.3.5: the old session ends before the new one starts.
    TgtLike,  // The old session lives on and still executes what arrives on it.
};

struct TargetConfig {
    std::vector<std::string> names{"iqn.2026-01.net.holdfast:ram"};
    std::vector<LunConfig> luns{LunConfig{}};
    OperationalPolicy operational;
    AuthPolicy auth;
    Reinstatement reinstatement = Reinstatement::Proper;
    /// More TargetAddress values for SendTargets, as host:port,tag.
    std::vector<std::string> portals;
    /// SendTargets also lists this many made-up targets.
    std::uint32_t decoy_targets = 0;
    /// Every login is answered with a redirect to this address. Empty: none.
    std::string redirect;
    bool redirect_permanent = false;
    /// UNIT ATTENTION 29/00 on each new session.
    bool unit_attention_on_login = true;
    /// Status of a good read rides in its last Data-In.
    bool status_in_data = true;
    /// Commands that may be outstanding: the CmdSN window.
    std::uint32_t queue_depth = 128;
    /// The longest R2T; zero: MaxBurstLength.
    std::uint32_t r2t_bytes = 0;
    /// Data-In PDUs, sequences and R2Ts come in random order where the negotiation allows it.
    bool shuffle = false;
    /// StatSN of the first answer of each connection.
    std::uint32_t first_stat_sn = 1;
    /// The target pings an idle connection this often; zero: never.
    std::uint32_t ping_interval_ms = 0;
    std::uint64_t seed = 1;
    /// Collect lines about what happens, for Target::take_notes().
    bool take_notes = false;
};

}  // namespace holdfast::target
