/// A target that keeps the rules, until its faults tell it otherwise: one unit of a few blocks, any
/// number of connections. RFC 7143, the target's side.
///
/// Like tgt, it lets a session live on when another with the same ISID logs in, and executes what
/// that session has sent, however late; only LOGICAL UNIT RESET, ABORT TASK and a restart end a
/// command that has arrived. At error recovery level 1 it keeps what it has sent until that is
/// acknowledged, and sends it again when asked (model_recovery.cc). At level 2 the commands of a
/// lost connection go on over another one (model_reinstatement.cc). It judges the initiator too:
/// whatever breaks the protocol is told by complaint().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/sim/wire.h"

namespace holdfast::sim {

/// Virtual time in microseconds.
using Micros = std::int64_t;
inline constexpr Micros kNever = INT64_MAX;
inline constexpr Micros kSecond = 1'000'000;

/// The reserved tag.
inline constexpr std::uint32_t kNone = 0xffffffffU;

/// Serial number arithmetic. RFC 1982.
[[nodiscard]] constexpr bool is_before(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(a - b) < 0;
}

inline constexpr std::uint32_t kSimBlockBytes = 512;
inline constexpr std::uint64_t kSimLun = 0x0001'0000'0000'0000ULL;

/// How often the target misbehaves: once in so many chances; 0 is never.
struct TargetFaults {
    std::uint64_t busy = 0;             ///< BUSY, TASK SET FULL, TASK ABORTED.
    std::uint64_t attention = 0;        ///< A unit attention.
    std::uint64_t hold = 0;             ///< A command waits for up to hold_max.
    std::uint64_t silent = 0;           ///< A command is executed and never answered.
    std::uint64_t violation = 0;        ///< Some number of a PDU is wrong.
    std::uint64_t corrupt = 0;          ///< A byte of a PDU with digest is flipped.
    std::uint64_t corrupt_data = 0;     ///< A byte of a data segment with digest is flipped.
    std::uint64_t lose = 0;             ///< Level 1: a PDU is not sent, though it was numbered.
    std::uint64_t refuse_data = 0;      ///< Level 1: a Data-Out is rejected and asked for again.
    std::uint64_t acknowledge = 0;      ///< Level 1: a Data-In asks for a DataACK.
    std::uint64_t refuse_snack = 0;     ///< A SNACK is rejected.
    std::uint64_t reject = 0;           ///< A command is rejected.
    std::uint64_t ping = 0;             ///< A NOP-In that wants an answer, per command.
    std::uint64_t async = 0;            ///< A logout request or a drop, per command.
    std::uint64_t login_busy = 0;       ///< Login refused with 0301.
    std::uint64_t redirect = 0;         ///< Login redirected to itself.
    std::uint64_t split_session = 0;    ///< A login that adds a connection opens a new session.
    std::uint64_t deaf_management = 0;  ///< A task management request is not answered.
    std::uint64_t refuse_management = 0;
    std::uint64_t refuse_recovery = 0;  ///< Level 2: a logout or TASK REASSIGN is refused.
    // model_faults.cc
    std::uint64_t lie = 0;    ///< Some other field of a PDU is wrong.
    std::uint64_t twice = 0;  ///< A PDU comes twice.
    std::uint64_t late = 0;   ///< A PDU comes after the one that follows it.
    std::uint64_t cut = 0;    ///< The last Data-In is missing and nothing tells of it.
    std::uint64_t ghost = 0;  ///< An aborted command is answered all the same.
    Micros hold_max = 60'000'000;
};

/// The unit. Versions name contents: a block is all words of word_of(version, block, index).
class Disk {
public:
    explicit Disk(std::uint32_t blocks) : blocks_(blocks, Bytes(kSimBlockBytes)) {
        durable_ = blocks_;
    }
    [[nodiscard]] std::uint32_t block_count() const {
        return static_cast<std::uint32_t>(blocks_.size());
    }
    [[nodiscard]] const Bytes& block(std::uint64_t lba) const { return blocks_.at(lba); }
    void write(std::uint64_t lba, std::span<const std::uint8_t> data, bool is_durable);
    void flush() { durable_ = blocks_; }
    /// What was not flushed is kept or lost, block by block.
    void lose_power(SplitMix64& random);

private:
    std::vector<Bytes> blocks_;
    std::vector<Bytes> durable_;
};

class ModelTarget {
public:
    ModelTarget(SplitMix64& random, Disk& disk, TargetParameters parameters)
        : random_(random), disk_(disk), parameters_(parameters) {}

    TargetFaults faults;
    std::uint32_t window = 32;
    bool is_up = true;
    bool may_merge_status = true;
    bool knows_reservations = false;
    std::uint8_t cache_mode = 0x14;  ///< MODE SENSE: WCE in bit 2, DPOFUA in bit 4.

    [[nodiscard]] int accept();
    void receive(int conn, Micros now, std::span<const std::uint8_t> bytes);
    /// The transport is gone, as the target learns it. What has arrived stays and is executed.
    void lost(int conn);
    /// What it wants to send; moved out.
    [[nodiscard]] Bytes take_output(int conn);
    [[nodiscard]] bool wants_close(int conn) const { return conns_.at(conn).wants_close; }

    void run(Micros now);
    [[nodiscard]] Micros next_event() const;
    /// Forgets sessions and commands; the caller resets the transports.
    void restart();
    [[nodiscard]] const std::string& complaint() const { return complaint_; }
    [[nodiscard]] std::uint64_t late_executions() const { return late_executions_; }
    [[nodiscard]] std::size_t registrations() const { return keys_.size(); }

private:
    /// A numbered PDU that came before its turn, over another connection than those before it, with
    /// the unsolicited data that follows it.
    struct Early {
        int conn = 0;
        Pdu pdu;
        std::vector<Pdu> data;
    };
    /// A connection that is lost, and whose commands are kept.
    struct Orphan {
        int conn = 0;
        Micros until = 0;
    };
    /// What the connections of a session share.
    struct Shared {
        std::uint16_t tsih = 0;
        std::uint32_t expected_cmd_sn = 0;
        std::uint32_t max_cmd_sn = 0;
        Agreed agreed;
        std::set<int> conns;
        bool has_lied = false;  // Of the window: what goes beyond it is forgiven.
        bool is_split = false;  // Has had several connections: commands may come in any order.
        std::map<std::uint32_t, Early> early;         // By CmdSN.
        std::map<std::uint16_t, Orphan> orphans;      // Level 2: lost connections, by CID.
        std::set<int> logged_out;                     // Level 2: for recovery.
        std::map<std::uint32_t, Pdu> discarded;       // Commands that went with a logout, by CmdSN.
        std::vector<std::pair<int, Pdu>> management;  // Waits for the commands before it.
    };
    struct Conn {
        bool is_alive = true;
        bool is_full = false;
        bool wants_close = false;
        bool has_attention = true;
        Decoder in;
        Bytes out;
        Agreed agreed;
        std::uint32_t stat_sn = 0;
        std::uint32_t last_ack = 0;
        std::uint16_t cid = 0;
        std::uint64_t isid = 0;
        std::uint32_t lost_ack = 0;  // ExpStatSN of the connection that a login reinstates.
        // It joined its session, and nothing says yet that the initiator heard of it: what the next
        // login in its place says of the lost connection may be of the one before, or of none.
        bool is_unheard_of = false;
        std::shared_ptr<Shared> session;
        bool has_acknowledged_data = false;              // By a DataACK.
        bool has_lied = false;                           // Wrong numbers: no complaints about them.
        std::optional<Pdu> held;                         // Comes after the next one.
        std::vector<Pdu> statuses;                       // Level 1: sent, not acknowledged.
        std::map<std::uint32_t, std::vector<Pdu>> data;  // The same for Data-In and R2T, by ITT.
    };
    struct Command {
        int conn = 0;
        Pdu pdu;
        Bytes data;
        std::uint32_t have = 0;   // Contiguous bytes of data-out.
        std::uint32_t asked = 0;  // Bytes asked for, or sent unsolicited.
        std::uint32_t r2t_sn = 0;
        std::uint32_t data_sn = 0;  // Due in this sequence.
        std::uint32_t sequence_end = 0;
        std::uint32_t ttt = 0xffffffff;
        Micros run_at = kNever;  // When it is executed; never: data is missing.
        bool is_silent = false;
        bool is_refused = false;     // Conflicts with the reservation that it met.
        bool is_ghost = false;       // Aborted: answered, and not executed.
        bool is_discarding = false;  // Up to the end of this sequence of Data-Out.
    };

    void complain(const std::string& what);
    void on_pdu(int id, Micros now, const Pdu& pdu);
    void on_login(int id, const Pdu& pdu);
    // model_session.cc
    /// False: this session takes no further connection.
    [[nodiscard]] bool join_session(int id, const Pdu& pdu);
    [[nodiscard]] bool is_in_turn(int id, Micros now, const Pdu& pdu);
    void take_turns(const std::shared_ptr<Shared>& session, Micros now);
    void take_pdu(int id, Micros now, const Pdu& pdu);
    void on_command(int id, Micros now, const Pdu& pdu);
    void on_data_out(int id, Micros now, const Pdu& pdu);
    void on_management(int id, Micros now, const Pdu& pdu);
    void on_nop_out(int id, const Pdu& pdu);
    void on_logout(int id, const Pdu& pdu);
    // model_recovery.cc
    void on_snack(int id, const Pdu& pdu);
    void on_data_ack(Conn& conn, const Pdu& pdu);
    [[nodiscard]] bool rejects_data(Conn& conn, const Pdu& pdu);
    void keep(Conn& conn, const Pdu& pdu, bool is_counted);
    void forget_acknowledged(Conn& conn);
    void resend(Conn& conn, Pdu pdu);
    void put_on_wire(Conn& conn, const Pdu& pdu);
    void send_reject(Conn& conn, const Pdu& pdu, std::uint8_t reason);
    // model_reinstatement.cc
    [[nodiscard]] static bool keeps_commands(const Conn& conn);
    void retain(int id);
    void forget_orphans();
    [[nodiscard]] int holder_of(const Shared& session, std::uint16_t cid) const;
    [[nodiscard]] int holder_of_status(const Shared& session, std::uint32_t itt) const;
    void acknowledge_of_lost(Conn& conn, std::uint32_t expected_stat_sn);
    void log_out_for_recovery(Shared& session, int id, std::uint32_t expected_stat_sn);
    void check_retry(Shared& session, const Pdu& pdu);
    void on_recovery_logout(int id, const Pdu& pdu);
    [[nodiscard]] std::uint8_t reassign(int id, const Pdu& pdu);
    void go_on(int id, Micros now, const Pdu& request);
    void send_again(Conn& conn, Conn& lost, const Pdu& request);
    [[nodiscard]] bool discards(int id, Micros now, Command& command, const Pdu& pdu);
    // model_reservation.cc
    [[nodiscard]] bool conflicts(const Conn& conn, const Pdu& pdu) const;
    [[nodiscard]] Bytes reservation_data(const Pdu& pdu) const;
    void reserve_out(const Command& command);
    void register_key(std::uint64_t isid, std::uint64_t key);
    void preempt_and_abort(std::uint64_t isid, std::uint64_t key);
    // model_faults.cc
    [[nodiscard]] bool abort(int conn, std::uint32_t itt);
    void distort(Conn& conn, Pdu& pdu);
    void put_oddly(Conn& conn, Pdu pdu);
    [[nodiscard]] bool check_numbers(Conn& conn, const Pdu& pdu);
    [[nodiscard]] bool fault_instead(int id, const Pdu& pdu);
    void ask_or_queue(Micros now, Command& command);
    void execute(Command& command);
    void send_sense(Conn& conn, const Pdu& pdu, std::uint8_t key, std::uint16_t code);
    void send_status(Conn& conn, const Pdu& pdu, std::uint8_t status, std::uint32_t data_sn = 0);
    void send_read(Conn& conn, const Pdu& pdu, Bytes data);
    void send(Conn& conn, Pdu pdu, bool is_counted);
    [[nodiscard]] Bytes unit_data(const Pdu& pdu) const;
    [[nodiscard]] bool strikes(std::uint64_t once_in) {
        return once_in != 0 && random_.one_in(once_in);
    }

    SplitMix64& random_;
    Disk& disk_;
    TargetParameters parameters_;
    std::map<int, Conn> conns_;
    std::map<std::uint16_t, std::weak_ptr<Shared>> sessions_;
    std::uint16_t next_tsih_ = 1;
    std::map<std::uint64_t, Command> commands_;    // By arrival.
    std::map<std::uint64_t, std::uint64_t> keys_;  // Registered, by ISID.
    std::optional<std::uint64_t> holder_;          // ISID of who reserved.
    std::uint32_t data_tag_ = 0;
    int next_conn_ = 1;
    std::uint64_t next_command_ = 1;
    std::uint64_t late_executions_ = 0;
    Micros now_ = 0;
    std::string complaint_;
};

}  // namespace holdfast::sim
