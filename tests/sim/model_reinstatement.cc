// ModelTarget: error recovery level 2, the target's side. RFC 7143
// sections 6.3.4, 7.2, 7.5, 11.5.1 and 11.14.
//
// The commands of a connection that is lost stay, with what was sent for them and not acknowledged,
// until Time2Retain has passed; what runs, runs on, whatever becomes of the connection. Its logout
// "for recovery", explicit or by a login with its CID, discards what had not come in turn.
#include <algorithm>

#include "tests/sim/model_target.h"

namespace holdfast::sim {

namespace {

constexpr std::size_t kExpStatSnAt = 28;
/// As answer_login() gives it at most.
constexpr Micros kRetain = 20 * kSecond;

}  // namespace

bool ModelTarget::keeps_commands(const Conn& conn) {
    return conn.is_full && conn.agreed.error_recovery_level >= 2;
}

void ModelTarget::retain(int id) {
    Conn& conn = conns_.at(id);
    conn.session->orphans[conn.cid] = {.conn = id,
                                       .until = now_ + parameters_.time2wait_s * kSecond + kRetain};
}

/// What nobody came for is forgotten; what was to be executed still is.
void ModelTarget::forget_orphans() {
    for (const auto& [tsih, weak] : sessions_) {
        const auto session = weak.lock();
        if (!session) continue;
        std::erase_if(session->orphans, [&](const auto& item) { return item.second.until < now_; });
    }
}

/// The connection of the session that has this CID, whether or not it is known to be lost.
int ModelTarget::holder_of(const Shared& session, std::uint16_t cid) const {
    const auto orphan = session.orphans.find(cid);
    if (orphan != session.orphans.end()) return orphan->second.conn;
    for (const int id : session.conns) {
        if (conns_.at(id).is_full && conns_.at(id).cid == cid) return id;
    }
    return 0;
}

/// An ExpStatSN that speaks of a connection which is gone; the initiator may not know of one whose
/// login was never answered.
void ModelTarget::acknowledge_of_lost(Conn& conn, std::uint32_t expected_stat_sn) {
    if (conn.is_unheard_of) return;
    if (is_before(conn.stat_sn, expected_stat_sn)) complain("ExpStatSN of the lost connection");
    if (is_before(expected_stat_sn, conn.last_ack)) complain("ExpStatSN of the lost one went back");
    conn.last_ack = expected_stat_sn;
    forget_acknowledged(conn);
}

void ModelTarget::log_out_for_recovery(Shared& session, int id, std::uint32_t expected_stat_sn) {
    Conn& conn = conns_.at(id);
    acknowledge_of_lost(conn, expected_stat_sn);
    conn.is_alive = false;
    conn.wants_close = true;
    session.is_split = true;
    session.conns.erase(id);
    session.orphans.erase(conn.cid);
    session.logged_out.insert(id);
    for (auto at = session.early.begin(); at != session.early.end();) {
        if (at->second.conn != id) {
            ++at;
            continue;
        }
        session.discarded.insert_or_assign(at->first, at->second.pdu);
        at = session.early.erase(at);
    }
    std::erase_if(session.management, [&](const auto& item) { return item.first == id; });
}

/// A command that comes again must be the one that it was.
void ModelTarget::check_retry(Shared& session, const Pdu& pdu) {
    const auto found = session.discarded.find(pdu.cmd_sn());
    if (found == session.discarded.end() || pdu.opcode() != kCommand) return;
    Pdu before = found->second;
    before.put(kExpStatSnAt, 4, pdu.expected_stat_sn());
    if (before.bhs != pdu.bhs || before.data != pdu.data) complain("a retry is another command");
    session.discarded.erase(found);
}

void ModelTarget::on_recovery_logout(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    Shared& session = *conn.session;
    const int lost = holder_of(session, static_cast<std::uint16_t>(pdu.get(20, 2)));
    Pdu answer;
    answer.bhs[0] = kLogoutResponse;
    answer.bhs[1] = 0x80;
    answer.put(16, 4, pdu.itt());
    if (lost == id) complain("a connection is logged out for recovery over itself");
    if (strikes(faults.refuse_recovery)) {
        answer.bhs[2] = random_.one_in(2) ? 2 : 3;
    } else if (lost == 0) {
        answer.bhs[2] = 1;
    } else {
        log_out_for_recovery(session, lost, pdu.expected_stat_sn());
    }
    send(conn, answer, true);
}

/// What is known of the command that a connection of the session left behind.
std::uint8_t ModelTarget::reassign(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (pdu.u32(32) != 0) complain("RefCmdSN in TASK REASSIGN");
    if (strikes(faults.refuse_recovery)) return random_.one_in(2) ? 3 : 4;
    for (auto& [order, command] : commands_) {
        if (command.pdu.itt() != pdu.ttt() || conns_.at(command.conn).session != conn.session) {
            continue;
        }
        if (conn.session->logged_out.contains(command.conn)) return 0;
        const Conn& its = conns_.at(command.conn);
        if (holder_of(*conn.session, its.cid) != command.conn) continue;  // Forgotten.
        complain("TASK REASSIGN of a command whose connection was not logged out");
        return 3;
    }
    return holder_of_status(*conn.session, pdu.ttt()) != 0 ? 0 : 1;
}

/// The lost connection where the command's status was given, and not acknowledged.
int ModelTarget::holder_of_status(const Shared& session, std::uint32_t itt) const {
    for (const int id : session.logged_out) {
        const auto& kept = conns_.at(id).statuses;
        if (std::ranges::any_of(kept, [&](const Pdu& pdu) { return pdu.itt() == itt; })) return id;
    }
    return 0;
}

/// After the answer "complete": the command goes on over this connection.
void ModelTarget::go_on(int id, Micros now, const Pdu& request) {
    Conn& conn = conns_.at(id);
    for (auto& [order, command] : commands_) {
        const bool is_it =
            command.pdu.itt() == request.ttt() && conn.session->logged_out.contains(command.conn);
        if (!is_it) continue;
        command.conn = id;
        if (request.u32(36) != 0) complain("ExpDataSN for data that was never sent");
        if (command.run_at != kNever) return;
        // What came unasked and what was asked for is kept, or asked for once more.
        if (random_.one_in(2)) command.have = 0;
        command.is_discarding = false;
        return ask_or_queue(now, command);
    }
    const int lost = holder_of_status(*conn.session, request.ttt());
    if (lost != 0) send_again(conn, conns_.at(lost), request);
}

/// Data from ExpDataSN on, or all of it, and the status under a number of this connection.
void ModelTarget::send_again(Conn& conn, Conn& lost, const Pdu& request) {
    const std::uint32_t itt = request.ttt();
    std::vector<Pdu> sent = std::exchange(lost.data[itt], {});
    std::erase_if(sent, [](const Pdu& pdu) { return pdu.opcode() != kDataIn; });
    // One that carries the status comes again, whatever is known of its data.
    const auto is_known = [&](const Pdu& pdu) {
        return is_before(pdu.u32(36), request.u32(36)) && (pdu.bhs[1] & 1) == 0;
    };
    const bool is_all = random_.one_in(4);
    if (!sent.empty() && is_before(sent.back().u32(36) + 1, request.u32(36))) {
        complain("ExpDataSN beyond what was sent");
    }
    if (sent.empty() && request.u32(36) != 0 && !lost.has_acknowledged_data) {
        complain("ExpDataSN for a command without data");
    }
    if (!is_all && std::erase_if(sent, is_known) > 0) conn.has_acknowledged_data = true;
    conn.has_lied = conn.has_lied || lost.has_lied;  // The same PDUs once more.
    conn.has_acknowledged_data = conn.has_acknowledged_data || lost.has_acknowledged_data;
    std::vector<Pdu> status;
    std::erase_if(lost.statuses, [&](const Pdu& pdu) {
        if (pdu.itt() != itt) return false;
        if (pdu.opcode() != kDataIn) status.push_back(pdu);
        return true;
    });
    for (const Pdu& pdu : sent) send(conn, pdu, (pdu.bhs[1] & 1) != 0);
    for (const Pdu& pdu : status) send(conn, pdu, true);
}

}  // namespace holdfast::sim
