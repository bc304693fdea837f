/// One connection as the protocol sees it: bytes in, PDUs out. RFC 7143 section 4.2.2.2 for StatSN.
/// Owns framing, digests, padding and the faults that strike outgoing PDUs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "stress/target/counters.h"
#include "stress/target/fault.h"
#include "stress/target/login.h"
#include "stress/target/rx_buffer.h"
#include "stress/target/sent_store.h"
#include "stress/target/tx_queue.h"

namespace holdfast::target {

using LinkId = std::uint64_t;
using SessionId = std::uint64_t;
inline constexpr SessionId kNoSession = 0;

enum class LinkState : std::uint8_t {
    Open,
    ClosingAfterFlush,  // FIN once everything is sent
    Resetting,          // RST now; nothing is sent any more
};

/// A PDU kept for later.
struct StoredPdu {
    Header header{};
    std::vector<std::byte> data{};
    bool data_intact = true;
    [[nodiscard]] static StoredPdu copy_of(const Pdu& pdu);
    [[nodiscard]] Pdu view() const {
        return Pdu{.header = HeaderView{header}, .data = data, .data_intact = data_intact};
    }
};

/// Where the data of an outgoing PDU comes from.
enum class DataSource : std::uint8_t { Copied, Disk };

class Link {
public:
    Link(LinkId id, const TargetConfig& config, std::string local_address, Counters& counters);

    /// Completes header (length) and queues it with its data; digests as negotiated.
    void send(Header& header, Bytes data, DataSource source = DataSource::Copied);
    /// Puts bytes that are no PDU onto the wire.
    void send_raw(Bytes bytes) { tx.append(bytes); }
    /// Writes the next StatSN, and counts it when `advance`.
    void put_stat_sn(Header& header, bool advance);
    /// A fault for the next outgoing PDU that it fits.
    void arm(const FaultAction& fault) { armed_.push_back(fault); }
    void close_after_flush() {
        if (state == LinkState::Open) state = LinkState::ClosingAfterFlush;
    }
    void reset() {
        state = LinkState::Resetting;
        tx.clear();
    }
    /// True while the target plays dead on this connection.
    [[nodiscard]] bool is_mute(Instant now) const { return now < mute_until; }

    LinkId id;
    std::string local_address;
    RxBuffer rx;
    TxQueue tx;
    /// From recovery level 1 on.
    SentStore sent;
    LinkState state = LinkState::Open;
    LinkParams params;
    std::unique_ptr<Login> login;
    SessionId session = kNoSession;
    std::uint16_t cid = 0;
    bool full_feature = false;
    bool keeps_sent = false;
    std::uint64_t sent_again = 0;  ///< PDUs; those of a SNACK.
    bool logout_wanted = false;
    std::uint32_t stat_sn;
    Instant mute_until;
    /// The mute_until whose end has been acted on.
    Instant mute_seen;
    Instant last_heard;
    bool ping_outstanding = false;
    /// Text that did not fit the last Text Response, and what a C=1 request began.
    std::string text_left;
    std::string text_begun;

private:
    struct Spoil {
        bool header_digest = false;
        bool data_digest = false;
        bool data = false;
        bool whole = false;  // Numbered and kept, and not sent.
        std::optional<std::uint64_t> cut_at;
    };
    [[nodiscard]] Spoil take_spoil(Bytes data);
    void send_data(Bytes data, DataSource source, const Spoil& spoil);

    std::vector<FaultAction> armed_;
    Counters& counters_;
};

}  // namespace holdfast::target
