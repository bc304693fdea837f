/// One iSCSI session to one logical unit: what stands behind engine.h.
/// RFC 7143 at error recovery levels 0, 1 and 2. Below level 2 the end of one connection is the
/// session's end.
///
/// The parts decide, each in its own header and without knowing the others: Connection with its
/// Framer (bytes to PDUs), TransmitRing (PDUs to spans), StatusSequence, OutQueue, KeepAlive and
/// LoginMachine; CommandWindow, TaskTable, Ladder, the tables of conn_fsm.h, ProbeMachine and
/// verdict(). This class connects them: it owns the session's deadlines and carries facts from one
/// part to the next. A function that takes a Connection speaks of that one alone.
///
/// Timers, in Deadlines below and in Connection, besides the lists of sent commands
/// (timers.command, timers.flush). Those that judge the target are lenient: see lenient_until_.
///
/// Files: session.cc (life, requests, time), connect.cc (login, probe, fence), receive.cc (PDUs
/// in), receive_data.cc (Data-In), answer.cc (commands' ends), transmit.cc (PDUs out), recovery.cc
/// (loss, ladder, logout), repair.cc (SNACK), added.cc (connections beyond the first), reinstate.cc
/// (one connection lost), reassign.cc (its commands), reserve.cc (the persistent reservation).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/time.h"
#include "initiator/engine.h"
#include "initiator/pdu/target_pdu.h"
#include "initiator/recorder.h"
#include "initiator/scsi/probe_run.h"
#include "initiator/scsi/reservation_machine.h"
#include "initiator/session/command_window.h"
#include "initiator/session/connection.h"
#include "initiator/session/ladder.h"
#include "initiator/session/portal_choice.h"
#include "initiator/session/task.h"

namespace holdfast::initiator {

/// Every deadline of a session, besides its connections'; Instant::never() when not armed.
struct Deadlines {
    /// The first attach gives up instead of waiting beyond this. Nobody wakes up for it.
    Instant attach = Instant::never();
    Instant reconnect = Instant::never();              ///< Waiting: connect again.
    Instant probe = Instant::never();                  ///< The whole probe. Lenient.
    Instant probe_again = Instant::never();            ///< The unit asked for patience.
    Instant fence = Instant::never();                  ///< Old writes are taken for dead.
    Instant task_management = Instant::never();        ///< Answer of the rung. Lenient.
    Instant task_management_again = Instant::never();  ///< Rejected as one too many: resend.
    Instant window = Instant::never();       ///< Closed, with nothing outstanding. Lenient.
    Instant replacement = Instant::never();  ///< Without a session: requests fail.
    Instant settle = Instant::never();       ///< Before a logout: outstanding answers.
};

class Session {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept;
    Session(const SessionConfig& config, const EngineLimits& limits, reserve::Region& region,
            Recorder& recorder) noexcept;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    [[nodiscard]] Connection& connection(ConnIndex index) noexcept { return *conns_[index.raw()]; }

    void start(Instant now) noexcept;
    void stop(Instant now) noexcept;
    void transport_up(Connection& conn, Instant now, const FreshRandom& random) noexcept;
    void transport_lost(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::span<std::span<std::byte>> rx_spaces(
        Connection& conn, std::span<std::span<std::byte>> out) noexcept;
    void rx_filled(Connection& conn, Instant now, std::size_t bytes) noexcept;
    [[nodiscard]] std::span<std::span<const std::byte>> tx_spans(
        Connection& conn, Instant now, std::span<std::span<const std::byte>> out) noexcept;
    void tx_sent(Connection& conn, Instant now, std::size_t bytes) noexcept;
    void tx_released(Connection& conn, std::size_t bytes) noexcept;
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
    /// Whose commands go out in the slots of the probe.
    enum class ProbeUse : std::uint8_t { Facts, Reservation, Leaving };
    /// Why a logout is due, and how far it is.
    enum class Departure : std::uint8_t {
        None,
        AskedByTarget,  ///< No new commands; log out when settled, then reconnect.
        Stopping,       ///< stop(): let everything finish, log out, end.
    };

    // session.cc
    void note(NoticeKind kind, std::uint64_t a = 0, std::uint64_t b = 0) noexcept;
    void order(OrderKind kind) noexcept;
    void order(Connection& conn, OrderKind kind) noexcept;
    /// The connection that began the session.
    [[nodiscard]] Connection& leading() noexcept { return *conns_[0]; }
    [[nodiscard]] const Connection& leading() const noexcept { return *conns_[0]; }
    [[nodiscard]] Connection& connection_of(const Task& task) noexcept {
        return *conns_[task.conn];
    }
    void complete(Task& task, Outcome outcome) noexcept;
    void finish(Task& task) noexcept;
    void return_loan(std::uint16_t owner) noexcept;
    void fail_waiting(Outcome outcome) noexcept;
    void judge_own_deadlines(Instant now) noexcept;
    /// Only with a transport: what is out while it leaves is the next session's, and no rung may
    /// begin that would go on there.
    void judge_target(Instant now) noexcept;
    [[nodiscard]] bool judge_connection(Connection& conn, Instant now) noexcept;
    void judge_window(Instant now) noexcept;
    void grant(Instant now, Duration late) noexcept;
    void wake_resting(Instant now) noexcept;
    [[nodiscard]] Instant next_own_deadline() const noexcept;
    [[nodiscard]] Instant next_target_deadline() const noexcept;
    [[nodiscard]] Instant next_command_deadline() const noexcept;
    [[nodiscard]] bool is_settled() const noexcept;
    /// The first attach ends at a final answer; a device that exists waits for a better one.
    [[nodiscard]] bool may_give_up() const noexcept {
        return !was_ready_ && !config_.takes_over_device;
    }
    [[nodiscard]] bool is_in_range(const Request& request) const noexcept;
    [[nodiscard]] bool is_full_feature() const noexcept;
    [[nodiscard]] bool has_transport() const noexcept;

    // connect.cc
    void connect(Connection& conn, Instant now) noexcept;
    void on_login_pdu(Connection& conn, Instant now) noexcept;
    void on_login_failed(Instant now, const LoginFailure& failure) noexcept;
    void on_redirect(Instant now, const LoginRedirect& redirect) noexcept;
    void on_logged_in(Connection& conn, Instant now, const LoginDone& done) noexcept;
    void start_probe(Instant now) noexcept;
    void stop_probe() noexcept;
    void send_probe_commands() noexcept;
    void send_probe_command(Task& task) noexcept;
    void on_probe_step(Instant now, const Task& task, scsi::ProbeStep step) noexcept;
    void on_probe_failed(Instant now, ProbeError error) noexcept;
    void on_probed(Instant now) noexcept;
    void start_fence(Instant now) noexcept;
    void on_fenced(Instant now, FenceRung rung) noexcept;
    void go_ready(Instant now) noexcept;

    // reserve.cc
    [[nodiscard]] Isid isid() const noexcept;
    void choose_port() noexcept;
    void take_key(const FreshRandom& random) noexcept;
    [[nodiscard]] bool is_reservation_due() const noexcept;
    void start_reservation(Instant now) noexcept;
    void on_reservation_step(Instant now, scsi::ReservationStep step) noexcept;
    void on_reserved(Instant now) noexcept;
    void on_port_taken(Instant now) noexcept;
    void leave_reservation(Instant now) noexcept;
    [[nodiscard]] FenceReliance reliance() const noexcept;
    void start_fence_rung(Instant now) noexcept;

    void begin_full_feature(Connection& conn, Instant now, const LoginDone& done) noexcept;

    // added.cc
    [[nodiscard]] bool begins_session(const Connection& conn) const noexcept;
    [[nodiscard]] bool is_being_added(const Connection& conn) const noexcept;
    [[nodiscard]] static Cid cid_of(const Connection& conn) noexcept;
    [[nodiscard]] bool is_in_use(Cid cid) const noexcept;
    [[nodiscard]] bool may_add(const Connection& conn) const noexcept;
    void add_connections(Instant now) noexcept;
    void on_added_login(Connection& conn, Instant now, const LoginStep& step) noexcept;
    void drop_added(Connection& conn, Instant now) noexcept;
    void on_add_failed(Connection& conn, Instant now) noexcept;

    // receive.cc
    void take_in(Connection& conn, Instant now) noexcept;
    void record(const Connection& conn, Framed framed) noexcept;
    void on_header(Connection& conn, Instant now) noexcept;
    void on_pdu(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> dispatch(Connection& conn, Instant now,
                                                    TargetOpcode opcode) noexcept;
    /// Whether a counted status is to be taken in. Empty: it is a duplicate, drop it.
    struct StatusTaken {
        bool is_due = false;
        std::optional<Violation> violation{};
    };
    [[nodiscard]] StatusTaken take_status(Connection& conn, Instant now,
                                          const TargetNumbers& numbers) noexcept;
    void take_window(const TargetNumbers& numbers) noexcept;
    [[nodiscard]] std::optional<Violation> on_scsi_response(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_r2t(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_nop_in(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_task_management(Connection& conn,
                                                              Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_logout_response(Connection& conn,
                                                              Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_async(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_reject(Connection& conn, Instant now) noexcept;
    void on_rejected(Connection& conn, Instant now, RejectReason reason, InitiatorOpcode opcode,
                     Itt itt) noexcept;
    void on_scsi_event(const Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool is_plausible(Itt itt) const noexcept;
    [[nodiscard]] std::optional<Violation> judge_auxiliary_tag(Itt itt) const noexcept;
    void on_violation(Connection& conn, Instant now, Violation violation) noexcept;

    // receive_data.cc
    [[nodiscard]] std::optional<Violation> place_data_in(Connection& conn) noexcept;
    [[nodiscard]] std::optional<Violation> on_data_in(Connection& conn, Instant now) noexcept;
    [[nodiscard]] std::optional<Violation> on_misplaced_data(Connection& conn, Instant now,
                                                             Task& task,
                                                             const DataInView& view) noexcept;
    void on_data_status(Instant now, Task& task, const DataInView& view) noexcept;
    void take_acknowledgement_wish(Connection& conn, const Task& task,
                                   const DataInView& view) noexcept;

    // repair.cc
    enum class Place : std::uint8_t { Due, Seen, Ahead, Absurd };
    /// A status that may have come before its data.
    struct EarlyStatus {
        StatSn stat_sn{};
        DataSn data_count{};  ///< ExpDataSN, 0 where it is not known.
        bool is_good = false;
    };
    [[nodiscard]] bool may_repair(const Connection& conn) const noexcept;
    [[nodiscard]] static Place place_of(std::uint32_t got, std::uint32_t due) noexcept;
    void ask_for_task(Connection& conn, Instant now, Task& task) noexcept;
    void ask_for_status(Connection& conn, Instant now, StatSn until, bool is_first) noexcept;
    void on_discarded(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool is_status_early(Connection& conn, Instant now, Task& task,
                                       const EarlyStatus& early) noexcept;
    [[nodiscard]] bool next_snack(Connection& conn, SnackHeader& snack) noexcept;
    [[nodiscard]] bool put_snack(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool judge_repair(Connection& conn, Instant now) noexcept;
    void on_repair_failed(const Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool takes_back(Connection& conn, Itt itt) noexcept;
    [[nodiscard]] bool put_rejected_command(Connection& conn) noexcept;
    void distrust_level(std::uint8_t most = 0) noexcept;

    // reinstate.cc
    /// How long to wait before a connection is reinstated, and from then on how long the target
    /// keeps its commands. Section 7.5.
    struct RecoveryTimes {
        Duration wait{};
        Duration retain{};
    };
    [[nodiscard]] Connection& working() noexcept;
    [[nodiscard]] bool is_any_working() const noexcept;
    [[nodiscard]] bool has_unsettled() const noexcept;
    [[nodiscard]] bool may_reinstate(const Connection& conn) const noexcept;
    void lose_connection(Connection& conn, Instant now, LossReason reason,
                         std::optional<RecoveryTimes> announced = {}) noexcept;
    void on_drop_announced(Cid cid, Instant now, RecoveryTimes times) noexcept;
    void on_connection_lost(Connection& conn, Instant now, LossReason reason,
                            std::optional<RecoveryTimes> announced) noexcept;
    void orphan_commands(Connection& conn) noexcept;
    void on_helper_lost(Connection& conn, const Connection& lost, Instant now) noexcept;
    void on_lost_transport_gone(Connection& conn, Instant now) noexcept;
    void find_way_back(Connection& conn, Instant now, Duration wait) noexcept;
    void on_reinstatement_failed(Connection& conn) noexcept;
    void on_reinstated(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool put_recovery_logout(Connection& conn) noexcept;
    [[nodiscard]] bool on_recovery_logout(const Connection& conn, Instant now, Itt itt,
                                          LogoutResult result) noexcept;
    void take_over(Connection& conn, Connection& lost, Instant now) noexcept;
    [[nodiscard]] bool judge_reinstatement(Connection& conn, Instant now) noexcept;
    void stop_reinstatement(Connection& conn) noexcept;

    // reassign.cc
    [[nodiscard]] Task* next_lost(const Connection& conn, bool is_acknowledged) noexcept;
    [[nodiscard]] bool put_reassign(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool put_lost_command(Connection& conn, Instant now) noexcept;
    void settle(Connection& conn, Instant now, Task& task) noexcept;
    void on_settled(Connection& conn) noexcept;
    void forget_unsettled(const Task& task) noexcept;
    [[nodiscard]] Task* find_asked(const Connection& conn, Itt itt) noexcept;
    void ask_later(Connection& conn, Instant now, Task& task) noexcept;
    void on_reassign_answer(Connection& conn, Instant now, Task& task,
                            TaskResponse response) noexcept;

    // answer.cc
    [[nodiscard]] static scsi::Residual residual_of(Residual residual) noexcept;
    void on_answer(Instant now, Task& task, const scsi::CommandEnd& end) noexcept;
    void on_request_answer(Instant now, Task& task, const scsi::CommandEnd& end) noexcept;
    void on_done(Instant now, Task& task) noexcept;
    void on_verdict(Instant now, Task& task, const scsi::Verdict& verdict) noexcept;
    [[nodiscard]] bool on_refused_feature(Task& task) noexcept;
    void lower_send_limit() noexcept;
    void retry(Instant now, Task& task, Duration rest) noexcept;
    void suspect_others(Instant now) noexcept;

    // transmit.cc
    void gather(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool put_control(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool put_login(Connection& conn) noexcept;
    [[nodiscard]] bool put_data_out(Connection& conn) noexcept;
    [[nodiscard]] bool put_read(Connection& conn, Instant now) noexcept;
    [[nodiscard]] bool put_command(Connection& conn, Instant now) noexcept;
    void begin_command(Connection& conn, Task& task, Instant now) noexcept;
    [[nodiscard]] bool may_send(const Connection& conn, const Task& task) const noexcept;
    static void reset_progress(Task& task) noexcept;
    void write_command(Connection& conn, Task& task) noexcept;
    void prepare(Task& task) noexcept;
    [[nodiscard]] Cdb prepare_request(Task& task) noexcept;
    void put_logout(Connection& conn) noexcept;
    [[nodiscard]] static StatSn acknowledged(const Connection& conn) noexcept;
    [[nodiscard]] Itt next_auxiliary_itt(std::uint16_t slot) noexcept;

    // recovery.cc
    void lose(Instant now, LossReason reason) noexcept;
    void leave(OrderKind how, AfterLeaving after) noexcept;
    void leave_if_alone(Instant now) noexcept;
    void return_loans(Connection& conn) noexcept;
    void on_transports_gone(Instant now) noexcept;
    void on_loss(Instant now, LossReason reason) noexcept;
    [[nodiscard]] AfterLeaving after_loss() const noexcept;
    void stop_everything() noexcept;
    void requeue_all(Instant now) noexcept;
    void schedule_reconnect(Instant now) noexcept;
    void give_up() noexcept;
    void end_session() noexcept;
    void hurry(Instant now) noexcept;
    void start_rung(Instant now, Rung rung) noexcept;
    void climb(Instant now, RungEvent event) noexcept;
    void on_fence_answer(Instant now, RungEvent event) noexcept;
    void on_command_timeout(Instant now, Task& task) noexcept;
    void on_logout_asked(Connection& conn, Instant now, Duration within) noexcept;
    void on_departure_progress(Instant now) noexcept;
    void on_logged_out(Connection& conn) noexcept;
    void conn_event(Connection& conn, ConnEvent event) noexcept;
    void cleanup_event(Connection& conn, CleanupEvent event) noexcept;
    void session_event(SessionEvent event) noexcept;

    // Task tags of PDUs that are no commands: a slot beyond every task, and a generation.
    static constexpr std::uint16_t kAuxiliaryFirst = 0xfff0;
    static constexpr std::uint16_t kLoginSlot = 0xfff0;
    static constexpr std::uint16_t kPingSlot = 0xfff1;
    static constexpr std::uint16_t kManagementSlot = 0xfff2;
    static constexpr std::uint16_t kLogoutSlot = 0xfff3;

    SessionConfig config_;  // As configured, but for the recovery level; see distrust_level().
    const EngineLimits limits_;
    Recorder& recorder_;
    DeviceFacts facts_{};
    EngineCounters counters_{};
    Deadlines deadlines_{};

    FixedQueue<Order, 32> orders_;
    FixedQueue<Notice, 64> notices_;
    std::span<Completion> completions_;  // A ring of `depth`.
    std::size_t completions_head_ = 0;
    std::size_t completions_size_ = 0;

    TaskTable tasks_;
    FixedVector<Connection*, EngineLimits::kConnectionsMax>
        conns_;  // In the region, from start to end.
    CommandWindow window_;
    NegotiatedParameters
        agreed_{};  // Of the session; what each connection has of its own is there.
    scsi::ProbeRun probe_;
    scsi::ReservationMachine reservation_;
    PortalChoice portal_;
    Portal session_portal_{};  // Where the leading connection went; added ones go there, too.
    Tsih tsih_{};

    Stage stage_ = Stage::Idle;
    AfterLeaving after_leaving_ = AfterLeaving::Reconnect;
    Departure departure_ = Departure::None;
    SessionState session_ = SessionState::Free;
    std::uint16_t auxiliary_generation_ = 0;  // Of login, ping, management and logout tags.

    Rung rung_ = Rung::None;
    bool rung_unsent_ = false;    // The request of the rung waits to go out.
    bool is_fence_rung_ = false;  // The unit reset is the fence, not the ladder.
    std::uint8_t rung_conn_ = 0;  // Where the request of the rung goes out.
    std::uint8_t aborted_conn_ = 0;
    Itt rung_itt_{};
    Itt aborted_itt_{};
    CmdSn aborted_cmd_sn_;

    bool was_ready_ = false;   // The export exists: never give up again.
    bool is_probing_ = false;  // The slots of the probe are in use, for probe_use_.
    ProbeUse probe_use_ = ProbeUse::Facts;
    bool is_attention_due_ = false;  // Our own reset: the next unit attention tells nothing new.
    bool is_md5_only_ = false;       // A target choked on the list of CHAP algorithms.
    bool is_other_device_ = false;
    bool is_single_ = false;        // The target takes no second connection, whatever it agreed to.
    bool is_failing_fast_ = false;  // The replacement time has passed.
    bool is_long_flush_ = false;    // SYNCHRONIZE CACHE (10) was refused.
    bool is_write_lost_ = false;    // Deferred sense told of it; the next flush fails.

    bool is_fence_needed_ = false;  // A write may still be executed by an earlier session.
    Instant fence_started_{};
    Instant fence_from_{};  // When the last transport that carried one was gone.
    std::uint16_t fence_failures_ = 0;

    // The persistent reservation, where one is wanted.
    std::uint8_t port_ = 0;              // Which of our initiator ports.
    std::uint8_t ports_taken_ = 0;       // So many in a row had a key of an earlier session.
    bool is_key_registered_ = false;     // key_ is registered over port_, by this process.
    bool is_key_active_ = false;         // Writes may have gone out under key_.
    bool is_reserved_ = false;           // The session that is up has its reservation.
    bool has_tried_to_reserve_ = false;  // On this session.
    bool was_reserved_ = false;          // On an earlier one.
    scsi::ReservationKey key_{};
    scsi::ReservationKey last_key_{};      // Of the last session that was ready; 0: not known.
    Told has_reset_unit_ = Told::Nothing;  // What the unit did when it was asked to.

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
    Instant granted_at_{};
};

}  // namespace holdfast::initiator
