#include "daemon/control/attachment_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "daemon/control/device_use.h"
#include "daemon/control/failures.h"
#include "daemon/control/flight.h"
#include "daemon/control/flight_store.h"
#include "daemon/control/identity.h"
#include "daemon/control/links.h"
#include "daemon/control/sentences.h"
#include "daemon/control/spec_builder.h"
#include "daemon/control/status_json.h"

namespace holdfast::daemon {

namespace {

constexpr Duration kRetryFirst = Duration::from_s(1);
constexpr Duration kRetryMax = Duration::from_s(30);
/// While something is under way logs and deadlines are looked after often; otherwise seldom, so
/// that an idle control process may stay swapped out.
constexpr Duration kTickBusy = Duration::from_ms(50);
constexpr Duration kTickIdle = Duration::from_s(2);
/// How soon a new address of an interface is known to its classifier.
constexpr Duration kAddressLook = Duration::from_s(10);
/// A recording is kept when the session is there again, so that it shows the way back, too; but it
/// does not wait longer.
constexpr Duration kRecoveryShown = Duration::from_s(10);

Duration longer(Duration delay) {
    if (delay < kRetryFirst) return kRetryFirst;
    return std::min(delay * 2, kRetryMax);
}

OrFailure<Identity> identity_of(const AttachSettings& settings, const Config& config) {
    OrFailure<std::string> name = config.initiator_name;
    if (name->empty()) name = read_or_make_initiator_name(config.initiator_name_file);
    if (!name) return std::unexpected{name.error()};
    auto store = IsidStore::load(config.state_directory + "/isids");
    if (!store) return std::unexpected{store.error()};
    const auto isid = store->isid_of({.target = settings.target, .slot = settings.slot});
    if (!isid) return std::unexpected{isid.error()};
    return Identity{.initiator_name = *std::move(name), .isid = *isid};
}

Json ready_json(const Attachment& attachment, const std::string& link_directory) {
    Json json;
    json["name"] = attachment.name;
    json["state"] = to_text(attachment.state);
    const auto facts = attachment.facts();
    if (!facts) return json;
    json["device"] = facts->exported.path.view();
    if (facts->exported.kind == ExportKind::Ublk)
        json["link"] = fmt::format("{}/{}", link_directory, attachment.name);
    json["size_bytes"] = facts->exported.size_bytes;
    json["tier"] = to_text(facts->tier);
    return json;
}

FlightStore flight_store(const Config& config) {
    return {trace_directory_of(config), config.traces_kept};
}

ControlMessage detach_message(AttachmentId id, bool hurry) {
    return {.header = {.kind = MessageKind::Detach, .attachment = id},
            .hurry = static_cast<std::uint8_t>(hurry ? 1 : 0)};
}

/// What keeps the process below the tier, so that the operator need not look for it.
void add_tier_reasons(Attachment& attachment) {
    const auto facts = attachment.facts();
    if (!facts || facts->tier_reasons.empty() || !attachment.last_failure) return;
    std::vector<std::string_view> reasons;
    for (const auto& reason : facts->tier_reasons) reasons.push_back(reason.view());
    attachment.last_failure->sentence += fmt::format(": {}", fmt::join(reasons, "; "));
}

}  // namespace

void AttachmentTable::attach_configured(Instant now) {
    for (const AttachSettings& settings : context_.config->attachments) {
        if (!settings.starts_by_itself || find(settings.name) != nullptr) continue;
        Attachment made;
        made.name = settings.name;
        made.settings = settings;
        made.is_wanted = true;
        attachments_.push_back(std::move(made));
        Attachment& attachment = attachments_.back();
        if (const auto sent = send_attach(attachment); !sent)
            on_failure(attachment, sent.error(), now);
    }
}

OrFailure<void> AttachmentTable::attach(const AttachSettings& settings, Waiter waiter,
                                        Instant now) {
    if (Attachment* there = find_mutable(settings.name)) {
        if (there->state != AttachmentState::Waiting)
            return fail(ExitCode::Exists,
                        fmt::format("'{}' is attached already; detach it first or choose --name",
                                    settings.name));
        there->retry_at = now;  // The operator does not want to wait for our timer.
        there->waiters.push_back(waiter);
        return {};
    }
    Attachment made;
    made.name = settings.name;
    made.settings = settings;
    made.is_wanted = waiter.keeps_trying;
    made.waiters.push_back(waiter);
    attachments_.push_back(std::move(made));
    const auto sent = send_attach(attachments_.back());
    if (!sent) attachments_.pop_back();
    return sent;
}

OrFailure<void> AttachmentTable::send_attach(Attachment& attachment) {
    HF_ASSERT(attachment.settings.has_value());
    AttachSettings settings = *attachment.settings;
    if (settings.ublk_id < 0) settings.ublk_id = attachment.ublk_id;
    const auto identity = identity_of(settings, *context_.config);
    if (!identity) return std::unexpected{identity.error()};
    auto spec = build_spec(settings, *identity);
    if (!spec) return std::unexpected{spec.error()};
    auto gate = gates_.gate_for(settings, *spec);
    if (!gate) return std::unexpected{gate.error()};
    attachment.gate = *std::move(gate);
    AttachMessage message;
    message.header.request_id = ++last_request_id_;
    message.spec = *spec;
    FixedVector<int, GateFiles::kCount> files;
    if (attachment.gate) files = attachment.gate->files.numbers();
    if (const auto sent = send_message(context_.supervisor, bytes_of(message), files.span()); !sent)
        return fail(
            ExitCode::Failed,
            fmt::format("holdfastd does not take requests: {}; restart it", sent.error().text()));
    attachment.request_id = last_request_id_;
    attachment.state = AttachmentState::Asked;
    attachment.retry_at = Instant::never();
    return {};
}

OrFailure<void> AttachmentTable::detach(std::string_view name, bool hurry, Waiter waiter) {
    Attachment* attachment = find_mutable(name);
    if (attachment == nullptr)
        return fail(ExitCode::NotFound,
                    fmt::format("nothing is attached as '{}'; see 'holdfast list'", name));
    const auto facts = attachment->facts();
    if (!hurry && facts && facts->exported.kind == ExportKind::Ublk) {
        if (const auto use = use_of_device(std::string{facts->exported.path.view()}))
            return fail(ExitCode::Exists,
                        fmt::format("{} is in use: {}; run swapoff or umount first, or lose data "
                                    "with --force",
                                    name, *use));
    }
    attachment->is_wanted = false;
    if (attachment->state == AttachmentState::Waiting) {
        attachment->waiters.push_back(waiter);
        remove(name);
        return {};
    }
    if (attachment->command) {
        const auto sent = send_message(attachment->command.get(),
                                       bytes_of(detach_message(attachment->id, hurry)));
        if (!sent)
            context_.log.line(LogLevel::Warning, name,
                              fmt::format("cannot tell it to detach: {}", sent.error().text()));
    }
    attachment->state = AttachmentState::Detaching;
    attachment->waiters.push_back(waiter);
    return {};
}

void AttachmentTable::on_supervisor(const ControlMessage& message,
                                    std::span<UniqueFd, kMessageFdsMax> fds, Instant now) {
    if (message.header.kind == MessageKind::Attached) {
        on_attached(message, fds);
        return;
    }
    if (message.header.kind == MessageKind::Refused) {
        const auto asked = std::ranges::find_if(attachments_, [&](const Attachment& a) {
            return a.id == AttachmentId{} && a.request_id == message.header.request_id;
        });
        if (asked == attachments_.end()) return;
        if (asked->state == AttachmentState::Detaching) {
            remove(asked->name);
        } else if (asked->state == AttachmentState::Asked) {
            on_failure(*asked, failure_of(message), now);
        }
        return;
    }
    Attachment* attachment = find_by_id(message.header.attachment);
    if (message.header.kind == MessageKind::Exited && attachment != nullptr)
        on_exited(*attachment, message, now);
}

void AttachmentTable::adopt(AttachmentId id, std::int32_t pid) {
    Attachment made;
    made.state = AttachmentState::Opening;
    made.id = id;
    made.pid = pid;
    made.is_wanted = true;
    made.losses_kept.reset();
    attachments_.push_back(std::move(made));
}

void AttachmentTable::on_attached(const ControlMessage& message,
                                  std::span<UniqueFd, kMessageFdsMax> fds) {
    const AttachmentId id = message.header.attachment;
    if (message.header.request_id == 0 && find_by_id(id) == nullptr) adopt(id, message.pid);
    const auto found = std::ranges::find_if(attachments_, [&](const Attachment& a) {
        return message.header.request_id == 0
                   ? a.id == id
                   : a.id == AttachmentId{} && a.request_id == message.header.request_id;
    });
    if (found == attachments_.end()) return;  // Detached meanwhile: the socket closes with `fds`.
    found->id = id;
    found->pid = message.pid;
    found->command = std::move(fds[1]);
    if (message.header.request_id != 0) found->losses_kept = 0;
    auto shared = SharedMapping::map(fds[0].get());
    if (shared) {
        found->shared = *std::move(shared);
        found->log.emplace(found->shared.area().log);
    } else {
        context_.log.line(LogLevel::Error, found->name,
                          fmt::format("its status cannot be read: {}", shared.error().text()));
    }
    if (found->state == AttachmentState::Detaching) {  // Told before it had a socket.
        const auto sent = send_message(found->command.get(), bytes_of(detach_message(id, true)));
        if (!sent) context_.log.line(LogLevel::Warning, found->name, "cannot tell it to detach");
        return;
    }
    if (!found->gate) found->gate = gates_.adopt(GateFiles::taken_from(fds.subspan(2)));
    found->state = AttachmentState::Opening;
    if (message.header.request_id == 0) learn_name(*found);
}

void AttachmentTable::learn_name(Attachment& attachment) {
    const auto facts = attachment.facts();
    if (!attachment.name.empty() || !facts) return;
    attachment.name = facts->name.view();
    for (const AttachSettings& settings : context_.config->attachments) {
        if (settings.name == attachment.name) attachment.settings = settings;
    }
    const bool serves = facts->phase == IoPhase::Armed || facts->phase == IoPhase::Serving;
    if (serves) on_ready(attachment);
}

void AttachmentTable::on_io(AttachmentId id, const ControlMessage& message, Instant now) {
    Attachment* attachment = find_by_id(id);
    if (attachment == nullptr) return;
    if (message.header.kind == MessageKind::Ready) {
        if (attachment->state == AttachmentState::Opening) on_ready(*attachment);
    } else if (message.header.kind == MessageKind::HostWanted) {
        on_host_wanted(*attachment, message);
    } else if (message.header.kind == MessageKind::Failed) {
        if (attachment->log) context_.log.drain(attachment->name, *attachment->log);
        const bool was_told_to = attachment->state == AttachmentState::Detaching;
        if (was_told_to && message.reason == FailReason::None) return;
        attachment->last_failure = failure_of(message);
        if (message.reason == FailReason::TierTooLow) add_tier_reasons(*attachment);
        context_.log.line(LogLevel::Error, attachment->name, attachment->last_failure->sentence);
    }
    tick(now);
}

void AttachmentTable::on_io_closed(AttachmentId id) {
    if (Attachment* attachment = find_by_id(id)) attachment->command.reset();
}

void AttachmentTable::on_ready(Attachment& attachment) {
    attachment.state = AttachmentState::Ready;
    attachment.is_wanted = true;
    attachment.retry_delay = Duration{};
    attachment.last_failure.reset();
    const auto facts = attachment.facts();
    if (facts && facts->exported.kind == ExportKind::Ublk) {
        attachment.ublk_id = facts->exported.ublk_id;
        const std::string device{facts->exported.path.view()};
        const auto made = make_link(context_.link_directory, attachment.name, device);
        if (!made)
            context_.log.line(LogLevel::Warning, attachment.name,
                              fmt::format("cannot make the link {}/{}: {}", context_.link_directory,
                                          attachment.name, made.error().text()));
        // Which needs rights; one that does not listen is about to start us anew.
        const ControlMessage ready{
            .header = {.kind = MessageKind::DeviceReady, .attachment = attachment.id}};
        static_cast<void>(send_message(context_.supervisor, bytes_of(ready)));
    }
    answer_all(attachment, ready_json(attachment, context_.link_directory));
}

/// The name came from a target: it is looked up and copied, nothing else.
void AttachmentTable::on_host_wanted(const Attachment& attachment, const ControlMessage& message) {
    if (!attachment.command) return;
    ControlMessage answer{.header = {.kind = MessageKind::HostFound, .attachment = attachment.id}};
    answer.host = message.host;
    if (const auto found = resolve_host(message.host.view())) {
        answer.address = *found;
    } else {
        context_.log.line(LogLevel::Warning, attachment.name,
                          fmt::format("redirected: {}", found.error().sentence));
    }
    // A process that does not listen gives the connect up by itself.
    if (const auto sent = send_message(attachment.command.get(), bytes_of(answer)); !sent)
        context_.log.line(LogLevel::Warning, attachment.name,
                          fmt::format("cannot answer it: {}", sent.error().text()));
}

/// The supervisor's word of an end may overtake the process's own last words on its socket.
void AttachmentTable::hear_last_words(const Attachment& attachment, Instant now) {
    std::array<std::byte, kMessageBytesMax> room{};
    while (attachment.command) {
        const auto received = receive_message(attachment.command.get(), room);
        if (!received || received->bytes == 0) return;
        const auto said = control_message_from(std::span{room}.first(received->bytes));
        if (said) on_io(attachment.id, *said, now);
    }
}

void AttachmentTable::on_exited(Attachment& attachment, const ControlMessage& message,
                                Instant now) {
    hear_last_words(attachment, now);
    if (attachment.log) context_.log.drain(attachment.name, *attachment.log);
    // What a process did last explains why it was killed, or killed itself.
    if (message.exit_status < 0) keep_flight(attachment);
    remove_link(context_.link_directory, attachment.name);
    attachment.command.reset();
    // It may have died without taking its flows out, and others may share the classifier.
    if (attachment.gate)
        attachment.gate->table.remove_flows_of(netpath::classifier::FlowOwner{attachment.id.raw()});
    attachment.id = AttachmentId{};
    attachment.gate.reset();
    if (attachment.state == AttachmentState::Detaching) {
        remove(attachment.name);
        return;
    }
    const std::string how = message.exit_status < 0
                                ? fmt::format("was killed by signal {}", -message.exit_status)
                                : fmt::format("ended with status {}", message.exit_status);
    const Failure general{.code = ExitCode::Failed,
                          .sentence = fmt::format("its I/O process {}; look into the log", how)};
    on_failure(attachment, attachment.last_failure.value_or(general), now);
}

void AttachmentTable::on_failure(Attachment& attachment, const Failure& failure, Instant now) {
    attachment.last_failure = failure;
    attachment.gate.reset();
    answer_all(attachment, std::unexpected{failure});
    if (!attachment.is_wanted || !attachment.settings) {
        remove(attachment.name);
        return;
    }
    attachment.state = AttachmentState::Waiting;
    attachment.retry_delay = longer(attachment.retry_delay);
    attachment.retry_at = now + attachment.retry_delay;
    context_.log.line(
        LogLevel::Warning, attachment.name,
        fmt::format("{} (next attempt in {})", failure.sentence, to_text(attachment.retry_delay)));
}

void AttachmentTable::watch_losses(Attachment& attachment, Instant now) {
    const auto facts = attachment.facts();
    if (!facts) return;
    const std::uint64_t lost = facts->counters.sessions_lost;
    // A successor counts anew.
    if (!attachment.losses_kept || lost < *attachment.losses_kept) attachment.losses_kept = lost;
    if (lost > *attachment.losses_kept && attachment.keep_flight_at.is_never())
        attachment.keep_flight_at = now + kRecoveryShown;
    if (attachment.keep_flight_at.is_never()) return;
    const bool is_back = facts->session_phase == initiator::SessionPhase::Ready;
    if (!is_back && now < attachment.keep_flight_at) return;
    attachment.losses_kept = lost;
    keep_flight(attachment);
}

void AttachmentTable::keep_flight(Attachment& attachment) {
    attachment.keep_flight_at = Instant::never();
    const FlightStore store = flight_store(*context_.config);
    if (!store.is_on()) return;
    const auto capture = attachment.flight();
    if (!capture) {
        context_.log.line(LogLevel::Warning, attachment.name, capture.error().sentence);
        return;
    }
    const std::int64_t wall_ns = (monotonic_now() + wall_offset_now()).ns();
    const auto path = store.keep(attachment.name, wall_ns, *capture);
    context_.log.line(
        path ? LogLevel::Note : LogLevel::Warning, attachment.name,
        path ? fmt::format("the last headers before the loss are in {}", *path)
             : fmt::format("cannot keep the flight recorder: {}", path.error().text()));
}

void AttachmentTable::judge_deadlines(Attachment& attachment, Instant now) {
    const bool is_due = std::ranges::any_of(
        attachment.waiters, [now](const Waiter& waiter) { return waiter.deadline <= now; });
    if (!is_due) return;
    const bool is_detaching = attachment.state == AttachmentState::Detaching;
    Failure failure{
        .code = ExitCode::Timeout,
        .sentence = fmt::format("'{}' is still {}; see 'holdfast status {}'", attachment.name,
                                to_text(attachment.state), attachment.name)};
    const auto facts = attachment.facts();
    if (!is_detaching && facts && !facts->notices.empty()) {
        std::vector<initiator::Notice> notices;
        for (const TimedNotice& timed : facts->notices) notices.push_back(timed.notice);
        failure = failure_of_notices(notices);
    }
    const bool keeps_trying = std::ranges::any_of(attachment.waiters, &Waiter::keeps_trying);
    answer_all(attachment, std::unexpected{failure});
    if (keeps_trying || is_detaching || attachment.is_wanted) return;
    if (const auto told = detach(attachment.name, true, {}); !told)
        context_.log.line(LogLevel::Warning, attachment.name, told.error().sentence);
}

void AttachmentTable::tick(Instant now) {
    if (now >= addresses_due_) {
        addresses_due_ = now + kAddressLook;
        gates_.look_at_addresses();
    }
    for (std::size_t i = 0; i < attachments_.size(); ++i) {
        Attachment& attachment = attachments_[i];
        learn_name(attachment);
        if (attachment.log) context_.log.drain(attachment.name, *attachment.log);
        watch_losses(attachment, now);
        judge_upgrade(attachment, now);
        const std::size_t count = attachments_.size();
        judge_deadlines(attachment, now);
        if (attachments_.size() != count) return;  // The next tick sees the others.
        if (attachment.state != AttachmentState::Waiting || attachment.retry_at > now) continue;
        if (const auto sent = send_attach(attachment); !sent)
            on_failure(attachment, sent.error(), now);
    }
}

Instant AttachmentTable::next_tick(Instant now) const {
    if (attachments_.empty()) return Instant::never();
    Instant due = now + kTickIdle;
    for (const Attachment& attachment : attachments_) {
        if (attachment.state != AttachmentState::Ready || attachment.upgrade)
            due = earlier(due, now + kTickBusy);
        due = earlier(due, attachment.retry_at);
        due = earlier(due, attachment.keep_flight_at);
    }
    return due;
}

void AttachmentTable::answer_all(Attachment& attachment, const OrFailure<Json>& answer) {
    for (const Waiter& waiter : attachment.waiters) {
        if (waiter.client != 0) answers_.push_back({.client = waiter.client, .answer = answer});
    }
    attachment.waiters.clear();
}

void AttachmentTable::remove(std::string_view name) {
    const auto found = std::ranges::find(attachments_, name, &Attachment::name);
    if (found == attachments_.end()) return;
    Json json;
    json["name"] = found->name;
    json["state"] = "detached";
    answer_all(*found, json);
    attachments_.erase(found);
}

const Attachment* AttachmentTable::find(std::string_view name) const {
    const auto found = std::ranges::find(attachments_, name, &Attachment::name);
    return found == attachments_.end() ? nullptr : &*found;
}

Attachment* AttachmentTable::find_mutable(std::string_view name) {
    const auto found = std::ranges::find(attachments_, name, &Attachment::name);
    return found == attachments_.end() ? nullptr : &*found;
}

Attachment* AttachmentTable::find_by_id(AttachmentId id) {
    if (id == AttachmentId{}) return nullptr;
    const auto found = std::ranges::find(attachments_, id, &Attachment::id);
    return found == attachments_.end() ? nullptr : &*found;
}

}  // namespace holdfast::daemon
