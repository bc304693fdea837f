#include <fmt/format.h>

#include "daemon/control/attachment_table.h"

namespace holdfast::daemon {

using enum std::memory_order;

OrFailure<void> AttachmentTable::upgrade(std::string_view name, Waiter waiter) {
    Attachment* const attachment = find_mutable(name);
    if (attachment == nullptr)
        return fail(ExitCode::NotFound,
                    fmt::format("nothing is attached as '{}'; see 'holdfast list'", name));
    if (attachment->state != AttachmentState::Ready || !attachment->shared.is_mapped())
        return fail(ExitCode::Failed, fmt::format("'{}' is {}; only what is ready can be upgraded",
                                                  name, to_text(attachment->state)));
    if (attachment->upgrade)
        return fail(ExitCode::Exists, fmt::format("'{}' is being upgraded already", name));
    const watchdog::WatchBlock& watch = attachment->shared.area().watch;
    attachment->upgrade = {.waiter = waiter,
                           .done_before = watch.upgrades.load(acquire),
                           .failed_before = watch.upgrades_failed.load(acquire)};
    const ControlMessage message{
        .header = {.kind = MessageKind::Upgrade, .attachment = attachment->id}};
    if (const auto sent = send_message(context_.supervisor, bytes_of(message)); !sent) {
        attachment->upgrade.reset();
        return fail(
            ExitCode::Failed,
            fmt::format("holdfastd does not take requests: {}; restart it", sent.error().text()));
    }
    return {};
}

void AttachmentTable::judge_upgrade(Attachment& attachment, Instant now) {
    if (!attachment.upgrade) return;
    const UpgradeWait& wait = *attachment.upgrade;
    const watchdog::WatchBlock& watch = attachment.shared.area().watch;
    const auto answer = [&](const OrFailure<Json>& said) {
        answers_.push_back({.client = wait.waiter.client, .answer = said});
        attachment.upgrade.reset();
    };
    if (watch.upgrades.load(acquire) != wait.done_before) {
        Json json;
        json["name"] = attachment.name;
        json["pid"] = watch.active_pid.load(relaxed);
        json["pause_ms"] = static_cast<double>(watch.upgrade_pause_ns.load(relaxed)) / 1e6;
        answer(json);
    } else if (watch.upgrades_failed.load(acquire) != wait.failed_before) {
        answer(fail(ExitCode::Failed,
                    "the installed program cannot take over from the running one, which goes on; "
                    "see its log, or restart holdfastd when the device is idle"));
    } else if (wait.waiter.deadline <= now) {
        answer(fail(ExitCode::Timeout, fmt::format("'{}' is still being upgraded; see 'holdfast "
                                                   "status {}'",
                                                   attachment.name, attachment.name)));
    }
}

}  // namespace holdfast::daemon
