/// Finds out what the logical unit is, one command at a time. SPC-4, SBC-3.
///
/// Order: REPORT LUNS, INQUIRY, TEST UNIT READY, VPD 00h and of 80h 83h B0h B1h B2h those listed,
/// READ CAPACITY 16, MODE SENSE, where nothing else told it whether WRITE SAME 16 is known, and
/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
/// Only INQUIRY, TEST UNIT READY and READ CAPACITY 16 are needed; what else a unit refuses is left
/// out. Unit attentions are taken and the command repeated; a unit that is not ready is waited for.
///
/// Timers: none of its own. Wait says how long; the caller keeps the deadline of the whole probe
/// and reports ProbeError::NotReady when it passes. Limits: kProbeDataBytesMax of data-in for each
/// command; retries as in verdict.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/device_facts.h"
#include "initiator/notice.h"
#include "initiator/scsi/capacity.h"
#include "initiator/scsi/cdb.h"
#include "initiator/scsi/inquiry.h"
#include "initiator/scsi/verdict.h"
#include "initiator/session_config.h"

namespace holdfast::initiator::scsi {

/// The largest data-in that a probe command asks for: size the buffer with it.
inline constexpr std::uint32_t kProbeDataBytesMax = 4096;

/// What to send next. Send it as a simple task; R is set when data_in_bytes is not 0.
struct ProbeCommand {
    Cdb cdb{};
    Lun lun{};                        ///< LUN 0 for REPORT LUNS, else the unit itself.
    std::uint32_t data_in_bytes = 0;  ///< Expected data transfer length.
};

enum class ProbeStep : std::uint8_t {
    Continue,   ///< Send next_command() now.
    Wait,       ///< Send next_command() after wait().
    Ready,      ///< facts() are complete.
    Failed,     ///< error() says why.
    Violation,  ///< The answer breaks the protocol: drop the session.
};

class ProbeMachine {
public:
    /// Commands have places in the order of the probe, 0 .. kPlaces - 1.
    static constexpr std::uint8_t kPlaces = 15;

    explicit ProbeMachine(Lun lun) noexcept : lun_(lun) {}

    /// Legal until Ready or Failed; the same command until on_result.
    [[nodiscard]] ProbeCommand next_command() const noexcept {
        HF_ASSERT(stage_ != Stage::Ready && stage_ != Stage::Failed);
        return command_of(stage_);
    }
    /// Of the next command; kPlaces once Ready, more once Failed.
    [[nodiscard]] std::uint8_t place() const noexcept { return static_cast<std::uint8_t>(stage_); }
    /// What stands at a place below kPlaces, whether this unit needs it or not.
    [[nodiscard]] ProbeCommand command_at(std::uint8_t place) const noexcept {
        HF_ASSERT(place < kPlaces);
        return command_of(static_cast<Stage>(place));
    }
    /// The places whose commands were answered since the probe began or began again, a bit each.
    [[nodiscard]] std::uint32_t answered() const noexcept { return answered_; }

    /// The command ended. `data_in` are the bytes that really arrived, at most data_in_bytes.
    [[nodiscard]] ProbeStep on_result(const CommandEnd& end,
                                      std::span<const std::byte> data_in) noexcept;

    [[nodiscard]] const DeviceFacts& facts() const noexcept { return facts_; }
    [[nodiscard]] Duration wait() const noexcept { return wait_; }
    [[nodiscard]] ProbeError error() const noexcept { return error_; }
    /// Sense of the last answer that had some, for notices; all 0 if none.
    [[nodiscard]] const SenseSummary& last_sense() const noexcept { return last_sense_; }

private:
    static constexpr std::uint32_t kLunListBytesFirst = 512;  // 63 units.
    static constexpr std::size_t kPagesWanted = 5;
    // Unit attentions that report a change start the probe over; a unit that never stops changing
    // is taken as it is after this many.
    static constexpr std::uint8_t kRestartsMax = 8;

    enum class Stage : std::uint8_t {
        ReportLuns,
        Inquiry,
        TestUnitReady,
        SupportedPages,
        SerialNumber,
        Identification,
        BlockLimits,
        Characteristics,
        Provisioning,
        ReadCapacity,
        ModeSense6,
        ModeSense10,
        ModeSenseAll,
        WriteSameKnown,
        TaskFunctions,
        Ready,
        Failed,
    };

    /// What REPORT LUNS said about our LUN.
    enum class Listed : std::uint8_t { Unknown, Yes, No };

    static_assert(static_cast<std::uint8_t>(Stage::Ready) == kPlaces);

    [[nodiscard]] ProbeCommand command_of(Stage stage) const noexcept;
    [[nodiscard]] static Stage after(Stage stage) noexcept;
    [[nodiscard]] static std::optional<VpdPage> page_of(Stage stage) noexcept;
    [[nodiscard]] static bool is_needed(Stage stage) noexcept;
    ProbeStep on_failed(const Verdict& judged) noexcept;
    ProbeStep on_changed(const Verdict& judged) noexcept;
    ProbeStep on_data(std::span<const std::byte> data) noexcept;
    ProbeStep on_lun_list(std::span<const std::byte> data) noexcept;
    ProbeStep on_inquiry(std::span<const std::byte> data) noexcept;
    ProbeStep on_page(std::span<const std::byte> data) noexcept;
    ProbeStep on_capacity(std::span<const std::byte> data) noexcept;
    ProbeStep on_modes(std::span<const std::byte> data) noexcept;
    ProbeStep wait_for(Backoff backoff) noexcept;
    ProbeStep go_on() noexcept;
    ProbeStep fail(ProbeError error) noexcept;
    void restart() noexcept;
    [[nodiscard]] bool is_wanted(Stage stage) const noexcept;
    void conclude() noexcept;

    Lun lun_;
    Stage stage_ = Stage::ReportLuns;
    std::uint32_t lun_list_bytes_ = kLunListBytesFirst;
    std::uint8_t restarts_ = 0;
    std::uint32_t answered_ = 0;
    RetryCounts counts_{};
    // What is known so far, beside facts_.
    Listed listed_ = Listed::Unknown;
    FixedVector<VpdPage, kPagesWanted> pages_;
    std::optional<Provisioning> provisioning_{};
    std::optional<Modes> modes_{};
    bool thin_ = false;
    DeviceFacts facts_{};
    Duration wait_{};
    ProbeError error_ = ProbeError::MalformedAnswer;
    SenseSummary last_sense_{};
};

/// How two probes of what should be one unit compare. Conformance SER-08.
enum class SameUnit : std::uint8_t {
    Same,     ///< Nothing that matters changed.
    Changed,  ///< The same unit; capacity or limits differ.
    Other,    ///< Another unit, or another block size: no I/O may go there.
};
[[nodiscard]] SameUnit compare_units(const DeviceFacts& before, const DeviceFacts& now) noexcept;

}  // namespace holdfast::initiator::scsi
