/// Data from the initiator: unsolicited Data-Out, R2Ts and what answers them. RFC 7143 sections
/// 4.2.5.2, 11.7 and 11.8.
#include <algorithm>

#include "base/assert.h"
#include "stress/target/session.h"

namespace holdfast::target {

void Session::on_data_out(Link& link, const Pdu& pdu, Services& services) {
    const auto found = tasks_.find(be32_at<at::kItt>(pdu.header));
    if (found == tasks_.end()) {
        // Data for a task that was aborted or failed early is legal, and of no use.
        if (!hold_back(pdu, services)) ++services.counters.stray_data_out;
        return;
    }
    if (found->second.link != link.id) {
        services.violation("4.2.5.1: Data-Out on another connection than its command");
        send_reject(link, pdu, RejectReason::ProtocolError);
        return;
    }
    if (be32_at<at::kTtt>(pdu.header) == kNoTag) {
        take_unsolicited(link, found->second, pdu, services);
    } else {
        take_solicited(link, found->second, pdu, services);
    }
}

void Session::take_unsolicited(Link& link, Task& task, const Pdu& pdu, Services& services) {
    const std::uint64_t offset = be32_at<at::kBufferOffset>(pdu.header);
    const bool final = (flags_of(pdu.header) & bit::kFinal) != 0;
    const char* broken = nullptr;
    if (!task.unsolicited_open) {
        broken = "11.7.4: Data-Out without a TTT that nothing announced";
    } else if (offset + pdu.data.size() > params_.first_burst_bytes) {
        broken = "13.14: unsolicited data beyond FirstBurstLength";
    } else if (be32_at<at::kDataSn>(pdu.header) != task.unsolicited_data_sn) {
        broken = "11.7.5: DataSN out of sequence";
    }
    if (broken != nullptr) {
        services.violation(broken);
        refuse(link, task.itt, kUnexpectedUnsolicitedData, services);
        return;
    }
    ++task.unsolicited_data_sn;
    services.counters.unsolicited_bytes += pdu.data.size();
    if (offset < task.out.size()) {
        const auto room = std::span{task.out}.subspan(offset);
        const auto taken = pdu.data.first(std::min(pdu.data.size(), room.size()));
        std::ranges::copy(taken, room.begin());
        task.out_received =
            std::max(task.out_received, static_cast<std::uint32_t>(offset + taken.size()));
    }
    if (!final) return;
    task.unsolicited_open = false;
    plan_bursts(task, services);
    advance(link, task, services);
}

void Session::plan_bursts(Task& task, Services& services) {
    const std::uint32_t longest =
        services.config.r2t_bytes == 0
            ? params_.max_burst_bytes
            : std::min(services.config.r2t_bytes, params_.max_burst_bytes);
    for (auto offset = task.out_received; offset < task.out_wanted;) {
        const auto left = static_cast<std::uint32_t>(task.out_wanted) - offset;
        const std::uint32_t length = std::min(left, longest);
        task.bursts_left.push_back(Burst{.offset = offset, .length = length});
        offset += length;
    }
    if (!services.config.shuffle || params_.data_sequence_in_order) return;
    for (std::size_t i = task.bursts_left.size(); i > 1; --i)
        std::swap(task.bursts_left[i - 1], task.bursts_left[services.random.below(i)]);
}

std::uint32_t Session::next_tag() {
    if (next_ttt_ == kNoTag) next_ttt_ = 1;
    return next_ttt_++;
}

std::uint16_t Session::wire_lun(std::uint16_t lun) {
    return lun < 256 ? lun : static_cast<std::uint16_t>(0x4000U | lun);
}

void Session::send_r2t(Link& link, Task& task, Burst burst, Services& services) {
    burst.ttt = next_tag();
    Header header = start_header(Opcode::ReadyToTransfer);
    const std::span out{header};
    put_be16<at::kLun>(out, wire_lun(task.lun));
    put_be32<at::kItt>(out, task.itt);
    put_be32<at::kTtt>(out, burst.ttt);
    link.put_stat_sn(header, false);
    put_window(header);
    put_be32<at::kDataSn>(out, task.next_r2t_sn++);
    put_be32<at::kBufferOffset>(out, burst.offset);
    put_be32<at::kDesiredLength>(out, burst.length);
    link.send(header, {});
    task.bursts_open.push_back(burst);
    ++services.counters.r2ts;
}

void Session::solicit(Link& link, Task& task, Services& services) {
    while (!task.bursts_left.empty() && task.bursts_open.size() < params_.max_outstanding_r2t) {
        const Burst burst = task.bursts_left.front();
        task.bursts_left.pop_front();
        send_r2t(link, task, burst, services);
    }
}

void Session::take_solicited(Link& link, Task& task, const Pdu& pdu, Services& services) {
    const std::uint32_t ttt = be32_at<at::kTtt>(pdu.header);
    const std::uint32_t offset = be32_at<at::kBufferOffset>(pdu.header);
    const auto burst = std::ranges::find(task.bursts_open, ttt, &Burst::ttt);
    const bool final = (flags_of(pdu.header) & bit::kFinal) != 0;
    const char* broken = nullptr;
    if (burst == task.bursts_open.end()) {
        broken = "11.7.4: Data-Out with a TTT that no open R2T has";
    } else if (offset < burst->offset || offset - burst->offset > burst->length ||
               pdu.data.size() > burst->length - (offset - burst->offset)) {
        broken = "11.8.4: Data-Out outside what its R2T asked for";
    } else if (params_.data_pdu_in_order && offset != burst->offset + burst->received) {
        broken = "11.7.6: Data-Out out of order although DataPDUInOrder=Yes";
    } else if (be32_at<at::kDataSn>(pdu.header) != burst->next_data_sn) {
        broken = "11.7.5: DataSN out of sequence";
    } else if (final != (burst->received + pdu.data.size() == burst->length)) {
        broken = "11.7.1: the F bit is not on the last Data-Out of its sequence";
    }
    if (broken != nullptr) {
        services.violation(broken);
        send_reject(link, pdu, RejectReason::ProtocolError);
        link.close_after_flush();
        return;
    }
    std::ranges::copy(pdu.data, std::span{task.out}.subspan(offset).begin());
    burst->received += static_cast<std::uint32_t>(pdu.data.size());
    ++burst->next_data_sn;
    if (!final) return;
    task.out_received += burst->received;
    task.bursts_open.erase(burst);
    advance(link, task, services);
}

void Session::advance(Link& link, Task& task, Services& services) {
    if (task.unsolicited_open || task.waits) return;
    solicit(link, task, services);
    if (task.out_received < task.out_wanted) return;
    if (task.faults.delay) {
        task.waits = true;
        services.later.emplace(services.now + *task.faults.delay,
                               DelayedTask{.session = id_, .itt = task.itt});
        return;
    }
    if (task.faults.hold_write && task.out_wanted != 0) {
        task.waits = true;
        services.later.emplace(services.now + *task.faults.hold_write,
                               HeldWrite{.task = {.session = id_, .itt = task.itt},
                                         .lun = task.lun,
                                         .cdb = task.cdb,
                                         .data = std::move(task.out),
                                         .nexus = nexus()});
        return;
    }
    const Task done = take_task(task.itt);
    finish(link, done, execute(done, done.out, services), services);
}

Task Session::take_task(std::uint32_t itt) {
    auto node = tasks_.extract(itt);
    HF_ASSERT(!node.empty());
    return std::move(node.mapped());
}

void Session::refuse(Link& link, std::uint32_t itt, const Sense& sense, Services& services) {
    if (!tasks_.contains(itt)) return;
    const Task task = take_task(itt);
    finish(link, task, Outcome::check(sense), services);
}

void Session::run_delayed(std::uint32_t itt, Services& services) {
    const auto found = tasks_.find(itt);
    if (found == tasks_.end()) return;
    Task task = take_task(itt);
    const Outcome outcome = execute(task, task.out, services);
    conclude(std::move(task), outcome, services);
}

void Session::finish_held(std::uint32_t itt, const Outcome& outcome, Services& services) {
    const auto found = tasks_.find(itt);
    if (found == tasks_.end()) return;
    conclude(take_task(itt), outcome, services);
}

}  // namespace holdfast::target
