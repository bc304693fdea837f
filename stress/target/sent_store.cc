#include "stress/target/sent_store.h"

#include <algorithm>
#include <utility>

#include "base/serial.h"

namespace holdfast::target {
namespace {

using StatSn = Serial32<struct TargetStatSnTag>;
using DataSn = Serial32<struct TargetDataSnTag>;

}  // namespace

bool Sent::is_counted() const {
    const Opcode kind = opcode();
    if (kind == Opcode::DataIn) return (flags_of(header) & bit::kStatusInData) != 0;
    if (kind == Opcode::NopIn) return itt() != kNoTag;
    return kind != Opcode::ReadyToTransfer;
}

void SentStore::keep(const Header& header, Bytes data) {
    sent_.push_back({.header = header, .data = {data.begin(), data.end()}});
}

void SentStore::acknowledge(std::uint32_t exp_stat_sn) {
    const StatSn expected{exp_stat_sn};
    std::vector<std::uint32_t> ended;
    std::erase_if(sent_, [&](const Sent& sent) {
        if (sent.opcode() == Opcode::NopIn && !sent.is_counted()) return true;
        const bool is_known = sent.is_counted() && StatSn{sent.stat_sn()}.precedes(expected);
        if (is_known && sent.itt() != kNoTag) ended.push_back(sent.itt());
        return is_known;
    });
    if (ended.empty()) return;
    // A tag may be in use again: what is older than the status goes, and that is what is in front.
    std::erase_if(sent_, [&](const Sent& sent) {
        return sent.is_of_task() && StatSn{sent.stat_sn()}.precedes(expected) &&
               std::ranges::find(ended, sent.itt()) != ended.end();
    });
}

bool SentStore::acknowledge_data(std::uint32_t ttt, std::uint32_t next) {
    const auto asked = std::ranges::find_if(sent_, [&](const Sent& sent) {
        return sent.opcode() == Opcode::DataIn &&
               (flags_of(sent.header) & bit::kAcknowledge) != 0 &&
               be32_at<at::kTtt>(HeaderView{sent.header}) == ttt && sent.data_sn() + 1 == next;
    });
    if (asked == sent_.end()) return false;
    const std::uint32_t itt = asked->itt();
    std::erase_if(sent_, [&](const Sent& sent) {
        return sent.opcode() == Opcode::DataIn && sent.itt() == itt && !sent.is_counted() &&
               DataSn{sent.data_sn()}.precedes(DataSn{next});
    });
    return true;
}

std::vector<Sent> SentStore::take_task(std::uint32_t itt) {
    std::vector<Sent> taken;
    std::erase_if(sent_, [&](Sent& sent) {
        const bool is_its =
            sent.itt() == itt && (sent.is_of_task() || sent.opcode() == Opcode::ScsiResponse);
        if (is_its) taken.push_back(std::move(sent));
        return is_its;
    });
    return taken;
}

}  // namespace holdfast::target
