// ModelTarget: a target that does not count well. What it does to a command stays right; only what
// it says of it is wrong, twice there, or out of order. A lie that would make an honest initiator
// corrupt data, as an answer under another command's tag does, is not among them.
#include <algorithm>

#include "tests/sim/model_target.h"

namespace holdfast::sim {

namespace {

constexpr std::uint32_t kTagOfNobody = 0x00077777;

}  // namespace

/// False: there is no such command. An aborted one owes no answer; a target may be late to see that
/// (RFC 7143 section 4.2.3.4 asks the initiator to bear it).
bool ModelTarget::abort(int conn, std::uint32_t itt) {
    const auto found = std::ranges::find_if(commands_, [&](const auto& item) {
        return item.second.conn == conn && item.second.pdu.itt() == itt && !item.second.is_ghost;
    });
    if (found == commands_.end()) return false;
    found->second.is_ghost = strikes(faults.ghost);
    found->second.run_at = 0;
    if (!found->second.is_ghost) commands_.erase(found);
    return true;
}

void ModelTarget::distort(Conn& conn, Pdu& pdu) {
    const std::uint32_t expected = pdu.u32(28);
    const std::uint32_t max = pdu.u32(32);
    conn.has_lied = true;
    switch (random_.below(5)) {
    case 0: pdu.put(28, 4, expected + (1U << random_.below(32))); return;
    case 1: pdu.put(32, 4, max - static_cast<std::uint32_t>(random_.below(2 * window + 4))); return;
    case 2:
        pdu.put(32, 4, max + 1 + random_.below(8));
        conn.session->has_lied = true;
        return;
    case 3:
        if (pdu.itt() != 0xffffffffU) pdu.put(16, 4, kTagOfNobody);
        return;
    default: break;
    }
    const auto wrong = 1 + static_cast<std::uint32_t>(random_.below(3));
    switch (pdu.opcode()) {
    case kR2t:
        if (random_.one_in(2))
            pdu.put(36, 4, pdu.u32(36) + wrong);  // R2TSN.
        else
            pdu.put(44, 4, 1U << 24);  // More than there is.
        return;
    case kDataIn: pdu.put(40, 4, pdu.u32(40) + wrong * kSimBlockBytes); return;
    case kResponse:
        // ExpDataSN, or a residual count that nothing announces. One that is announced and beyond
        // the length is the target's own failure, and ends the request.
        pdu.put(random_.one_in(2) || (pdu.bhs[1] & 0x06) != 0 ? 36 : 44, 4, pdu.u32(36) + wrong);
        return;
    default: return;
    }
}

void ModelTarget::put_oddly(Conn& conn, Pdu pdu) {
    const bool may_be_odd =
        conn.is_full && pdu.opcode() != kLoginResponse && pdu.opcode() != kLogoutResponse;
    if (may_be_odd && !conn.held && strikes(faults.late)) {
        conn.held = pdu;
        return;
    }
    if (may_be_odd && strikes(faults.lie)) distort(conn, pdu);
    put_on_wire(conn, pdu);
    if (may_be_odd && strikes(faults.twice)) put_on_wire(conn, pdu);
    if (conn.held) put_on_wire(conn, *conn.held);
    conn.held.reset();
}

}  // namespace holdfast::sim
