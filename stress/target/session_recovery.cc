/// What a lost connection leaves behind at recovery level 2, and who takes it over. RFC 7143
/// sections 6.3.4, 7.2.2, 7.5, 11.5.1, 11.6.1 and 11.14.
#include <algorithm>

#include "base/serial.h"
#include "stress/target/session.h"

namespace holdfast::target {
namespace {

using StatSn = Serial32<struct TargetStatSnTag>;

// Responses to TASK REASSIGN. Section 11.6.1.
constexpr std::uint8_t kComplete = 0;
constexpr std::uint8_t kNoSuchTask = 1;
constexpr std::uint8_t kStillAllegiant = 3;

}  // namespace

void Session::remove_link(const Link& link, Services& services) {
    std::erase(links_, link.id);
    if (!keeps_tasks() || !link.full_feature) {
        std::erase_if(tasks_, [&](const auto& task) { return task.second.link == link.id; });
        return;
    }
    // What had not come in turn was never acknowledged, and is to be sent again.
    std::erase_if(held_back_, [&](const auto& held) { return held.second.link == link.id; });
    lost_.emplace(link.id, LostLink{.cid = link.cid});
    services.later.emplace(
        services.now + Duration::from_s(params_.time2wait_s + params_.time2retain_s),
        RetainEnd{.session = id_, .link = link.id});
}

bool Session::log_out_for_recovery(std::uint16_t cid, Services& services) {
    for (const LinkId id : links_) {
        const auto found = services.links.find(id);
        if (found == services.links.end() || found->second->cid != cid) continue;
        Link& link = *found->second;
        remove_link(link, services);
        link.session = kNoSession;
        link.reset();
        break;
    }
    bool is_found = false;
    for (auto& [id, lost] : lost_) {
        if (lost.cid != cid || lost.is_logged_out) continue;
        lost.is_logged_out = true;
        is_found = true;
    }
    if (is_found) ++services.counters.recovery_logouts;
    return is_found;
}

void Session::forget_link(LinkId link, Services& services) {
    lost_.erase(link);
    services.counters.tasks_forgotten +=
        std::erase_if(tasks_, [&](const auto& task) { return task.second.link == link; });
    std::erase_if(answered_, [&](const Answered& answered) { return answered.link == link; });
}

/// For a task whose time has come, whether or not its connection is there.
void Session::conclude(Task task, const Outcome& outcome, Services& services) {
    const auto link = services.links.find(task.link);
    if (link != services.links.end() && link->second->session == id_)
        return finish(*link->second, task, outcome, services);
    if (lost_.contains(task.link)) keep_answer(task.link, 0, task, outcome);
}

void Session::keep_answer(LinkId link, std::uint32_t stat_sn, const Task& task,
                          const Outcome& outcome) {
    Answered kept{.task = {}, .outcome = {}, .link = link, .stat_sn = stat_sn};
    // All but the data: a write is not executed again, and a read reads again.
    kept.task.itt = task.itt;
    kept.task.lun = task.lun;
    kept.task.edtl = task.edtl;
    kept.task.cdb = task.cdb;
    kept.task.flags = task.flags;
    kept.task.out_total = task.out_total;
    kept.task.out_received = task.out_received;
    kept.outcome.status = outcome.status;
    kept.outcome.sense = outcome.sense;
    answered_.push_back(std::move(kept));
}

void Session::take_acknowledgement(const Link& link, std::uint32_t exp_stat_sn) {
    std::erase_if(answered_, [&](const Answered& answered) {
        return answered.link == link.id && StatSn{answered.stat_sn}.precedes(StatSn{exp_stat_sn});
    });
}

std::uint8_t Session::judge_reassign(std::uint32_t itt) const {
    const auto is_free = [&](LinkId link) {
        const auto lost = lost_.find(link);
        return lost != lost_.end() && lost->second.is_logged_out;
    };
    const auto task = tasks_.find(itt);
    if (task != tasks_.end()) return is_free(task->second.link) ? kComplete : kStillAllegiant;
    const auto kept = std::ranges::find_if(answered_, [&](const Answered& answered) {
        return answered.task.itt == itt && is_free(answered.link);
    });
    return kept == answered_.end() ? kNoSuchTask : kComplete;
}

/// The answer "complete" is out: the task goes on over this link.
void Session::reassign(Link& link, const Pdu& pdu, Services& services) {
    const std::uint32_t itt = be32_at<at::kReferencedTag>(pdu.header);
    const std::uint32_t first_data_sn = be32_at<at::kExpDataSn>(pdu.header);
    ++services.counters.tasks_reassigned;
    if (const auto found = tasks_.find(itt); found != tasks_.end()) {
        found->second.link = link.id;
        found->second.first_data_sn = first_data_sn;
        return ask_for_all(link, found->second, services);
    }
    const auto found = std::ranges::find_if(answered_, [&](const Answered& answered) {
        return answered.task.itt == itt && lost_.contains(answered.link);
    });
    Answered answered = std::move(*found);
    answered_.erase(found);
    answered.task.link = link.id;
    answered.task.first_data_sn = first_data_sn;
    const bool reads = (answered.task.flags & bit::kRead) != 0;
    if (reads && answered.outcome.status == ScsiStatus::Good)
        answered.outcome = execute(answered.task, {}, services);
    finish(link, answered.task, answered.outcome, services);
}

/// Old transfer tags are void; what data came before is asked for once more.
void Session::ask_for_all(Link& link, Task& task, Services& services) {
    if (task.waits) return;
    task.unsolicited_open = false;
    task.bursts_left.clear();
    task.bursts_open.clear();
    task.out_received = 0;
    plan_bursts(task, services);
    advance(link, task, services);
}

}  // namespace holdfast::target
