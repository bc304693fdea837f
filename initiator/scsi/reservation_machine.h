/// Puts the unit under a persistent reservation of ours, and fences by it: PREEMPT AND ABORT of the
/// keys that earlier sessions of ours left behind. SPC-4 sections 5.13, 6.15 and 6.16.
///
/// The keys of one attachment share their upper 48 bits (`family`); the lower 16 are another number
/// for each session. A session registers its key over an initiator port that no key of ours is
/// registered on, so that the old key keeps its nexus and PREEMPT AND ABORT ends what came over
/// that nexus. The reservation is Write Exclusive, Registrants Only: from then on the unit refuses
/// what still arrives over the old nexus, too. Who else is registered is left alone.
///
/// Order: REPORT CAPABILITIES, READ KEYS, READ RESERVATION, REGISTER, RESERVE, and PREEMPT AND
/// ABORT for each old key. To leave: REGISTER with the key 0.
///
/// Timers: none of its own, as in probe_machine.h. Limits: the keys that fit kProbeDataBytesMax,
/// kOldKeysMax of ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/scsi/cdb.h"
#include "initiator/scsi/probe_machine.h"
#include "initiator/scsi/verdict.h"
#include "initiator/session_config.h"

namespace holdfast::initiator::scsi {

/// A persistent reservation key; 0 is none.
using ReservationKey = Strong<struct ReservationKeyTag, std::uint64_t>;

/// The lower bits, which tell the sessions of one attachment apart.
inline constexpr std::uint64_t kSessionOfKeyMask = 0xffff;
/// The same attachment's?
[[nodiscard]] constexpr bool are_relatives(ReservationKey a, ReservationKey b) noexcept {
    return (a.raw() & ~kSessionOfKeyMask) == (b.raw() & ~kSessionOfKeyMask);
}
/// A key of the attachment that this initiator port belongs to. `number`: any but that of the key
/// before. FNV-1a over the name and the port's own bits; never 0.
[[nodiscard]] ReservationKey reservation_key(std::string_view initiator_name, Isid isid,
                                             std::uint16_t number) noexcept;

/// What is wanted.
struct ReservationWish {
    ReservationKey key{};   ///< Of this session; its number changes when it is in use already.
    ReservationKey last{};  ///< Of the session whose writes may be out; 0: not known.
    /// What is registered over our port was registered by this very process for a session that
    /// wrote nothing, or was fenced in another way: it may be replaced.
    bool may_replace = false;
    /// An earlier session of ours was reserved here. When somebody else is now, we were preempted.
    bool was_reserved = false;
};

enum class ReservationStep : std::uint8_t {
    Continue,     ///< Send next_command() now.
    Wait,         ///< Send next_command() after wait().
    Done,         ///< Reserved; has_ended_last() tells whether that is a fence.
    Unavailable,  ///< The unit cannot do it, or somebody else holds another kind of reservation.
    PortTaken,    ///< A key is registered over this initiator port; log in over another one.
    Preempted,    ///< Another host has taken our registration away: it wants us not to write.
    Violation,    ///< The answer breaks the protocol: drop the session.
};

class ReservationMachine {
public:
    static constexpr std::size_t kOldKeysMax = 16;

    ReservationMachine(Lun lun, const ReservationWish& wish) noexcept : lun_(lun), wish_(wish) {}
    /// Gives up what is registered with `key`; every answer but a passing one is Done.
    [[nodiscard]] static ReservationMachine leaving(Lun lun, ReservationKey key) noexcept;

    /// Legal until the end; the same command until on_result.
    [[nodiscard]] ProbeCommand next_command() const noexcept;
    /// Data-out of next_command(); none: it has none.
    [[nodiscard]] std::optional<ReserveOutList> data_out() const noexcept;
    [[nodiscard]] ReservationStep on_result(const CommandEnd& end,
                                            std::span<const std::byte> data_in) noexcept;
    [[nodiscard]] Duration wait() const noexcept { return wait_; }

    /// Of this session, as it was chosen.
    [[nodiscard]] ReservationKey key() const noexcept { return wish_.key; }
    /// Our key is registered over this port.
    [[nodiscard]] bool is_registered() const noexcept { return is_registered_; }
    /// PREEMPT AND ABORT of the last session's key was done: whatever it sent can no longer be
    /// executed. Where the last key is not known, of every key of ours that was there, and there
    /// was one.
    [[nodiscard]] bool has_ended_last() const noexcept { return has_ended_last_; }

private:
    enum class Stage : std::uint8_t {
        Capabilities,
        ReadKeys,
        ReadReservation,
        Register,
        Reserve,
        Preempt,
        Unregister,
        Ended,
    };
    // A key vanished, somebody reserved between two commands, or data was missing: so often from
    // the keys on again.
    static constexpr std::uint8_t kRestartsMax = 4;

    [[nodiscard]] ReserveOut register_action() const noexcept;
    ReservationStep on_failed(const Verdict& judged) noexcept;
    ReservationStep on_conflict() noexcept;
    ReservationStep read_again() noexcept;
    ReservationStep on_good(std::span<const std::byte> data) noexcept;
    ReservationStep on_capabilities(std::span<const std::byte> data) noexcept;
    ReservationStep on_keys(std::span<const std::byte> data) noexcept;
    void choose_key() noexcept;
    ReservationStep on_reservation(std::span<const std::byte> data) noexcept;
    ReservationStep on_preempted() noexcept;
    ReservationStep go_to(Stage stage) noexcept;
    ReservationStep end(ReservationStep how) noexcept;

    Lun lun_;
    ReservationWish wish_;
    Stage stage_ = Stage::Capabilities;
    std::uint8_t restarts_ = 0;
    bool is_registered_ = false;
    bool is_reserved_ = false;  // By whomever, so that registrants may write and others not.
    bool is_list_whole_ = true;
    bool has_ended_last_ = false;
    RetryCounts counts_{};
    FixedVector<ReservationKey, kOldKeysMax> old_keys_;  // Those to be preempted.
    Duration wait_{};
};

}  // namespace holdfast::initiator::scsi
