/// What scripted faults do to the target.
#include <algorithm>

#include "stress/target/target.h"

namespace holdfast::target {
namespace {

constexpr std::size_t kGarbageChunkBytes = 8;

FaultOp op_of_command(std::uint8_t opcode) {
    switch (opcode) {
    case scsi_op::kRead6:
    case scsi_op::kRead10:
    case scsi_op::kRead12:
    case scsi_op::kRead16: return FaultOp::Read;
    case scsi_op::kWrite6:
    case scsi_op::kWrite10:
    case scsi_op::kWrite12:
    case scsi_op::kWrite16:
    case scsi_op::kWriteVerify10:
    case scsi_op::kWriteVerify12:
    case scsi_op::kWriteVerify16: return FaultOp::Write;
    case scsi_op::kSyncCache10:
    case scsi_op::kSyncCache16: return FaultOp::Flush;
    case scsi_op::kUnmap:
    case scsi_op::kWriteSame10:
    case scsi_op::kWriteSame16: return FaultOp::Unmap;
    default: return FaultOp::Command;
    }
}

FaultOp op_of_pdu(std::uint8_t opcode) {
    switch (opcode) {
    case static_cast<std::uint8_t>(Opcode::DataOut): return FaultOp::DataOut;
    case static_cast<std::uint8_t>(Opcode::Login): return FaultOp::Login;
    case static_cast<std::uint8_t>(Opcode::NopOut): return FaultOp::Nop;
    case static_cast<std::uint8_t>(Opcode::Text): return FaultOp::Text;
    case static_cast<std::uint8_t>(Opcode::TaskManagement): return FaultOp::TaskManagement;
    case static_cast<std::uint8_t>(Opcode::Logout): return FaultOp::Logout;
    default: return FaultOp::Any;
    }
}

bool strikes_replies(FaultKind kind) {
    return kind == FaultKind::CloseAtByte || kind == FaultKind::CorruptHeaderDigest ||
           kind == FaultKind::CorruptDataDigest || kind == FaultKind::CorruptData ||
           kind == FaultKind::LosePdu;
}

}  // namespace

void Target::add_fault(FaultRule rule, Instant now) {
    services_.now = now;
    if (rule.when == FaultRule::When::Now && strikes_without_pdu(rule)) {
        apply_at_once(rule.action, nullptr);
        return;
    }
    plan_.add(std::move(rule), now);
}

PduFacts Target::facts_of(const Link& link, const Pdu& pdu) {
    PduFacts facts{.connection = link.id, .is_full_feature = link.full_feature};
    const std::uint8_t opcode = opcode_of(pdu.header);
    facts.is_command = opcode == static_cast<std::uint8_t>(Opcode::ScsiCommand);
    if (facts.is_command) {
        facts.op = op_of_command(u8_at<at::kCdb>(pdu.header));
        facts.lun = be16_at<at::kLun>(pdu.header) & 0x3fffU;
    } else {
        facts.op = op_of_pdu(opcode);
    }
    return facts;
}

bool Target::apply_faults(Link& link, const Pdu& pdu, PduFaults& faults) {
    bool go_on = true;
    for (const FaultAction& fault : plan_.on_pdu(facts_of(link, pdu)))
        go_on = apply_to_pdu(fault, link, pdu, faults) && go_on;
    return go_on && link.state == LinkState::Open;
}

bool Target::apply_to_pdu(const FaultAction& fault, Link& link, const Pdu& pdu, PduFaults& faults) {
    using enum FaultKind;
    if (acts_at_once(fault.kind)) {
        apply_at_once(fault, &link);
        // A dead target does not act on the PDU that struck it down.
        return fault.kind != PowerCut && fault.kind != Reset;
    }
    count_fault(fault);
    if (fault.kind == Drop) return false;
    if (fault.kind == Reject) {
        if (Session* session = session_of(link); session != nullptr)
            session->send_reject(link, pdu, static_cast<RejectReason>(fault.number));
        return false;
    }
    if (fault.kind == Delay && !facts_of(link, pdu).is_command) {
        later_.emplace(services_.now + fault.duration,
                       DelayedPdu{.link = link.id, .pdu = StoredPdu::copy_of(pdu)});
        return false;
    }
    if (fault.kind == Delay) faults.delay = fault.duration;
    if (fault.kind == DropReply) faults.drop_reply = true;
    if (fault.kind == Busy) faults.status = ScsiStatus::Busy;
    if (fault.kind == TaskSetFull) faults.status = ScsiStatus::TaskSetFull;
    if (fault.kind == ReservationConflict) faults.status = ScsiStatus::ReservationConflict;
    if (fault.kind == Check) faults.sense = Sense{fault.sense_key, fault.asc, fault.ascq, {}};
    if (fault.kind == HoldWrite) faults.hold_write = fault.duration;
    if (strikes_replies(fault.kind)) link.arm(fault);
    return true;
}

void Target::count_fault(const FaultAction& fault) {
    const std::string name{fault_name(fault.kind)};
    ++counters_.faults[name];
    services_.note("fault: " + name);
}

void Target::apply_at_once(const FaultAction& fault, Link* only) {
    using enum FaultKind;
    count_fault(fault);
    if (fault.kind == PowerCut) {
        power_cut(fault);
    } else if (fault.kind == Resize) {
        resize(fault);
    } else if (fault.kind == FaultKind::Redirect) {
        redirect_once_ = {fault.text, fault.variant};
    } else if (only != nullptr) {
        apply_to_link(fault, *only);
    } else {
        if (fault.kind == StopAnswering && !fault.connection)
            mute_until_ = services_.now + fault.duration;
        for (const auto& [id, link] : links_) {
            if (fault.connection.value_or(id) == id) apply_to_link(fault, *link);
        }
    }
}

void Target::apply_to_link(const FaultAction& fault, Link& link) {
    touch(link.id);
    if (fault.kind == FaultKind::Reset) link.reset();
    if (fault.kind == FaultKind::Close) link.close_after_flush();
    if (fault.kind == FaultKind::StopAnswering) link.mute_until = services_.now + fault.duration;
    if (fault.kind == FaultKind::Garbage) {
        for (std::uint64_t left = fault.number; left != 0;) {
            const std::uint64_t noise = random_.next();
            const auto count = std::min<std::uint64_t>(left, kGarbageChunkBytes);
            link.send_raw(std::as_bytes(std::span{&noise, 1}).first(count));
            left -= count;
        }
    }
    if (Session* session = session_of(link); session != nullptr && link.full_feature)
        apply_to_session(fault, link, *session);
}

void Target::apply_to_session(const FaultAction& fault, Link& link, Session& session) {
    using enum FaultKind;
    const auto seconds = static_cast<std::uint16_t>(fault.number);
    const Sense attention{sense_key::kUnitAttention, fault.asc, fault.ascq, {}};
    if (fault.kind == UnitAttention) {
        for (const auto& unit : units_) session.add_unit_attention(unit.first, attention);
    } else if (fault.kind == AsyncLogout) {
        session.send_async(link, AsyncEvent::LogoutRequest, {0, 0, seconds}, {});
    } else if (fault.kind == AsyncDrop) {
        session.send_async(link, AsyncEvent::ConnectionDrop, {link.cid, seconds, seconds}, {});
        link.close_after_flush();
    } else if (fault.kind == AsyncDropAll) {
        session.send_async(link, AsyncEvent::SessionDrop, {0, seconds, 0}, {});
        link.close_after_flush();
    } else if (fault.kind == AsyncNegotiate) {
        session.send_async(link, AsyncEvent::Negotiate, {0, 0, seconds}, {});
    } else if (fault.kind == AsyncVendor) {
        session.send_async(link, AsyncEvent::Vendor, {}, {});
    } else if (fault.kind == AsyncSense) {
        session.send_async_sense(link, attention);
    } else if (fault.kind == Ping) {
        session.send_ping(link);
    }
}

void Target::power_cut(const FaultAction& fault) {
    ++counters_.power_cuts;
    for (auto& unit : units_) {
        unit.second.reservations().clear();
        counters_.blocks_lost += unit.second.disk().power_cut(
            fault.variant ? CutStyle::RandomSubset : CutStyle::All, random_);
    }
    later_.clear();
    sessions_.clear();
    dark_until_ = services_.now + fault.duration;
    for (const auto& [id, link] : links_) {
        link->session = kNoSession;
        link->reset();
        touch(id);
    }
}

void Target::resize(const FaultAction& fault) {
    const auto unit = units_.find(fault.lun);
    if (unit == units_.end()) return;
    Disk& disk = unit->second.disk();
    disk.resize(fault.number / disk.block_bytes());
    for (const auto& [id, session] : sessions_)
        session->add_unit_attention(fault.lun, kCapacityChanged);
}

}  // namespace holdfast::target
