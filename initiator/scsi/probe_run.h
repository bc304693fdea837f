/// One probe of the unit with several of its commands out at once.
///
/// The first probe of a unit goes step by step, because each answer tells what may be asked next.
/// Later ones ask at once for all that the last one needed: after a lost session requests wait for
/// them, and a target that is slow to answer one command is not slower to answer twelve.
///
/// Rule: answers come in any order and are judged by the ProbeMachine in its own. An answer that
/// does not move it on (unit attention, busy, not ready, a list that was cut) makes void what was
/// asked ahead, because those answers may be older than what it tells; they are asked for again.
/// After an answer that asks for patience one command goes out alone.
///
/// Timers: none. Limits: one command for each place, kAheadBytesMax of data and kSenseBytesMax of
/// sense for each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "initiator/scsi/probe_machine.h"

namespace holdfast::initiator::scsi {

class ProbeRun {
public:
    static constexpr std::uint8_t kPlaces = ProbeMachine::kPlaces;
    /// Data-in of every place but the first, whose list of units is longer.
    static constexpr std::size_t kAheadBytesMax = 1024;
    /// Of a response's data segment: SenseLength and the longest sense there is, 252 bytes.
    static constexpr std::size_t kSenseBytesMax = 256;
    static constexpr std::size_t kAnswersBytes =
        kProbeDataBytesMax + (kPlaces - 1U) * kAheadBytesMax + kPlaces * kSenseBytesMax;

    /// Borrows `answers`, kAnswersBytes of them.
    ProbeRun(Lun lun, std::span<std::byte> answers) noexcept;

    /// Begins anew; nothing of an earlier run may still be out. `may_ask_ahead`: where an earlier
    /// one came to its end.
    void begin(bool may_ask_ahead) noexcept;

    /// The place of a command that is to go out now, given once; none: wait for answers, or for the
    /// time of machine().wait() to pass.
    [[nodiscard]] std::optional<std::uint8_t> next_place() noexcept;
    /// What goes out there, and where its data belongs.
    [[nodiscard]] ProbeCommand command(std::uint8_t place) const noexcept;
    [[nodiscard]] std::span<std::byte> answer_space(std::uint8_t place) const noexcept;

    /// The command at `place` ended; the first `got_bytes` of its answer_space() are its data.
    /// Continue: ask next_place(). Ready comes only when nothing is out any more.
    [[nodiscard]] ProbeStep on_result(std::uint8_t place, const CommandEnd& end,
                                      std::size_t got_bytes) noexcept;
    /// The time of machine().wait() has passed.
    void on_waited() noexcept { is_waiting_ = false; }

    [[nodiscard]] const ProbeMachine& machine() const noexcept { return machine_; }

private:
    enum class State : std::uint8_t {
        Idle,      ///< Not asked, or judged.
        Out,       ///< The answer will count.
        Void,      ///< Out, and the answer will not count.
        Answered,  ///< Waits for its turn.
    };
    struct Place {
        State state = State::Idle;
        CommandEnd end{};  ///< Its data segment is in sense_space().
        std::size_t data_bytes = 0;
    };

    [[nodiscard]] std::span<std::byte> sense_space(std::uint8_t place) const noexcept;
    [[nodiscard]] bool is_over() const noexcept { return machine_.place() >= kPlaces; }
    [[nodiscard]] bool is_any_out() const noexcept;
    void keep(std::uint8_t place, const CommandEnd& end, std::size_t got_bytes) noexcept;
    [[nodiscard]] ProbeStep judge(const CommandEnd& end, std::span<const std::byte> data) noexcept;
    [[nodiscard]] ProbeStep judge_kept() noexcept;
    void forget_ahead() noexcept;

    Lun lun_;
    std::span<std::byte> answers_;
    ProbeMachine machine_;
    std::array<Place, kPlaces> places_{};
    std::uint32_t needed_ = 0;  ///< By the last run that came to its end: a bit for each place.
    std::uint32_t ahead_ = 0;   ///< Of those, what this run may ask for ahead.
    bool is_waiting_ = false;
    bool is_alone_ = false;  ///< The unit asked for patience and has not moved the probe on since.
};

}  // namespace holdfast::initiator::scsi
