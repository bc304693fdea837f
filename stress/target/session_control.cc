/// Task management, NOP, text, logout, async messages and Reject. RFC 7143
/// sections 11.5, 11.6, 11.9 to 11.11, 11.14, 11.15, 11.17 to 11.19 and appendix C.
#include <algorithm>

#include "base/serial.h"
#include "stress/target/reset.h"
#include "stress/target/session.h"

namespace holdfast::target {
namespace {

using CmdSn = Serial32<struct TargetCmdSnTag>;

enum class Function : std::uint8_t {
    AbortTask = 1,
    AbortTaskSet = 2,
    ClearAca = 3,
    ClearTaskSet = 4,
    LogicalUnitReset = 5,
    TargetWarmReset = 6,
    TargetColdReset = 7,
    TaskReassign = 8,
};

/// Section 11.6.1.
enum class FunctionResponse : std::uint8_t {
    Complete = 0,
    NoSuchTask = 1,
    NoSuchLun = 2,
    // 3, 0 and 1 are also judge_reassign()'s.
    ReassignNotSupported = 4,
    NotSupported = 5,
    Rejected = 255,
};

std::uint8_t raw(FunctionResponse response) {
    return static_cast<std::uint8_t>(response);
}

}  // namespace

std::uint8_t Session::abort_task(const Pdu& pdu, Services& services) {
    const std::uint32_t itt = be32_at<at::kReferencedTag>(pdu.header);
    if (tasks_.erase(itt) != 0) {
        ++services.counters.tasks_aborted;
        cancel_held_writes(services, [&](const HeldWrite& held) {
            return held.task.session == id_ && held.task.itt == itt;
        });
        return raw(FunctionResponse::Complete);
    }
    // Section 11.6.1: a command that is still to come counts as received and aborted.
    const CmdSn referenced{be32_at<at::kRefCmdSn>(pdu.header)};
    if (CmdSn{exp_cmd_sn_}.precedes_or_is(referenced) &&
        referenced.precedes(CmdSn{be32_at<at::kCmdSn>(pdu.header)})) {
        held_back_.erase(referenced.raw());
        return raw(FunctionResponse::Complete);
    }
    return raw(FunctionResponse::NoSuchTask);
}

void Session::on_task_management(Link& link, const Pdu& pdu, Services& services) {
    ++services.counters.task_management;
    const auto function = static_cast<Function>(flags_of(pdu.header) & 0x7fU);
    const std::uint16_t lun = be16_at<at::kLun>(pdu.header) & 0x3fffU;
    std::uint8_t response = raw(FunctionResponse::Complete);
    ResetScope scope = ResetScope::None;
    ResetOrder order;
    switch (function) {
    case Function::AbortTask: response = abort_task(pdu, services); break;
    case Function::AbortTaskSet: services.counters.tasks_aborted += abort_tasks(lun); break;
    case Function::ClearTaskSet: scope = ResetScope::TaskSet; break;
    case Function::LogicalUnitReset: scope = ResetScope::Unit; break;
    case Function::TargetWarmReset: scope = ResetScope::Target; break;
    case Function::TargetColdReset: scope = ResetScope::TargetAndConnections; break;
    case Function::TaskReassign:
        response = keeps_tasks() ? judge_reassign(be32_at<at::kReferencedTag>(pdu.header))
                                 : raw(FunctionResponse::ReassignNotSupported);
        break;
    case Function::ClearAca:
    default: response = raw(FunctionResponse::NotSupported); break;
    }
    const bool about_unit = scope == ResetScope::TaskSet || scope == ResetScope::Unit;
    if (about_unit && !services.units.contains(lun)) {
        response = raw(FunctionResponse::NoSuchLun);
    } else if (scope != ResetScope::None) {
        order = ResetOrder{.scope = scope, .lun = lun, .by = id_};
    }
    // The response says that the tasks are gone, so they go first; connections go after it.
    if (scope != ResetScope::TargetAndConnections) carry_out(order, services);
    Header header = start_header(Opcode::TaskManagementResponse);
    const std::span out{header};
    put_u8<at::kResponse>(out, response);
    put_be32<at::kItt>(out, be32_at<at::kItt>(pdu.header));
    link.put_stat_sn(header, true);
    put_window(header);
    link.send(header, {});
    if (scope == ResetScope::TargetAndConnections) carry_out(order, services);
    const bool is_taken_over = function == Function::TaskReassign && response == 0;
    if (is_taken_over) reassign(link, pdu, services);
}

void Session::on_nop_out(Link& link, const Pdu& pdu, Services& services) {
    const std::uint32_t itt = be32_at<at::kItt>(pdu.header);
    if (be32_at<at::kTtt>(pdu.header) != kNoTag) {
        link.ping_outstanding = false;
        ++services.counters.pings_answered;
    }
    if (itt == kNoTag) return;
    Header header = start_header(Opcode::NopIn);
    const std::span out{header};
    std::ranges::copy(pdu.header.subspan<at::kLun, 8>(), out.subspan<at::kLun, 8>().begin());
    put_be32<at::kItt>(out, itt);
    put_be32<at::kTtt>(out, kNoTag);
    link.put_stat_sn(header, true);
    put_window(header);
    link.send(header, pdu.data.first(
                          std::min<std::size_t>(pdu.data.size(), link.params.peer_max_recv_bytes)));
}

void Session::send_ping(Link& link) {
    Header header = start_header(Opcode::NopIn);
    const std::span out{header};
    put_be32<at::kItt>(out, kNoTag);
    put_be32<at::kTtt>(out, next_ttt_++);
    link.put_stat_sn(header, false);
    put_window(header);
    link.send(header, {});
    link.ping_outstanding = true;
}

std::string Session::send_targets(const Link& link, const std::string& wanted, Services& services) {
    TextWriter out;
    const auto& config = services.config;
    // Appendix C: a normal session may only ask about its own target.
    const bool all = identity_.discovery && wanted == "All";
    const auto& own = wanted.empty() ? identity_.target_name : wanted;
    for (const auto& name : config.names) {
        if (!all && (name != own || (!identity_.discovery && name != identity_.target_name)))
            continue;
        out.add("TargetName", name);
        out.add("TargetAddress", link.local_address + ",1");
        for (const auto& portal : config.portals) out.add("TargetAddress", portal);
    }
    for (std::uint32_t i = 0; all && i < config.decoy_targets; ++i) {
        out.add("TargetName", "iqn.2026-01.net.holdfast:decoy" + std::to_string(i));
        out.add("TargetAddress", link.local_address + ",1");
    }
    return out.take();
}

std::string Session::answer_text(Link& link, const std::string& text, Services& services) {
    const auto keys = parse_text(text);
    TextWriter out;
    if (!keys) {
        services.violation("6.1: text that is no list of key=value pairs");
        return {};
    }
    for (const auto& key : *keys) {
        if (key.key == "SendTargets") return send_targets(link, key.value, services);
        const auto number = parse_number(key.value);
        if (key.key == "MaxRecvDataSegmentLength" && number && *number >= 512 &&
            *number < (1U << 24)) {
            link.params.peer_max_recv_bytes = static_cast<std::uint32_t>(*number);
        } else {
            out.add(key.key, "NotUnderstood");
        }
    }
    return out.take();
}

void Session::on_text(Link& link, const Pdu& pdu, Services& services) {
    const bool more_to_come = (flags_of(pdu.header) & bit::kContinue) != 0;
    if (link.text_begun.size() + pdu.data.size() > kTextBytesMax) {
        services.violation("6.1: more text than the target takes");
        send_reject(link, pdu, RejectReason::ProtocolError);
        link.close_after_flush();
        return;
    }
    if (be32_at<at::kTtt>(pdu.header) == kNoTag) link.text_left.clear();
    link.text_begun.append(as_text(pdu.data));
    if (!more_to_come && !link.text_begun.empty())
        link.text_left = answer_text(link, std::exchange(link.text_begun, {}), services);
    const std::string part = link.text_left.substr(0, link.params.peer_max_recv_bytes);
    link.text_left.erase(0, part.size());
    const bool final = !more_to_come && link.text_left.empty();
    Header header = start_header(Opcode::TextResponse);
    const std::span out{header};
    const bool continues = !link.text_left.empty();
    put_u8<at::kFlags>(out, final ? bit::kFinal : (continues ? bit::kContinue : std::uint8_t{0}));
    put_be32<at::kItt>(out, be32_at<at::kItt>(pdu.header));
    put_be32<at::kTtt>(out, final ? kNoTag : next_ttt_++);
    link.put_stat_sn(header, true);
    put_window(header);
    link.send(header, std::as_bytes(std::span{part}));
}

void Session::on_logout(Link& link, const Pdu& pdu, Services& services) {
    constexpr std::uint8_t kCloseSession = 0;
    constexpr std::uint8_t kCloseConnection = 1;
    constexpr std::uint8_t kCidNotFound = 1;
    constexpr std::uint8_t kForRecovery = 2;
    constexpr std::uint8_t kNoRecovery = 2;
    const std::uint8_t reason = flags_of(pdu.header) & 0x7fU;
    const std::uint16_t cid = be16_at<at::kCid>(pdu.header);
    ++services.counters.logouts;
    LinkId closing = link.id;
    std::uint8_t response = 0;
    const bool is_for_recovery = reason == kForRecovery && keeps_tasks();
    if (is_for_recovery) {
        if (!log_out_for_recovery(cid, services)) response = kCidNotFound;
    } else if (reason != kCloseSession) {
        const auto found = std::ranges::find_if(links_, [&](LinkId id) {
            const auto other = services.links.find(id);
            return other != services.links.end() && other->second->cid == cid;
        });
        closing = found == links_.end() ? 0 : *found;
        if (closing == 0) response = kCidNotFound;
        if (reason != kCloseConnection) response = kNoRecovery;
    }
    Header header = start_header(Opcode::LogoutResponse);
    const std::span out{header};
    put_u8<at::kResponse>(out, response);
    put_be32<at::kItt>(out, be32_at<at::kItt>(pdu.header));
    link.put_stat_sn(header, true);
    put_window(header);
    put_be16<at::kTime2Wait>(out,
                             static_cast<std::uint16_t>(services.config.operational.time2wait_s));
    link.send(header, {});
    if (response != 0 || is_for_recovery) return;
    for (const LinkId id : links_) {
        if (reason != kCloseSession && id != closing) continue;
        const auto other = services.links.find(id);
        if (other != services.links.end()) other->second->close_after_flush();
    }
}

void Session::send_async(Link& link, AsyncEvent event, std::array<std::uint16_t, 3> parameters,
                         Bytes data) {
    Header header = start_header(Opcode::AsyncMessage);
    const std::span out{header};
    put_be32<at::kItt>(out, kNoTag);
    link.put_stat_sn(header, true);
    put_window(header);
    put_u8<at::kAsyncEvent>(out, static_cast<std::uint8_t>(event));
    put_be16<at::kAsyncParameter1>(out, parameters[0]);
    put_be16<at::kAsyncParameter2>(out, parameters[1]);
    put_be16<at::kAsyncParameter3>(out, parameters[2]);
    link.send(header, data);
}

void Session::send_async_sense(Link& link, const Sense& sense) {
    const auto fixed = fixed_sense(sense);
    std::array<std::byte, 2 + fixed.size()> data{};
    put_be16<0>(std::span{data}, static_cast<std::uint16_t>(fixed.size()));
    std::ranges::copy(fixed, std::span{data}.subspan<2>().begin());
    send_async(link, AsyncEvent::Sense, {}, data);
}

void Session::send_reject(Link& link, const Pdu& pdu, RejectReason reason) {
    Header header = start_header(Opcode::Reject);
    const std::span out{header};
    put_u8<at::kResponse>(out, static_cast<std::uint8_t>(reason));
    put_be32<at::kItt>(out, kNoTag);
    link.put_stat_sn(header, true);
    put_window(header);
    link.send(header, pdu.header);
}

}  // namespace holdfast::target
