#include "daemon/io/loop.h"

#include <algorithm>
#include <span>

#include "base/assert.h"

namespace holdfast::daemon {

namespace {

using initiator::Notice;
using initiator::NoticeKind;

/// How much each notice matters to whoever reads the log.
LogLevel level_of(const Notice& notice) noexcept {
    using enum NoticeKind;
    switch (notice.kind) {
    case SessionUp:
    case Redirected:
    case Fenced:
    case ConnectionAdded:
    case ConnectionReinstated:
    case DeviceChanged: return LogLevel::Note;
    case SessionLost:
    case ConnectFailed:
    case NopTimeout:
    case CommandTimeout:
    case TaskManagement:
    case DigestError:
    case ConnectionLost:
    case ConnectionRemoved:
    case ConnectionRefused:
    case AsyncEvent:
    case Rejected:
    case PeerViolation:
    case LoginViolation: return LogLevel::Warning;
    case LoginRefused:
    case AuthenticationFailed:
    case ProbeFailed:
    case RequestFailed: return LogLevel::Error;
    case RetryByStatus:
    case NegotiationNote: return LogLevel::Info;
    }
    return LogLevel::Info;
}

}  // namespace

IoLoop::IoLoop(Driver& driver, SharedArea& area, const StatusFacts& facts) noexcept
    : driver_(driver), status_(area.status), log_(area.log), facts_(facts) {}

void IoLoop::watch_commands(netpath::FileSlot slot, AttachmentId attachment) noexcept {
    HF_ASSERT(!commands_);
    commands_ = slot;
    attachment_ = attachment;
    listen();
}

void IoLoop::listen() noexcept {
    driver_.ring().receive(*commands_, command_room_, true,
                           {.owner = static_cast<std::uint8_t>(RingOwner::Command),
                            .kind = static_cast<std::uint8_t>(Kind::Receive)});
}

void IoLoop::turn() noexcept {
    Duration wait_max = kIdleWait;
    if (exporter_ != nullptr && !exporter_->next_wake().is_never())
        wait_max = std::clamp(exporter_->next_wake() - Driver::clock(), Duration{}, kIdleWait);
    driver_.run_once(wait_max, this);
    const Instant now = Driver::clock();
    if (guard_ != nullptr) guard_->on_turn(driver_.last_portal(), now);
    while (const auto completion = driver_.poll_completion()) {
        HF_ASSERT(exporter_ != nullptr);
        exporter_->on_request_done(*completion, now);
    }
    if (driver_.take_resized()) {
        const std::uint64_t before = facts_.exported.size_bytes;
        const std::uint64_t bytes = driver_.facts().blocks * driver_.facts().block_bytes;
        say(LogLevel::Note, IoEvent::ExportResized, bytes, before);
        if (exporter_ != nullptr) exporter_->on_resized();
    }
    if (exporter_ != nullptr) exporter_->on_turn_end(now);
    ask_for_hosts();
    drain_notices(now);
    judge_lateness();
    status_.beat();
    if (now >= next_publish_) publish(now);
}

void IoLoop::on_completed(const netpath::Completed& completed, Instant now) noexcept {
    if (completed.token.owner != static_cast<std::uint8_t>(RingOwner::Command)) {
        HF_ASSERT(exporter_ != nullptr);
        return exporter_->on_completed(completed, now);
    }
    if (static_cast<Kind>(completed.token.kind) == Kind::Send) {
        tellings_.pop();
        if (!tellings_.empty()) send_telling();
        return;
    }
    // An end of file means that nobody will command us any more; we go on serving.
    if (completed.result == 0) return;
    if (completed.result > 0) on_command(static_cast<std::size_t>(completed.result));
    if (completed.result > 0 || completed.result == -EINTR || completed.result == -EAGAIN) listen();
}

void IoLoop::on_command(std::size_t bytes) noexcept {
    const auto message = control_message_from(std::span{command_room_}.first(bytes));
    if (!message) return;
    if (message->header.kind == MessageKind::Detach)
        ask_detach(message->hurry != 0 ? Detach::Hurried : Detach::Asked);
    if (message->header.kind == MessageKind::SetLogLevel) log_level_ = message->log_level;
    if (message->header.kind == MessageKind::HostFound) on_host_found(*message);
}

void IoLoop::on_host_found(const ControlMessage& message) noexcept {
    if (!message.address.empty()) return driver_.answer_host(message.host.view(), message.address);
    say(LogLevel::Warning, IoEvent::HostUnknown);
    driver_.answer_host(message.host.view(), {});
}

/// Redirects by name. Without room to ask, that connect fails after HostLookup::kAnswerMax.
void IoLoop::ask_for_hosts() noexcept {
    while (const auto host = driver_.poll_host()) {
        ControlMessage message{
            .header = {.kind = MessageKind::HostWanted, .attachment = attachment_}};
        message.host = *host;
        tell(message);
    }
}

void IoLoop::ask_detach(Detach how) noexcept {
    if (how <= detach_) return;
    detach_ = how;
    say(LogLevel::Note, IoEvent::DetachAsked, how == Detach::Hurried ? 1 : 0);
}

void IoLoop::tell(const ControlMessage& message) noexcept {
    if (!commands_ || !tellings_.try_push(message)) return;
    if (tellings_.size() == 1) send_telling();
}

void IoLoop::send_telling() noexcept {
    HF_ASSERT(!tellings_.empty());
    driver_.ring().send(*commands_, bytes_of(tellings_.front()),
                        {.owner = static_cast<std::uint8_t>(RingOwner::Command),
                         .kind = static_cast<std::uint8_t>(Kind::Send)});
}

void IoLoop::say(LogLevel level, IoEvent event, std::uint64_t a, std::uint64_t b) noexcept {
    if (level > log_level_) return;
    log_.try_put(LogRecord::of(Driver::clock(), level, event, a, b));
}

void IoLoop::drain_notices(Instant now) noexcept {
    while (const auto notice = driver_.poll_notice()) {
        last_notice_ = *notice;
        const LogLevel level = level_of(*notice);
        if (level <= log_level_) log_.try_put(LogRecord::of(now, level, *notice));
        keep({.at = now, .notice = *notice});
        next_publish_ = now;
    }
}

void IoLoop::keep(const TimedNotice& notice) noexcept {
    auto& kept = facts_.notices;
    if (kept.full()) {
        std::shift_left(kept.begin(), kept.end(), 1);
        kept.pop();
    }
    kept.push(notice);
}

void IoLoop::judge_lateness() noexcept {
    const DriverCounters& counters = driver_.counters();
    if (counters.late_max_ns <= late_told_ns_) return;
    if (counters.late_max_ns < static_cast<std::uint64_t>(kLateWorthALine.ns())) return;
    late_told_ns_ = counters.late_max_ns;
    say(LogLevel::Info, IoEvent::LoopLate, counters.late_last_ns / 1000,
        counters.late_max_ns / 1000);
}

void IoLoop::enter(IoPhase phase) noexcept {
    facts_.phase = phase;
    publish(Driver::clock());
}

void IoLoop::publish(Instant now) noexcept {
    next_publish_ = now + kPublishInterval;
    facts_.published = now;
    facts_.session_phase = driver_.phase();
    facts_.counters = driver_.engine_counters();
    facts_.device = driver_.facts();
    facts_.loop_late_max_ns = driver_.counters().late_max_ns;
    if (const auto& portal = driver_.last_portal(); portal.port != 0) {
        facts_.portal_host = portal.host;
        facts_.portal_port = portal.port;
    }
    if (exporter_ != nullptr) {
        exporter_->describe(facts_.exported);
        facts_.read_latency = meter_.read;
        facts_.write_latency = meter_.write;
        facts_.flush_latency = meter_.flush;
    }
    status_.publish(facts_);
}

}  // namespace holdfast::daemon
