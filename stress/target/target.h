/// The whole target, apart from sockets and clock: bytes in, bytes out, time handed in. The socket
/// loop drives it, and so can a simulation.
/// Timers: at=/every= faults, delayed and held commands, pings of idle connections (next_wake()).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "stress/target/fault.h"
#include "stress/target/services.h"
#include "stress/target/session.h"

namespace holdfast::target {

/// What the owner of the socket is to do once tx is drained.
enum class LinkWish : std::uint8_t { Keep, Close, Reset };

class Target {
public:
    /// One Storage per configured LUN, in their order.
    Target(TargetConfig config, std::vector<Storage> storages, Instant now);
    ~Target();
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;

    /// A new connection. `local_address`: host:port as SendTargets will show it.
    [[nodiscard]] LinkId accept(Instant now, std::string local_address);
    /// Where the next received bytes go. Empty: the connection sends too little of what it asked
    /// for; do not read until tx has drained.
    [[nodiscard]] std::span<std::byte> rx_space(LinkId id);
    [[nodiscard]] bool wants_rx(LinkId id) const;
    void rx_filled(LinkId id, std::size_t count, Instant now);
    /// Copies, for callers without a buffer of their own.
    void receive(LinkId id, Bytes bytes, Instant now);
    [[nodiscard]] std::size_t tx_gather(LinkId id, std::span<Bytes> out) const;
    /// Something waits that may be sent now.
    [[nodiscard]] bool tx_pending(LinkId id) const;
    void tx_sent(LinkId id, std::size_t count);
    [[nodiscard]] LinkWish wish(LinkId id) const;
    /// The connection is gone, whoever ended it.
    void lost(LinkId id, Instant now);

    [[nodiscard]] Instant next_wake() const;
    void wake(Instant now);
    /// Connections that got something to send, or a wish, without having received anything.
    [[nodiscard]] std::vector<LinkId> take_touched();
    [[nodiscard]] std::vector<std::string> take_notes() {
        return std::exchange(services_.notes, {});
    }

    void add_fault(FaultRule rule, Instant now);
    void clear_faults() { plan_.clear(); }
    [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
    [[nodiscard]] const TargetConfig& config() const noexcept { return config_; }
    [[nodiscard]] Units& units() noexcept { return units_; }
    [[nodiscard]] const Sessions& sessions() const noexcept { return sessions_; }
    /// True while a power cut keeps the target dark: connections are to be reset at once.
    [[nodiscard]] bool is_dark(Instant now) const { return now < dark_until_; }

private:
    void pump(Link& link);
    void on_pdu(Link& link, const Pdu& pdu);
    void handle(Link& link, const Pdu& pdu, const PduFaults& faults);
    void on_login(Link& link, const Pdu& pdu);
    void send_login_answer(Link& link, const Pdu& pdu, const LoginAnswer& answer);
    [[nodiscard]] LoginStatus join_session(Link& link, HeaderView header);
    [[nodiscard]] LoginStatus open_session(Link& link, std::uint32_t first_cmd_sn);
    void reinstate(const Session& fresh);
    void end_session(SessionId id);
    [[nodiscard]] Session* session_of(const Link& link);

    [[nodiscard]] static PduFacts facts_of(const Link& link, const Pdu& pdu);
    /// False: the PDU is swallowed, or already dealt with.
    [[nodiscard]] bool apply_faults(Link& link, const Pdu& pdu, PduFaults& faults);
    [[nodiscard]] bool apply_to_pdu(const FaultAction& fault, Link& link, const Pdu& pdu,
                                    PduFaults& faults);
    void count_fault(const FaultAction& fault);
    void apply_at_once(const FaultAction& fault, Link* only);
    void apply_to_link(const FaultAction& fault, Link& link);
    void apply_to_session(const FaultAction& fault, Link& link, Session& session);
    void power_cut(const FaultAction& fault);
    void resize(const FaultAction& fault);
    void run_later(const LaterItem& item);
    void ping_idle_links();
    void touch(LinkId id) { touched_.push_back(id); }

    TargetConfig config_;
    Counters counters_;
    SplitMix64 random_;
    Units units_;
    Links links_;
    Sessions sessions_;
    Later later_;
    FaultPlan plan_;
    Services services_;
    std::vector<LinkId> touched_;
    LinkId next_link_ = 1;
    SessionId next_session_ = 1;
    std::uint16_t next_tsih_ = 1;
    Instant dark_until_;
    Instant mute_until_;
    Redirect redirect_once_;
};

}  // namespace holdfast::target
