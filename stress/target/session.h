/// One session: the command window, its tasks and their data. RFC 7143 sections 4.2 and 11.
/// From recovery level 1 on lost PDUs are sent again: session_snack.cc. At level 2 also what a lost
/// connection leaves behind: session_recovery.cc. Reservations of others: session_reserve.cc.
/// Timers: none of its own; delayed work waits in Services::later.
/// Limits: tasks by the command window; one write by kTransferBytesMax.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "stress/target/config.h"
#include "stress/target/counters.h"
#include "stress/target/later.h"
#include "stress/target/link.h"
#include "stress/target/services.h"
#include "stress/target/unit.h"

namespace holdfast::target {

/// What scripted faults do to one received PDU.
struct PduFaults {
    std::optional<Duration> delay;
    std::optional<Duration> hold_write;
    std::optional<ScsiStatus> status;
    std::optional<Sense> sense;
    bool drop_reply = false;
};

/// A run of bytes that one R2T asks for.
struct Burst {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    std::uint32_t ttt = kNoTag;
    std::uint32_t received = 0;
    std::uint32_t next_data_sn = 0;
};

struct Task {
    std::uint32_t itt = 0;
    std::uint32_t cmd_sn = 0;
    std::uint16_t lun = 0;
    std::uint32_t edtl = 0;
    /// After a reassignment: Data-In in front of this one is not sent again.
    std::uint32_t first_data_sn = 0;
    Cdb cdb{};
    LinkId link = 0;
    std::uint8_t flags = 0;
    PduFaults faults;
    /// Data-out, of the size that the command wants and the initiator offers.
    std::vector<std::byte> out;
    std::uint64_t out_wanted = 0;
    /// What the CDB asks for, whatever the initiator offers: the residual is told from it.
    std::uint64_t out_total = 0;
    std::uint32_t out_received = 0;
    /// Unsolicited Data-Out is still to come.
    bool unsolicited_open = false;
    std::uint32_t unsolicited_data_sn = 0;
    /// Bursts to ask for, in the order of asking, and those asked for.
    std::deque<Burst> bursts_left;
    std::vector<Burst> bursts_open;
    std::uint32_t next_r2t_sn = 0;
    /// All data is here and execution waits for its time.
    bool waits = false;
};

/// A command that came before its CmdSN's turn, with the data that followed it. It stays with the
/// connection that brought it: RFC 7143 section 4.2.5.1.
struct HeldBack {
    LinkId link = 0;
    std::vector<StoredPdu> pdus;
};

/// A connection that was lost at recovery level 2.
struct LostLink {
    std::uint16_t cid = 0;
    bool is_logged_out = false;
};

/// A command that was answered at recovery level 2, until the initiator acknowledges the status.
struct Answered {
    Task task;
    Outcome outcome;
    LinkId link = 0;
    std::uint32_t stat_sn = 0;
};

class Session {
public:
    Session(SessionId id, std::uint16_t tsih, const Login& login, std::uint32_t first_cmd_sn,
            const TargetConfig& config);

    /// A PDU of the full feature phase on one of the session's links.
    void on_pdu(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services);
    /// A delayed command's time has come.
    void run_delayed(std::uint32_t itt, Services& services);
    /// A held write was executed.
    void finish_held(std::uint32_t itt, const Outcome& outcome, Services& services);

    void add_link(LinkId link) { links_.push_back(link); }
    /// Ends the tasks of that link. RFC 7143 section 7.15: at level 0 they are gone. At level 2
    /// they are kept.
    void remove_link(const Link& link, Services& services);
    /// A connection with this CID, there or lost, is logged out for recovery. False: there is none.
    bool log_out_for_recovery(std::uint16_t cid, Services& services);
    /// Time2Retain of that link is over.
    void forget_link(LinkId link, Services& services);
    /// Nothing is left that somebody could come back for.
    [[nodiscard]] bool is_empty() const noexcept { return links_.empty() && lost_.empty(); }
    [[nodiscard]] bool keeps_tasks() const noexcept {
        return params_.recovery_level == 2 && params_.time2retain_s > 0;
    }
    /// Ends tasks without an answer; returns how many. No LUN: all.
    std::size_t abort_tasks(std::optional<std::uint16_t> lun);
    void add_unit_attention(std::uint16_t lun, const Sense& sense);

    void send_async(Link& link, AsyncEvent event, std::array<std::uint16_t, 3> parameters,
                    Bytes data);
    void send_async_sense(Link& link, const Sense& sense);
    void send_ping(Link& link);
    void send_reject(Link& link, const Pdu& pdu, RejectReason reason);

    [[nodiscard]] SessionId id() const noexcept { return id_; }
    [[nodiscard]] std::uint16_t tsih() const noexcept { return tsih_; }
    [[nodiscard]] const LoginIdentity& identity() const noexcept { return identity_; }
    [[nodiscard]] const SessionParams& params() const noexcept { return params_; }
    [[nodiscard]] const std::vector<LinkId>& links() const noexcept { return links_; }
    [[nodiscard]] std::size_t tasks() const noexcept { return tasks_.size(); }
    /// Initiator name and ISID: the nexus, for reinstatement.
    [[nodiscard]] std::string nexus() const;
    void put_window(Header& header);

private:
    void on_numbered(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services);
    void dispatch(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services);
    bool hold_back(const Pdu& pdu, Services& services);

    void on_command(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services);
    void begin(Link& link, Task& task, Bytes immediate, Services& services);
    [[nodiscard]] std::optional<Outcome> early_answer(const Task& task, Services& services);
    [[nodiscard]] Outcome execute(const Task& task, Bytes data_out, Services& services);
    [[nodiscard]] Outcome reserve(const Task& task, Bytes data_out, Services& services);
    [[nodiscard]] std::optional<Sense> take_unit_attention(std::uint16_t lun, std::uint8_t opcode);

    void on_data_out(Link& link, const Pdu& pdu, Services& services);
    void take_unsolicited(Link& link, Task& task, const Pdu& pdu, Services& services);
    void take_solicited(Link& link, Task& task, const Pdu& pdu, Services& services);
    [[nodiscard]] std::uint32_t next_tag();
    /// Peripheral or flat addressing. SAM-5 section 4.7.
    [[nodiscard]] static std::uint16_t wire_lun(std::uint16_t lun);
    void solicit(Link& link, Task& task, Services& services);
    void plan_bursts(Task& task, Services& services);
    void send_r2t(Link& link, Task& task, Burst burst, Services& services);
    void advance(Link& link, Task& task, Services& services);

    [[nodiscard]] Task take_task(std::uint32_t itt);
    void refuse(Link& link, std::uint32_t itt, const Sense& sense, Services& services);
    void finish(Link& link, const Task& task, const Outcome& outcome, Services& services);
    /// Returns how many Data-In the command has, those that were left out included.
    std::uint32_t send_data_in(Link& link, const Task& task, const Outcome& outcome,
                               Services& services);
    void answer(Link& link, const Task& task, const Outcome& outcome, Services& services);
    void conclude(Task task, const Outcome& outcome, Services& services);
    void keep_answer(LinkId link, std::uint32_t stat_sn, const Task& task, const Outcome& outcome);
    void take_acknowledgement(const Link& link, std::uint32_t exp_stat_sn);
    [[nodiscard]] std::uint8_t judge_reassign(std::uint32_t itt) const;
    void reassign(Link& link, const Pdu& pdu, Services& services);
    void ask_for_all(Link& link, Task& task, Services& services);
    void send_response(Link& link, const Task& task, const Outcome& outcome,
                       std::uint32_t data_count);

    void on_task_management(Link& link, const Pdu& pdu, Services& services);
    [[nodiscard]] std::uint8_t abort_task(const Pdu& pdu, Services& services);
    void on_nop_out(Link& link, const Pdu& pdu, Services& services);
    void on_text(Link& link, const Pdu& pdu, Services& services);
    [[nodiscard]] std::string answer_text(Link& link, const std::string& text, Services& services);
    [[nodiscard]] std::string send_targets(const Link& link, const std::string& wanted,
                                           Services& services);
    void on_logout(Link& link, const Pdu& pdu, Services& services);
    void on_snack(Link& link, const Pdu& pdu, Services& services);
    [[nodiscard]] bool send_again(Link& link, HeaderView request);
    [[nodiscard]] bool send_data_anew(Link& link, HeaderView request);
    void send_tagged_status(Link& link, const Sent& before, std::uint32_t tag,
                            std::uint32_t data_count);

    SessionId id_;
    std::uint16_t tsih_;
    LoginIdentity identity_;
    SessionParams params_;
    std::uint32_t queue_depth_;
    std::uint32_t exp_cmd_sn_;
    std::uint32_t max_cmd_sn_;
    std::uint32_t next_ttt_ = 1;
    std::vector<LinkId> links_;
    std::unordered_map<std::uint32_t, Task> tasks_;
    std::map<std::uint16_t, std::deque<Sense>> attentions_;
    /// PDUs that came before an earlier CmdSN: the command, then the Data-Out that follow it.
    std::map<std::uint32_t, HeldBack> held_back_;
    std::map<LinkId, LostLink> lost_;
    std::vector<Answered> answered_;
};

}  // namespace holdfast::target
