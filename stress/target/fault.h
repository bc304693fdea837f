/// Scripted faults: when they strike and what they do.
/// A rule with a counter or a chance strikes on the PDU that makes it true. A rule with a time
/// either acts at that time (reset, power-cut and their like), or waits from then on for the next
/// PDU that fits (busy, delay and their like).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace holdfast::target {

/// Which PDUs a rule looks at.
enum class FaultOp : std::uint8_t {
    Any,
    Command,
    Read,
    Write,
    Flush,
    Unmap,
    DataOut,
    Login,
    Nop,
    Text,
    TaskManagement,
    Logout,
};

enum class FaultKind : std::uint8_t {
    Delay,
    Drop,
    DropReply,
    Reset,
    Close,
    CloseAtByte,
    CorruptHeaderDigest,
    CorruptDataDigest,
    CorruptData,
    LosePdu,
    Busy,
    TaskSetFull,
    ReservationConflict,
    UnitAttention,
    Check,
    Reject,
    AsyncLogout,
    AsyncDrop,
    AsyncDropAll,
    AsyncNegotiate,
    AsyncSense,
    AsyncVendor,
    Redirect,
    HoldWrite,
    StopAnswering,
    PowerCut,
    Garbage,
    Resize,
    Ping,
};

struct FaultAction {
    FaultKind kind = FaultKind::Reset;
    Duration duration{};
    /// A byte count, a byte position, seconds, a reason code, a size or a LUN: see the help text.
    std::uint64_t number = 0;
    std::uint16_t lun = 0;
    std::uint8_t sense_key = 0;
    std::uint8_t asc = 0;
    std::uint8_t ascq = 0;
    /// power-cut: only a random half of the unflushed blocks is lost. redirect: permanent.
    bool variant = false;
    std::string text{};
    /// Only this connection, where the action is about connections.
    std::optional<std::uint64_t> connection{};
};

struct FaultRule {
    enum class When : std::uint8_t {
        At,
        Every,
        AfterPdus,
        EveryPdus,
        Command,
        EveryCommands,
        Chance,
        Now
    };
    When when = When::Now;
    Duration time{};
    std::uint64_t count = 0;
    double chance = 0.0;
    std::uint64_t seed = 1;
    FaultOp op = FaultOp::Any;
    std::optional<std::uint64_t> connection{};
    std::optional<std::uint16_t> lun{};
    /// Strikes at most this often; zero: no limit, or once where the trigger can be true only once.
    std::uint64_t times = 0;
    FaultAction action{};
    /// As it was written.
    std::string text{};
};

/// Reads 'WHEN... ACTION...'. The error is a sentence for the person who wrote it.
[[nodiscard]] std::expected<FaultRule, std::string> parse_fault(std::string_view text);
[[nodiscard]] std::string_view fault_name(FaultKind kind);
/// True for actions that need no PDU to act on.
[[nodiscard]] bool acts_at_once(FaultKind kind);

/// True for rules that strike at their time, without waiting for a PDU that fits.
[[nodiscard]] bool strikes_without_pdu(const FaultRule& rule);

/// What a rule may look at when a PDU has arrived.
struct PduFacts {
    std::uint64_t connection = 0;
    FaultOp op = FaultOp::Any;
    /// A SCSI command of any kind.
    bool is_command = false;
    /// A PDU that belongs to the full feature phase.
    bool is_full_feature = false;
    std::uint16_t lun = 0;
};

/// The rules of a run, and how often each has struck.
class FaultPlan {
public:
    /// `now` is the zero of at= and every=.
    void add(FaultRule rule, Instant now);
    void clear() { rules_.clear(); }
    [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }

    /// Rules that strike on this PDU. Counts it.
    [[nodiscard]] std::vector<FaultAction> on_pdu(const PduFacts& facts);
    /// Rules whose time has come and that need no PDU.
    [[nodiscard]] std::vector<FaultAction> on_time(Instant now);
    [[nodiscard]] Instant next_wake() const;

private:
    struct Armed {
        FaultRule rule{};
        Instant due = Instant::never();
        /// Time rules that wait for a PDU.
        bool waits = false;
        std::uint64_t seen = 0;
        std::uint64_t struck = 0;
        SplitMix64 random{0};
    };
    [[nodiscard]] static bool fits(const FaultRule& rule, const PduFacts& facts);
    [[nodiscard]] static bool strikes(Armed& armed, const PduFacts& facts);
    [[nodiscard]] static bool exhausted(const Armed& armed);

    std::vector<Armed> rules_;
};

}  // namespace holdfast::target
