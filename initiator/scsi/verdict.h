/// What a finished command means for its request: done, again, later, or failed for good.
/// SAM-5 section 5.3 (status), SPC-4 section 4.5 (sense), RFC 7143
/// sections 11.4.2, 11.4.3, 11.4.7.2.
///
/// The rule behind the table (design, invariant 5): what can pass is waited for, and only the
/// profile's deadline, which the engine keeps, turns waiting into an error. An error goes up at
/// once only when the unit gave a final answer about this very command. What should pass soon but
/// does not (aborted command, hardware error) is tried kTransientRetriesMax times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.h"
#include "initiator/request.h"
#include "initiator/scsi/sense.h"

namespace holdfast::initiator::scsi {

/// SAM-5 table 41. Any other byte is a value we do not know, and legal to hold in this type.
enum class Status : std::uint8_t {
    Good = 0x00,
    CheckCondition = 0x02,
    ConditionMet = 0x04,
    Busy = 0x08,
    Intermediate = 0x10,
    IntermediateConditionMet = 0x14,
    ReservationConflict = 0x18,
    CommandTerminated = 0x22,
    TaskSetFull = 0x28,
    AcaActive = 0x30,
    TaskAborted = 0x40,
};

/// The residual bits of a response. RFC 7143 section 11.4.1.
enum class Residual : std::uint8_t { None, Underflow, Overflow };

/// A finished command as the wire told it. Borrows the data segment.
struct CommandEnd {
    std::uint8_t response = 0;  ///< RFC 7143 section 11.4.3; 0: completed at target.
    Status status = Status::Good;
    Residual residual = Residual::None;
    std::uint32_t residual_bytes = 0;           ///< Used only with a residual.
    std::span<const std::byte> data_segment{};  ///< Of the SCSI Response; sense stands in it.
};

/// How often a request is tried again when the unit gives a reason that should pass soon.
inline constexpr std::uint8_t kTransientRetriesMax = 8;
/// Answers in a row that ask for an immediate retry before we start to wait between them: a unit
/// that answers only unit attentions must not spin the loop.
inline constexpr std::uint16_t kImmediateRetriesMax = 16;

/// What to do with the request.
enum class Step : std::uint8_t {
    Done,              ///< The unit did it.
    RetryNow,          ///< Send it again as a new command with a new CmdSN.
    RetryAfter,        ///< The same, after backoff_delay(backoff, retries_done).
    ReprobeThenRetry,  ///< Read again what `reprobe` names, then RetryNow.
    Fail,              ///< `outcome` is final.
    Violation,         ///< The answer itself breaks the protocol: drop the session, retry there.
};

/// How patient to be; see backoff_delay.
enum class Backoff : std::uint8_t {
    Short,          ///< Something passing: 20 ms, doubling to 1 s.
    QueueFull,      ///< TASK SET FULL: 10 ms, doubling to 500 ms; the engine also lowers its depth.
    Busy,           ///< BUSY, ACA ACTIVE: 50 ms, doubling to 2 s.
    BecomingReady,  ///< NOT READY: 1 s.
    Transition,     ///< ALUA transition: 200 ms, doubling to 1 s.
    Standby,        ///< Port standby or unavailable, no medium: 2 s.
};

/// What has to be read again before the retry.
enum class Reprobe : std::uint8_t {
    Capacity,  ///< READ CAPACITY 16, and the limits that go with it.
    LunList,   ///< Is our LUN still there? REPORT LUNS, INQUIRY, and then everything.
    Identity,  ///< INQUIRY, VPD pages: is it still the same unit?
    Modes,     ///< Write protection, cache, FUA.
};

/// The judgement. `backoff`, `reprobe` and `outcome` mean something only with their step.
struct Verdict {
    Step step = Step::Done;
    Backoff backoff = Backoff::Short;
    Reprobe reprobe = Reprobe::Capacity;
    Outcome outcome = Outcome::Done;
    /// The unit says that it dropped commands without answering them (reset, commands cleared by
    /// another initiator): whatever else is outstanding there may never be answered.
    bool others_cleared = false;
    /// With Fail and Unsupported: the unit refuses what the CDB asked for beyond a plain read or
    /// write. Turn off what was used: FUA (write, then flush), the short or long SYNCHRONIZE CACHE,
    /// the UNMAP bit of WRITE SAME and only then WRITE SAME, or UNMAP.
    bool feature_refused = false;
    /// Deferred sense: a write that was acknowledged earlier is lost. Until a Flush has failed for
    /// it, nobody above knows.
    bool earlier_write_lost = false;
    /// The retry counts towards kTransientRetriesMax; see RetryCounts.
    bool is_transient_failure = false;
    SenseSummary sense{};  ///< All 0 without sense; for notices.

    constexpr bool operator==(const Verdict&) const noexcept = default;
};

/// How often one request was sent again. Two counts, because a unit may be busy for ever, but may
/// not abort for ever.
struct RetryCounts {
    std::uint16_t retries = 0;            ///< For any reason. Saturates.
    std::uint8_t transient_failures = 0;  ///< Saturates.

    /// Call once for each verdict that ends in a retry.
    constexpr void add(const Verdict& judged) noexcept {
        if (retries != UINT16_MAX) ++retries;
        if (judged.is_transient_failure && transient_failures != UINT8_MAX) ++transient_failures;
    }
    constexpr bool operator==(const RetryCounts&) const noexcept = default;
};

/// What the engine knows about the request that the command served.
struct CommandContext {
    RequestKind kind = RequestKind::Read;
    bool force_unit_access = false;  ///< The CDB carried FUA.
    bool is_logging_out = false;     ///< Between an async logout request and the new session.
    RetryCounts counts{};
};

/// Judges a finished command. Never asserts on what the target sent.
[[nodiscard]] Verdict verdict(const CommandEnd& end, const CommandContext& context) noexcept;

/// The part of verdict() that reads sense: status CHECK CONDITION with this sense.
[[nodiscard]] Verdict verdict_of_sense(const SenseSummary& sense,
                                       const CommandContext& context) noexcept;

/// How long to wait before retry number `retries_done` + 1. Pure; the caller adds jitter if it
/// wants.
[[nodiscard]] Duration backoff_delay(Backoff backoff, std::uint16_t retries_done) noexcept;

}  // namespace holdfast::initiator::scsi
