/// One connection of a session: the parts that begin anew with each TCP connection.
/// RFC 7143 sections 4.2.1, 8.1 and 8.2.
///
/// A plain collection: the parts do not know each other, Session carries facts between them. What
/// all connections share (the command window, tasks, the negotiated parameters) is the session's.
///
/// Timers: add_at, ours alone; login_by, logout_by, and those of KeepAlive and Repair, which judge
/// the target and are lenient; those of Reinstatement.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/engine.h"
#include "initiator/login/login.h"
#include "initiator/session/conn_fsm.h"
#include "initiator/session/framer.h"
#include "initiator/session/keep_alive.h"
#include "initiator/session/out_queue.h"
#include "initiator/session/reinstate.h"
#include "initiator/session/repair.h"
#include "initiator/session/status_sequence.h"
#include "initiator/session/transmit_ring.h"

namespace holdfast::initiator {

/// A NOP-In that wants an answer: what goes back. Section 11.18.
struct NopAnswer {
    Ttt ttt{};
    Lun lun{};
};

struct alignas(reserve::kCarveUnitBytes) Connection {
    /// Largest segment that is taken in besides Data-In without cutting: what login and text may
    /// carry (RFC 7143 section 6.1), and more than any sense data.
    static constexpr std::size_t kControlBytes = 8192;

    static void add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept;
    Connection(reserve::Region& region, const EngineLimits& limits, ConnIndex number) noexcept;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() = default;

    /// A transport exists or is being made, and is wanted.
    [[nodiscard]] bool has_transport() const noexcept {
        return state != ConnState::Free && state != ConnState::CleanupWait;
    }
    /// After login: commands may be out.
    [[nodiscard]] bool is_full_feature() const noexcept {
        return state == ConnState::LoggedIn || state == ConnState::InLogout ||
               state == ConnState::LogoutRequested;
    }
    /// Bytes from the target mean something.
    [[nodiscard]] bool listens() const noexcept {
        return state == ConnState::InLogin || is_full_feature();
    }
    /// Receives a Data-In payload straight into the task of this slot.
    [[nodiscard]] bool receives_for(std::uint16_t slot) const noexcept { return receiving == slot; }

    /// A transport came up: everything is as before a login.
    void restart() noexcept;
    /// Disarms whatever judges the target: the connection is over.
    void disarm() noexcept;
    /// The transport holds nothing of ours any more.
    void on_transport_gone() noexcept;

    const ConnIndex index;
    OutQueue out_queue;
    std::uint32_t overtakes = 0;      ///< Reads in a row that went in front of older work.
    std::span<std::byte> control;     ///< Payload of PDUs that are not Data-In.
    std::span<std::byte> login_text;  ///< Of the login request that is out.
    Framer framer;
    TransmitRing ring;
    StatusSequence status;
    KeepAlive keep_alive;
    std::optional<LoginMachine> login;
    DigestsInUse digests{};
    std::uint32_t max_recv_theirs_bytes = 0;  ///< Data segments that the target takes.
    FixedQueue<NopAnswer, 32> nop_answers;
    Repair repair;
    Reinstatement reinstatement;

    ConnState state = ConnState::Free;
    CleanupState cleanup = CleanupState::Free;  ///< Of the connection before this one.
    bool has_link = false;    ///< Since Connect was ordered: the transport may borrow.
    bool is_leaving = false;  ///< Reset or Close was ordered.
    bool is_login_unsent = false;
    bool is_logout_unsent = false;
    Itt ping_itt{};
    Itt logout_itt{};
    std::optional<std::uint16_t> receiving{};  ///< The slot whose Data-In payload is under way.

    /// When the transport was first shown what it has not begun to take; never: nothing.
    Instant lent_at = Instant::never();
    /// When to try to add it to a session that works. Never: it is there, or being added.
    Instant add_at{};
    Instant login_by = Instant::never();   ///< Connect and login.
    Instant logout_by = Instant::never();  ///< Answer to the logout.
};

}  // namespace holdfast::initiator
