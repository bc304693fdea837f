/// One iSCSI session with one connection, to one logical unit: what stands behind engine.h.
/// RFC 7143 at error recovery level 0.
///
/// The parts decide, each in its own header and without knowing the others: Framer (bytes to PDUs),
/// TransmitRing (PDUs to spans), CommandWindow, StatusSequence, TaskTable, OutQueue, KeepAlive,
/// Ladder, the tables of conn_fsm.h, LoginMachine, ProbeMachine and verdict(). This class connects
/// them: it owns the deadlines and carries facts from one part to the next.
///
/// Timers, all in Deadlines below, besides KeepAlive (silence) and the lists of sent commands
/// (timers.command, timers.flush). Those that judge the target are lenient: see lenient_until_.
///
/// Files: session.cc (life, requests, time), connect.cc (login, probe, fence), receive.cc (PDUs
/// in), answer.cc (commands' ends), transmit.cc (PDUs out), recovery.cc (loss, ladder, logout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/engine.h"
#include "initiator/login/login.h"
#include "initiator/pdu/target_pdu.h"
#include "initiator/recorder.h"
#include "initiator/scsi/probe_machine.h"
#include "initiator/session/command_window.h"
#include "initiator/session/conn_fsm.h"
#include "initiator/session/framer.h"
#include "initiator/session/keep_alive.h"
#include "initiator/session/ladder.h"
#include "initiator/session/out_queue.h"
#include "initiator/session/portal_choice.h"
#include "initiator/session/status_sequence.h"
#include "initiator/session/task.h"
#include "initiator/session/transmit_ring.h"

namespace holdfast::initiator {

/// Every deadline of a session; Instant::never() when not armed.
struct Deadlines {
    /// The first attach gives up instead of waiting beyond this. Nobody wakes up for it.
    Instant attach = Instant::never();
    Instant reconnect = Instant::never();              ///< Waiting: connect again.
    Instant login = Instant::never();                  ///< Connect and login. Lenient.
    Instant probe = Instant::never();                  ///< The whole probe. Lenient.
    Instant probe_again = Instant::never();            ///< The unit asked for patience.
    Instant fence = Instant::never();                  ///< Old writes are taken for dead.
    Instant task_management = Instant::never();        ///< Answer of the rung. Lenient.
    Instant task_management_again = Instant::never();  ///< Rejected as one too many: resend.
    Instant window = Instant::never();       ///< Closed, with nothing outstanding. Lenient.
    Instant replacement = Instant::never();  ///< Without a session: requests fail.
    Instant settle = Instant::never();       ///< Before a logout: outstanding answers.
    Instant logout = Instant::never();       ///< Answer to the logout. Lenient.
};

class Session {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept;
    Session(const SessionConfig& config, const EngineLimits& limits, reserve::Region& region,
            Recorder& recorder) noexcept;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void start(Instant now) noexcept;
    void stop(Instant now) noexcept;
    void transport_up(Instant now, const FreshRandom& random) noexcept;
    void transport_lost(Instant now) noexcept;
    [[nodiscard]] std::span<std::span<std::byte>> rx_spaces(
        std::span<std::span<std::byte>> out) noexcept;
    void rx_filled(Instant now, std::size_t bytes) noexcept;
    [[nodiscard]] std::span<std::span<const std::byte>> tx_spans(
        Instant now, std::span<std::span<const std::byte>> out) noexcept;
    void tx_sent(Instant now, std::size_t bytes) noexcept;
    [[nodiscard]] Submitted submit(Instant now, const Request& request) noexcept;
    [[nodiscard]] std::optional<Completion> poll_completion() noexcept;
    [[nodiscard]] std::optional<Order> poll_order() noexcept;
    [[nodiscard]] std::optional<Notice> poll_notice() noexcept;
    [[nodiscard]] Instant next_wake() const noexcept;
    void wake(Instant now, Duration late) noexcept;
    [[nodiscard]] SessionPhase phase() const noexcept;
    [[nodiscard]] const DeviceFacts& facts() const noexcept { return facts_; }
    [[nodiscard]] const EngineCounters& counters() const noexcept { return counters_; }

private:
    /// Where the session stands in bringing the unit up, or down.
    enum class Stage : std::uint8_t {
        Idle,
        Connecting,  ///< Connect was ordered.
        LoggingIn,
        Probing,
        Fencing,
        Ready,
        Leaving,  ///< Reset or Close was ordered; the transport still borrows.
        Waiting,  ///< No transport; reconnect is set.
        Ended,
    };
    /// What follows once the transport is gone.
    enum class AfterLeaving : std::uint8_t { Reconnect, ConnectAtOnce, GiveUp, Stop };
    /// Why a logout is due, and how far it is.
    enum class Departure : std::uint8_t {
        None,
        AskedByTarget,  ///< No new commands; log out when settled, then reconnect.
        Stopping,       ///< stop(): let everything finish, log out, end.
    };
    struct NopAnswer {
        Ttt ttt{};
        Lun lun{};
    };

    // session.cc
    void note(NoticeKind kind, std::uint64_t a = 0, std::uint64_t b = 0) noexcept;
    void order(OrderKind kind) noexcept;
    void complete(Task& task, Outcome outcome) noexcept;
    void finish(Task& task) noexcept;
    void return_loan(std::uint16_t owner) noexcept;
    void fail_waiting(Outcome outcome) noexcept;
    void judge_own_deadlines(Instant now) noexcept;
    void judge_target(Instant now) noexcept;
    void judge_window(Instant now) noexcept;
    void wake_resting(Instant now) noexcept;
    [[nodiscard]] Instant next_own_deadline() const noexcept;
    [[nodiscard]] Instant next_target_deadline() const noexcept;
    [[nodiscard]] Instant next_command_deadline() const noexcept;
    [[nodiscard]] bool is_settled() const noexcept;
    [[nodiscard]] bool is_in_range(const Request& request) const noexcept;
    [[nodiscard]] bool is_full_feature() const noexcept;
    [[nodiscard]] bool has_transport() const noexcept;

    // connect.cc
    void connect(Instant now) noexcept;
    void on_login_pdu(Instant now) noexcept;
    void on_login_failed(Instant now, const LoginFailure& failure) noexcept;
    void on_redirect(Instant now, const LoginRedirect& redirect) noexcept;
    void on_logged_in(Instant now, const LoginDone& done) noexcept;
    void start_probe(Instant now) noexcept;
    void stop_probe() noexcept;
    void send_probe_command() noexcept;
    void on_probe_step(Instant now, scsi::ProbeStep step) noexcept;
    void on_probe_failed(Instant now, ProbeError error) noexcept;
    void on_probed(Instant now) noexcept;
    void start_fence(Instant now) noexcept;
    void on_fenced(Instant now, FenceRung rung) noexcept;
    void go_ready(Instant now) noexcept;

    // receive.cc
    void take_in(Instant now) noexcept;
    void record(Framed framed) noexcept;
    void on_header(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> place_data_in() noexcept;
    void on_pdu(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> dispatch(Instant now, TargetOpcode opcode) noexcept;
    /// Whether a counted status is to be taken in. Empty: it is a duplicate, drop it.
    struct StatusTaken {
        bool is_due = false;
        std::optional<Violation> violation{};
    };
    [[nodiscard]] StatusTaken take_status(const TargetNumbers& numbers) noexcept;
    void take_window(const TargetNumbers& numbers) noexcept;
    [[nodiscard]] std::optional<Violation> on_data_in(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_scsi_response(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_r2t() noexcept;
    [[nodiscard]] std::optional<Violation> on_nop_in(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_task_management(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_logout_response(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_async(Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_reject(Instant now) noexcept;
    void on_rejected(Instant now, RejectReason reason, InitiatorOpcode opcode, Itt itt) noexcept;
    void on_scsi_event(Instant now) noexcept;
    [[nodiscard]] bool is_plausible(Itt itt) const noexcept;
    void on_violation(Instant now, Violation violation) noexcept;

    // answer.cc
    void on_answer(Instant now, Task& task, const scsi::CommandEnd& end) noexcept;
    void on_request_answer(Instant now, Task& task, const scsi::CommandEnd& end) noexcept;
    void on_done(Instant now, Task& task) noexcept;
    void on_verdict(Instant now, Task& task, const scsi::Verdict& verdict) noexcept;
    [[nodiscard]] bool on_refused_feature(Task& task) noexcept;
    void lower_send_limit() noexcept;
    void retry(Instant now, Task& task, Duration rest) noexcept;
    void suspect_others(Instant now) noexcept;

    // transmit.cc
    void gather(Instant now) noexcept;
    [[nodiscard]] bool put_control(Instant now) noexcept;
    [[nodiscard]] bool put_login() noexcept;
    [[nodiscard]] bool put_data_out() noexcept;
    [[nodiscard]] bool put_command(Instant now) noexcept;
    [[nodiscard]] bool may_send(const Task& task) const noexcept;
    void prepare(Task& task, ScsiCommandHeader& header) noexcept;
    [[nodiscard]] Cdb prepare_request(Task& task) noexcept;
    void put_logout() noexcept;
    [[nodiscard]] StatSn acknowledged() const noexcept;
    [[nodiscard]] Itt next_auxiliary_itt(std::uint16_t slot) noexcept;

    // recovery.cc
    void lose(Instant now, LossReason reason) noexcept;
    void leave(OrderKind how, AfterLeaving after) noexcept;
    void on_transport_gone(Instant now) noexcept;
    void on_loss(Instant now, LossReason reason) noexcept;
    [[nodiscard]] AfterLeaving after_loss() const noexcept;
    void stop_everything() noexcept;
    void requeue_all(Instant now) noexcept;
    void schedule_reconnect(Instant now) noexcept;
    void give_up() noexcept;
    void end_session() noexcept;
    void hurry() noexcept;
    void start_rung(Instant now, Rung rung) noexcept;
    void climb(Instant now, RungEvent event) noexcept;
    void on_fence_answer(Instant now, RungEvent event) noexcept;
    void on_command_timeout(Instant now, Task& task) noexcept;
    void on_logout_asked(Instant now, Duration within) noexcept;
    void on_departure_progress(Instant now) noexcept;
    void on_logged_out() noexcept;
    void conn_event(ConnEvent event) noexcept;
    void cleanup_event(CleanupEvent event) noexcept;
    void session_event(SessionEvent event) noexcept;

    // Task tags of PDUs that are no commands: a slot beyond every task, and a generation.
    static constexpr std::uint16_t kAuxiliaryFirst = 0xfff0;
    static constexpr std::uint16_t kLoginSlot = 0xfff0;
    static constexpr std::uint16_t kPingSlot = 0xfff1;
    static constexpr std::uint16_t kManagementSlot = 0xfff2;
    static constexpr std::uint16_t kLogoutSlot = 0xfff3;
    /// The only connection, for the recorder.
    static constexpr std::uint8_t kConn = 0;

    const SessionConfig config_;
    const EngineLimits limits_;
    Recorder& recorder_;
    DeviceFacts facts_{};
    EngineCounters counters_{};
    Deadlines deadlines_{};

    FixedQueue<Order, 16> orders_;
    FixedQueue<Notice, 64> notices_;
    std::span<Completion> completions_;  // A ring of `depth`.
    std::size_t completions_head_ = 0;
    std::size_t completions_size_ = 0;

    TaskTable tasks_;
    OutQueue out_queue_;
    std::span<std::byte> control_;     // Payload of PDUs that are not Data-In.
    std::span<std::byte> probe_data_;  // Data-in of the probe.
    std::span<std::byte> login_text_;  // Of the login request that is out.
    Framer framer_;
    TransmitRing ring_;
    CommandWindow window_;
    StatusSequence status_;
    KeepAlive keep_alive_;
    std::optional<LoginMachine> login_;
    NegotiatedParameters agreed_{};
    DigestsInUse digests_{};
    scsi::ProbeMachine probe_;
    PortalChoice portal_;
    FixedQueue<NopAnswer, 32> nop_answers_;

    Stage stage_ = Stage::Idle;
    AfterLeaving after_leaving_ = AfterLeaving::Reconnect;
    Departure departure_ = Departure::None;
    ConnState conn_ = ConnState::Free;
    CleanupState cleanup_ = CleanupState::Free;  // Of the connection before this one.
    SessionState session_ = SessionState::Free;
    std::uint16_t auxiliary_generation_ = 0;  // Of login, ping, management and logout tags.

    Rung rung_ = Rung::None;
    bool rung_unsent_ = false;    // The request of the rung waits to go out.
    bool is_fence_rung_ = false;  // The unit reset is the fence, not the ladder.
    Itt rung_itt_{};
    Itt aborted_itt_{};
    CmdSn aborted_cmd_sn_;
    Itt ping_itt_{};
    Itt logout_itt_{};
    bool logout_unsent_ = false;

    bool was_ready_ = false;  // The export exists: never give up again.
    bool is_probing_ = false;
    bool is_attention_due_ = false;  // Our own reset: the next unit attention tells nothing new.
    bool is_login_unsent_ = false;
    bool is_md5_only_ = false;  // A target choked on the list of CHAP algorithms.
    bool is_other_device_ = false;
    bool is_failing_fast_ = false;  // The replacement time has passed.
    bool is_long_flush_ = false;    // SYNCHRONIZE CACHE (10) was refused.
    bool is_write_lost_ = false;    // Deferred sense told of it; the next flush fails.
    bool is_receiving_ = false;     // A Data-In payload is under way into receiving_.
    std::uint16_t receiving_ = 0;

    bool is_fence_needed_ = false;  // A write may still be executed by an earlier session.
    Instant fence_started_{};
    Instant fence_from_{};  // When the last transport that carried one was gone.
    std::uint16_t fence_failures_ = 0;

    std::uint16_t losses_in_row_ = 0;  // Since a request was done.
    Duration time2wait_{};             // Owed before the next connect.
    Instant lost_at_{};
    std::uint64_t next_order_ = 1;
    std::uint32_t send_limit_ = 0;  // Commands at once; lowered by TASK SET FULL.
    std::uint32_t done_since_full_ = 0;

    /// No time-out that judges the target fires before this: when our own loop was late, the target
    /// gets as much time again. Input ends the grace's account.
    Instant lenient_until_{};
    Duration granted_{};
};

}  // namespace holdfast::initiator
