#include "stress/target/session.h"

#include <algorithm>

#include "base/serial.h"

namespace holdfast::target {
namespace {

using CmdSn = Serial32<struct TargetCmdSnTag>;

/// Peripheral and flat addressing, and the low half of anything else. SAM-5 section 4.7.
std::uint16_t lun_of(HeaderView header) {
    return be16_at<at::kLun>(header) & 0x3fffU;
}

}  // namespace

Session::Session(SessionId id, std::uint16_t tsih, const Login& login, std::uint32_t first_cmd_sn,
                 const TargetConfig& config)
    : id_(id),
      tsih_(tsih),
      identity_(login.identity()),
      params_(login.session_params()),
      queue_depth_(config.queue_depth),
      exp_cmd_sn_(first_cmd_sn),
      max_cmd_sn_(first_cmd_sn + config.queue_depth - 1) {
    if (!config.unit_attention_on_login || identity_.discovery) return;
    for (const auto& lun : config.luns) attentions_[lun.id].push_back(kPowerOn);
}

std::string Session::nexus() const {
    return identity_.initiator_name + std::string{as_text(identity_.isid)} + identity_.target_name;
}

void Session::put_window(Header& header) {
    const auto busy =
        static_cast<std::uint32_t>(std::min<std::size_t>(tasks_.size(), queue_depth_));
    const CmdSn wanted = CmdSn{exp_cmd_sn_}.plus(queue_depth_ - busy - 1);
    // The window never shrinks. RFC 7143 section 4.2.2.1.
    if (CmdSn{max_cmd_sn_}.precedes(wanted)) max_cmd_sn_ = wanted.raw();
    put_be32<at::kExpCmdSn>(std::span{header}, exp_cmd_sn_);
    put_be32<at::kMaxCmdSn>(std::span{header}, max_cmd_sn_);
}

void Session::add_unit_attention(std::uint16_t lun, const Sense& sense) {
    attentions_[lun].push_back(sense);
}

std::optional<Sense> Session::take_unit_attention(std::uint16_t lun, std::uint8_t opcode) {
    // SPC-4 section 5.6: these report what they can in spite of a pending unit attention.
    if (opcode == scsi_op::kInquiry || opcode == scsi_op::kReportLuns ||
        opcode == scsi_op::kRequestSense)
        return {};
    const auto found = attentions_.find(lun);
    if (found == attentions_.end() || found->second.empty()) return {};
    const Sense sense = found->second.front();
    found->second.pop_front();
    return sense;
}

void Session::on_pdu(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services) {
    const auto opcode = static_cast<Opcode>(opcode_of(pdu.header));
    if (keeps_tasks()) take_acknowledgement(link, be32_at<at::kExpStatSn>(pdu.header));
    if (params_.recovery_level > 0) link.sent.acknowledge(be32_at<at::kExpStatSn>(pdu.header));
    if (!pdu.data_intact) {
        // Section 7.8: discard, say so; the command then never existed.
        ++services.counters.digest_errors;
        send_reject(link, pdu, RejectReason::DataDigestError);
        if (opcode != Opcode::DataOut) return;
        refuse(link, be32_at<at::kItt>(pdu.header), kCrcError, services);
        return;
    }
    if (opcode == Opcode::DataOut) {
        on_data_out(link, pdu, services);
    } else if (opcode == Opcode::Snack) {
        on_snack(link, pdu, services);
    } else if (is_immediate(pdu.header)) {
        dispatch(link, pdu, faults, services);
    } else {
        on_numbered(link, pdu, faults, services);
    }
}

void Session::on_numbered(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services) {
    const CmdSn number{be32_at<at::kCmdSn>(pdu.header)};
    const CmdSn expected{exp_cmd_sn_};
    if (number.precedes(expected)) return;  // a duplicate. Section 4.2.2.1.
    if (CmdSn{max_cmd_sn_}.precedes(number)) {
        services.violation("4.2.2.1: CmdSN above MaxCmdSN");
        return;
    }
    if (number != expected) {
        HeldBack& held = held_back_[number.raw()];
        held.link = link.id;
        held.pdus.push_back(StoredPdu::copy_of(pdu));
        return;
    }
    ++exp_cmd_sn_;
    dispatch(link, pdu, faults, services);
    for (auto next = held_back_.find(exp_cmd_sn_); next != held_back_.end();
         next = held_back_.find(exp_cmd_sn_)) {
        const HeldBack held = std::move(next->second);
        held_back_.erase(next);
        ++exp_cmd_sn_;
        const auto owner = services.links.find(held.link);
        if (owner == services.links.end()) continue;  // Its connection is gone, and so is the task.
        dispatch(*owner->second, held.pdus.front().view(), {}, services);
        for (const auto& data : std::span{held.pdus}.subspan(1))
            on_data_out(*owner->second, data.view(), services);
    }
}

bool Session::hold_back(const Pdu& pdu, Services& /*services*/) {
    const std::uint32_t itt = be32_at<at::kItt>(pdu.header);
    for (auto& [number, held] : held_back_) {
        if (be32_at<at::kItt>(HeaderView{held.pdus.front().header}) != itt) continue;
        held.pdus.push_back(StoredPdu::copy_of(pdu));
        return true;
    }
    return false;
}

void Session::dispatch(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services) {
    const std::uint8_t opcode = opcode_of(pdu.header);
    const bool allowed_in_discovery = opcode == static_cast<std::uint8_t>(Opcode::Text) ||
                                      opcode == static_cast<std::uint8_t>(Opcode::Logout) ||
                                      opcode == static_cast<std::uint8_t>(Opcode::NopOut);
    if (identity_.discovery && !allowed_in_discovery) {
        services.violation("4.3: a discovery session sent more than Text and Logout");
        send_reject(link, pdu, RejectReason::ProtocolError);
        link.close_after_flush();
        return;
    }
    switch (opcode) {
    case static_cast<std::uint8_t>(Opcode::ScsiCommand):
        on_command(link, pdu, faults, services);
        break;
    case static_cast<std::uint8_t>(Opcode::TaskManagement):
        on_task_management(link, pdu, services);
        break;
    case static_cast<std::uint8_t>(Opcode::NopOut): on_nop_out(link, pdu, services); break;
    case static_cast<std::uint8_t>(Opcode::Text): on_text(link, pdu, services); break;
    case static_cast<std::uint8_t>(Opcode::Logout): on_logout(link, pdu, services); break;
    default:
        services.violation("11.2.1.2: an opcode that has no place in the full feature phase");
        send_reject(link, pdu, RejectReason::CommandNotSupported);
        link.close_after_flush();
        break;
    }
}

std::optional<Outcome> Session::early_answer(const Task& task, Services& services) {
    const std::uint8_t opcode = u8_at<0>(CdbView{task.cdb});
    if (task.faults.status) return Outcome{.status = *task.faults.status};
    if (task.faults.sense) return Outcome::check(*task.faults.sense);
    if (const auto attention = take_unit_attention(task.lun, opcode))
        return Outcome::check(*attention);
    const auto unit = services.units.find(task.lun);
    if (unit == services.units.end()) {
        if (opcode == scsi_op::kInquiry || opcode == scsi_op::kReportLuns) return {};
        return Outcome::check(kNoSuchLun);
    }
    if (opcode == scsi_op::kReportLuns) return {};
    if (unit->second.is_reserved_against(nexus(), task.cdb))
        return Outcome{.status = ScsiStatus::ReservationConflict};
    const Plan plan = unit->second.plan(task.cdb);
    if (plan.refusal) return Outcome::check(*plan.refusal);
    if (plan.exact && plan.out_bytes != task.edtl) return Outcome::check(kInvalidFieldInCdb);
    return {};
}

Outcome Session::execute(const Task& task, Bytes data_out, Services& services) {
    const std::uint8_t opcode = u8_at<0>(CdbView{task.cdb});
    if (opcode == scsi_op::kReportLuns) {
        std::vector<std::uint16_t> luns;
        for (const auto& unit : services.units) luns.push_back(unit.first);
        return report_luns(task.cdb, luns);
    }
    const auto unit = services.units.find(task.lun);
    if (unit == services.units.end()) return inquiry_without_unit(task.cdb);
    if (opcode == scsi_op::kPersistentReserveOut) return reserve(task, data_out, services);
    services.counters.bytes_written += data_out.size();
    const auto block = parse_block_command(task.cdb);
    if (block && block->action == BlockAction::Write && block->fua) ++services.counters.fua_writes;
    return unit->second.run(task.cdb, data_out);
}

void Session::on_command(Link& link, const Pdu& pdu, const PduFaults& faults, Services& services) {
    const HeaderView header = pdu.header;
    Task task;
    task.itt = be32_at<at::kItt>(header);
    task.cmd_sn = be32_at<at::kCmdSn>(header);
    task.lun = lun_of(header);
    task.edtl = be32_at<at::kExpectedLength>(header);
    task.flags = flags_of(header);
    task.link = link.id;
    task.faults = faults;
    std::ranges::copy(header.subspan<at::kCdb, 16>(), task.cdb.begin());
    ++services.counters.commands;
    ++services.counters.scsi[u8_at<0>(CdbView{task.cdb})];
    if (task.itt == kNoTag || tasks_.contains(task.itt)) {
        services.violation("11.2.1.8: an ITT that is reserved or in use");
        send_reject(
            link, pdu,
            task.itt == kNoTag ? RejectReason::InvalidPduField : RejectReason::TaskInProgress);
        return;
    }
    begin(link, task, pdu.data, services);
}

void Session::begin(Link& link, Task& task, Bytes immediate, Services& services) {
    if (auto outcome = early_answer(task, services)) {
        finish(link, task, *outcome, services);
        return;
    }
    const bool writes = (task.flags & bit::kWrite) != 0;
    const auto unit = services.units.find(task.lun);
    const std::uint64_t wanted =
        unit == services.units.end() ? 0 : unit->second.plan(task.cdb).out_bytes;
    task.out_total = wanted;
    task.out_wanted = writes ? std::min<std::uint64_t>(wanted, task.edtl) : 0;
    task.unsolicited_open = writes && (task.flags & bit::kFinal) == 0;
    if (!immediate.empty() &&
        (!params_.immediate_data || immediate.size() > params_.first_burst_bytes)) {
        services.violation("13.14: immediate data that was not agreed");
        finish(link, task, Outcome::check(kUnexpectedUnsolicitedData), services);
        return;
    }
    if (task.unsolicited_open && params_.initial_r2t) {
        services.violation("13.11: unsolicited Data-Out although InitialR2T=Yes");
        finish(link, task, Outcome::check(kUnexpectedUnsolicitedData), services);
        return;
    }
    services.counters.unsolicited_bytes += immediate.size();
    const std::uint64_t taken = std::min<std::uint64_t>(immediate.size(), task.out_wanted);
    const bool at_once = !task.faults.delay && !task.faults.hold_write;
    if (taken == task.out_wanted && !task.unsolicited_open && at_once) {
        finish(link, task, execute(task, immediate.first(taken), services), services);
        return;
    }
    task.out.resize(task.out_wanted);
    std::ranges::copy(immediate.first(taken), task.out.begin());
    task.out_received = static_cast<std::uint32_t>(taken);
    if (!task.unsolicited_open) plan_bursts(task, services);
    Task& kept = tasks_.emplace(task.itt, std::move(task)).first->second;
    advance(link, kept, services);
}

std::size_t Session::abort_tasks(std::optional<std::uint16_t> lun) {
    return std::erase_if(tasks_, [&](const auto& task) { return !lun || task.second.lun == *lun; });
}

}  // namespace holdfast::target
