// ModelTarget: several connections in one session, one order of commands. RFC 7143
// sections 4.2.2.1, 4.2.3, 6.3.3.
#include <algorithm>

#include "tests/sim/model_target.h"

namespace holdfast::sim {

bool ModelTarget::join_session(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    const auto tsih = static_cast<std::uint16_t>(pdu.get(14, 2));
    const auto known = sessions_.find(tsih);
    auto session = known == sessions_.end() ? nullptr : known->second.lock();
    const bool is_new = tsih == 0 || strikes(faults.split_session);
    const auto cid = static_cast<std::uint16_t>(pdu.get(20, 2));
    conn.lost_ack = pdu.expected_stat_sn();
    const std::size_t others =
        session ? session->conns.size() - session->conns.count(holder_of(*session, cid)) : 0;
    const bool has_room = session && others < session->agreed.max_connections;
    if (is_new || !has_room) {
        session = std::make_shared<Shared>();
        session->tsih = next_tsih_++;
        session->expected_cmd_sn = pdu.cmd_sn();
        session->max_cmd_sn = pdu.cmd_sn() + 1;
        sessions_[session->tsih] = session;
    } else {
        session->is_split = true;
        conn.agreed = session->agreed;
        conn.agreed.digests = {};
        conn.agreed.initiator_recv_bytes = 8192;
    }
    conn.session = session;
    session->conns.insert(id);
    return is_new || has_room;
}

/// Commands are taken in the order of their numbers, whatever connection they come over, and a task
/// management request after the commands before it.
bool ModelTarget::is_in_turn(int id, Micros now, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    Shared& session = *conn.session;
    if (pdu.opcode() == kDataOut) {
        for (auto& [number, early] : session.early) {
            if (early.conn != id || early.pdu.itt() != pdu.itt()) continue;
            early.data.push_back(pdu);
            return false;
        }
        return true;
    }
    if (pdu.opcode() == kSnack || pdu.cmd_sn() == session.expected_cmd_sn) return true;
    const bool is_reassign = pdu.opcode() == kTaskRequest && (pdu.bhs[1] & 0x7f) == 8;
    if (pdu.opcode() == kTaskRequest && !is_reassign) {
        const bool is_later = static_cast<std::int32_t>(pdu.cmd_sn() - session.expected_cmd_sn) > 0;
        if (is_later) session.management.emplace_back(id, pdu);
        return !is_later;
    }
    if (pdu.is_immediate()) return true;
    if (!session.early.try_emplace(pdu.cmd_sn(), Early{id, pdu, {}}).second) {
        complain("two commands with one CmdSN");
    }
    static_cast<void>(now);
    return false;
}

void ModelTarget::take_turns(const std::shared_ptr<Shared>& session, Micros now) {
    for (;;) {
        const auto found = session->early.find(session->expected_cmd_sn);
        if (found == session->early.end()) break;
        const Early early = std::move(found->second);
        session->early.erase(found);
        if (!conns_.at(early.conn).is_alive || conns_.at(early.conn).wants_close) return;
        take_pdu(early.conn, now, early.pdu);
        for (const Pdu& data : early.data) take_pdu(early.conn, now, data);
    }
    const auto waiting = std::exchange(session->management, {});
    for (const auto& [id, pdu] : waiting) {
        const bool is_later =
            static_cast<std::int32_t>(pdu.cmd_sn() - session->expected_cmd_sn) > 0;
        if (is_later) {
            session->management.emplace_back(id, pdu);
        } else {
            take_pdu(id, now, pdu);
        }
    }
}

void ModelTarget::take_pdu(int id, Micros now, const Pdu& pdu) {
    switch (pdu.opcode()) {
    case kCommand: return on_command(id, now, pdu);
    case kDataOut: return on_data_out(id, now, pdu);
    case kTaskRequest: return on_management(id, now, pdu);
    case kNopOut: return on_nop_out(id, pdu);
    case kLogout: return on_logout(id, pdu);
    case kSnack: return on_snack(id, pdu);
    default: complain("unexpected opcode");
    }
}

}  // namespace holdfast::sim
