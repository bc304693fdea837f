/// The target's answers to operational keys, and what they add up to. RFC 7143 section 13.
#pragma once

#include <cstdint>
#include <string_view>

#include "stress/target/config.h"
#include "stress/target/rx_buffer.h"
#include "stress/target/text.h"

namespace holdfast::target {

/// What holds in a session once its login is done; before that, the defaults of section 13.
struct SessionParams {
    std::uint32_t max_burst_bytes = 262'144;
    std::uint32_t first_burst_bytes = 65'536;
    std::uint32_t max_outstanding_r2t = 1;
    std::uint32_t max_connections = 1;
    std::uint32_t time2wait_s = 2;
    std::uint32_t time2retain_s = 20;
    std::uint32_t recovery_level = 0;
    bool initial_r2t = true;
    bool immediate_data = true;
    bool data_pdu_in_order = true;
    bool data_sequence_in_order = true;
};

/// What holds on one connection.
struct LinkParams {
    DigestUse digests;
    /// The longest data segment that the initiator takes.
    std::uint32_t peer_max_recv_bytes = 8192;
};

/// Answers one proposal at a time, and keeps what was agreed.
class Negotiation {
public:
    Negotiation(const OperationalPolicy& policy, bool discovery)
        : policy_(policy), discovery_(discovery) {}

    /// Appends the answer to one key of the initiator, if the key wants one.
    void answer(const KeyValue& offer, TextWriter& out);

    [[nodiscard]] const SessionParams& session() const noexcept { return session_; }
    [[nodiscard]] const LinkParams& link() const noexcept { return link_; }

private:
    bool answer_number(const KeyValue& offer, TextWriter& out);
    bool answer_boolean(const KeyValue& offer, TextWriter& out);
    void answer_digest(const KeyValue& offer, DigestPolicy policy, bool& active, TextWriter& out);

    const OperationalPolicy& policy_;
    bool discovery_;
    SessionParams session_;
    LinkParams link_;
};

}  // namespace holdfast::target
