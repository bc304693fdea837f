// ModelTarget: error recovery level 1, the target's side. RFC 7143
// sections 7.8, 7.9, 11.7.2, 11.16.
#include <algorithm>

#include "tests/sim/model_target.h"

namespace holdfast::sim {

namespace {

constexpr std::uint8_t kDataDigestError = 0x02;
constexpr std::uint8_t kSnackRejected = 0x03;

/// A SNACK's run; a length of 0 has no end.
struct Run {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    [[nodiscard]] bool contains(std::uint32_t number) const {
        return !is_before(number, first) && (count == 0 || number - first < count);
    }
};

}  // namespace

void ModelTarget::put_on_wire(Conn& conn, const Pdu& pdu) {
    const Digests digests = conn.is_full ? conn.agreed.digests : Digests{};
    Bytes wire = encode(pdu, digests);
    const bool is_covered = digests.header && (digests.data || pdu.data.empty());
    const auto flip = [&](std::size_t at) {
        wire.at(at) ^= static_cast<std::uint8_t>(1 + random_.below(255));
    };
    const std::size_t head = digests.header ? 52 : 48;
    if (is_covered && strikes(faults.corrupt)) flip(random_.below(wire.size()));
    if (digests.data && !pdu.data.empty() && strikes(faults.corrupt_data)) {
        flip(head + random_.below(wire.size() - head));
    }
    conn.out.insert(conn.out.end(), wire.begin(), wire.end());
}

void ModelTarget::keep(Conn& conn, const Pdu& pdu, bool is_counted) {
    if (!conn.is_full || conn.agreed.error_recovery_level == 0) return;
    if (is_counted) conn.statuses.push_back(pdu);
    if (pdu.opcode() == kDataIn || pdu.opcode() == kR2t) conn.data[pdu.itt()].push_back(pdu);
}

/// The acknowledgement of a status is that of its data, too.
void ModelTarget::forget_acknowledged(Conn& conn) {
    std::erase_if(conn.statuses, [&](const Pdu& pdu) {
        const bool is_known = is_before(pdu.u32(24), conn.last_ack);
        if (is_known) conn.data.erase(pdu.itt());
        return is_known;
    });
}

void ModelTarget::resend(Conn& conn, Pdu pdu) {
    pdu.put(28, 4, conn.session->expected_cmd_sn).put(32, 4, conn.session->max_cmd_sn);
    if (strikes(faults.lose)) return;
    put_on_wire(conn, pdu);
}

void ModelTarget::send_reject(Conn& conn, const Pdu& pdu, std::uint8_t reason) {
    Pdu reject;
    reject.bhs[0] = kReject;
    reject.bhs[1] = 0x80;
    reject.bhs[2] = reason;
    reject.put(16, 4, kNone);
    reject.data.assign(pdu.bhs.begin(), pdu.bhs.end());
    send(conn, reject, true);
}

void ModelTarget::on_data_ack(Conn& conn, const Pdu& pdu) {
    const std::uint32_t next = pdu.u32(40);
    for (auto& [itt, sent] : conn.data) {
        const bool is_it = std::ranges::any_of(sent, [&](const Pdu& in) {
            return in.opcode() == kDataIn && (in.bhs[1] & 0x40) != 0 && in.ttt() == pdu.ttt() &&
                   in.u32(36) + 1 == next;
        });
        if (!is_it) continue;
        std::erase_if(sent, [&](const Pdu& in) { return is_before(in.u32(36), next); });
        conn.has_acknowledged_data = true;
        return;
    }
    if (!conn.has_lied) complain("DataACK for what was not asked");
}

void ModelTarget::on_snack(int id, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    if (conn.agreed.error_recovery_level == 0) return complain("SNACK at recovery level 0");
    const std::uint8_t type = pdu.bhs[1] & 0x0f;
    const Run run{.first = pdu.u32(40), .count = pdu.u32(44)};
    if (strikes(faults.refuse_snack)) return send_reject(conn, pdu, kSnackRejected);
    if (type == 2) {
        if (pdu.itt() != kNone || run.count != 0) complain("DataACK with a task tag or a run");
        return on_data_ack(conn, pdu);
    }
    if (pdu.ttt() != kNone) complain("SNACK with a transfer tag");
    if (type > 1) return complain("SNACK of an odd type");
    if (type == 1 && pdu.itt() != kNone) complain("Status SNACK with a task tag");
    const std::vector<Pdu> kept = type == 1 ? conn.statuses : conn.data[pdu.itt()];
    bool has_any = false;
    for (const Pdu& sent : kept) {
        if (!run.contains(sent.u32(type == 1 ? 24 : 36))) continue;
        has_any = true;
        resend(conn, sent);
    }
    if (has_any) return;
    if (!conn.has_lied) return complain("SNACK for what was not sent, or was acknowledged");
    send_reject(conn, pdu, kSnackRejected);
}

/// As after a wrong digest of immediate data: the command never was, and comes again as it was.
bool ModelTarget::rejects_data(Conn& conn, const Pdu& pdu) {
    const bool may_strike =
        conn.agreed.error_recovery_level > 0 && !pdu.data.empty() && !pdu.is_immediate();
    if (!may_strike || !strikes(faults.refuse_data)) return false;
    conn.session->is_split = true;  // What follows it comes before its turn.
    conn.session->discarded.insert_or_assign(pdu.cmd_sn(), pdu);
    send_reject(conn, pdu, kDataDigestError);
    return true;
}

/// As after a wrong digest of a Data-Out: what is missing is asked for again once the sequence
/// ends.
bool ModelTarget::discards(int id, Micros now, Command& command, const Pdu& pdu) {
    Conn& conn = conns_.at(id);
    const bool may_strike = conn.agreed.error_recovery_level > 0 && !command.is_discarding;
    if (may_strike && strikes(faults.refuse_data)) {
        command.is_discarding = true;
        send_reject(conn, pdu, kDataDigestError);
    }
    if (!command.is_discarding) return false;
    if (pdu.is_final()) {
        command.is_discarding = false;
        ask_or_queue(now, command);
    }
    return true;
}

}  // namespace holdfast::sim
