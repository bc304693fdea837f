/// How a connection that was lost alone comes back, and its commands with it, at error recovery
/// level 2. RFC 7143 sections 6.3.4, 7.1.4.3, 7.2 and 7.5.
///
/// Plain data, one for each connection; Session decides (reinstate.cc, reassign.cc). Timers: at and
/// retain_until, ours alone; answer_by, which judges the target and is lenient.
#pragma once

#include <cstdint>

#include "base/assert.h"
#include "base/time.h"
#include "initiator/pdu/types.h"

namespace holdfast::initiator {

/// A connection that could not be added is tried again after this.
inline constexpr Duration kAddAgain = Duration::from_s(10);

/// The level at which a connection is not the session.
inline constexpr std::uint8_t kLevelOfConnections = 2;

/// How far a lost connection is.
enum class Comeback : std::uint8_t {
    None,        ///< It is there, or belongs to nobody.
    Leaving,     ///< Its transport still borrows.
    Waiting,     ///< For Time2Wait, or between two tries.
    LoggingIn,   ///< Connection reinstatement: the same ISID, TSIH and CID.
    LogoutDue,   ///< Not taken back: its Logout "for recovery" waits for room on `helper`.
    LoggingOut,  ///< That one is out.
};

struct Reinstatement {
    Comeback step = Comeback::None;
    bool is_refused = false;    ///< The target will not take it back, however often it is asked.
    std::uint8_t tries = 0;     ///< Logins that failed.
    std::uint8_t helper = 0;    ///< The connection that carries its logout and takes its commands.
    StatSn expected_stat_sn{};  ///< Of the transport that was lost.
    Itt logout_itt{};
    Duration wait{};  ///< From the end of the transport to the next login.

    /// Commands whose allegiance is lost and is to be moved to this connection. Those of a lost
    /// connection stand here until somebody else takes them over.
    std::uint16_t unsettled = 0;
    std::uint16_t asked = 0;  ///< TASK REASSIGNs that are out on this connection.

    Instant at = Instant::never();            ///< Waiting: login. Else: reassignments again.
    Instant retain_until = Instant::never();  ///< The target forgets the commands then.
    Instant answer_by = Instant::never();     ///< To the logout, or to a TASK REASSIGN.

    /// One TASK REASSIGN fewer is out; those that are left must be answered by `next_by`.
    void end_asked(Instant next_by) noexcept {
        HF_ASSERT(asked > 0);
        --asked;
        answer_by = asked == 0 ? Instant::never() : next_by;
    }
};

}  // namespace holdfast::initiator
