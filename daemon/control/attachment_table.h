/// All attachments, and the conversation with supervisor and I/O processes about them. What is in
/// the configuration is brought up and kept up; what a client asked for is brought up or refused.
///
/// Timers: retry_delay from 1 s doubling up to 30 s; Waiter::deadline.
/// Thread: one. Effects: sends messages, reads secrets and state files, resolves names, makes
/// links.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "daemon/control/attachment.h"
#include "daemon/control/config.h"
#include "daemon/control/gates.h"
#include "daemon/control/log_drain.h"

namespace holdfast::daemon {

/// What the table works with; the strings outlive it.
struct TableContext {
    const Config* config = nullptr;
    int supervisor = -1;  ///< Seqpacket socket; not owned.
    std::string link_directory{kLinkDirectory};
    int loader = -1;  ///< Seqpacket socket to holdfast-loader; not owned. -1: none.
    LogDrain log{LogLevel::Info, false};
};

/// See the file comment.
class AttachmentTable {
public:
    explicit AttachmentTable(TableContext context)
        : context_(std::move(context)), gates_(context_.loader) {}

    /// Everything in the configuration with auto = true that is not there yet.
    void attach_configured(Instant now);
    /// An answer for the waiter follows, unless this fails at once.
    [[nodiscard]] OrFailure<void> attach(const AttachSettings& settings, Waiter waiter,
                                         Instant now);
    /// Refuses while the device is in use, unless `hurry`. An answer follows.
    [[nodiscard]] OrFailure<void> detach(std::string_view name, bool hurry, Waiter waiter);

    /// Lets the program that is installed now serve, in place of the running one. An answer
    /// follows.
    [[nodiscard]] OrFailure<void> upgrade(std::string_view name, Waiter waiter);

    /// A packet from the supervisor.
    void on_supervisor(const ControlMessage& message, std::span<UniqueFd, kMessageFdsMax> fds,
                       Instant now);
    /// A packet from an I/O process.
    void on_io(AttachmentId id, const ControlMessage& message, Instant now);
    /// The I/O process closed its socket; Exited follows from the supervisor.
    void on_io_closed(AttachmentId id);
    /// Drains logs, judges deadlines, tries again.
    void tick(Instant now);
    /// When tick() is due at the latest.
    [[nodiscard]] Instant next_tick(Instant now) const;

    [[nodiscard]] const Gates& gates() const noexcept { return gates_; }
    [[nodiscard]] std::vector<Answer> take_answers() { return std::exchange(answers_, {}); }
    [[nodiscard]] std::span<const Attachment> all() const noexcept { return attachments_; }
    [[nodiscard]] const Attachment* find(std::string_view name) const;

private:
    [[nodiscard]] Attachment* find_mutable(std::string_view name);
    [[nodiscard]] Attachment* find_by_id(AttachmentId id);
    [[nodiscard]] OrFailure<void> send_attach(Attachment& attachment);
    void adopt(AttachmentId id, std::int32_t pid);
    void on_attached(const ControlMessage& message, std::span<UniqueFd, kMessageFdsMax> fds);
    void on_ready(Attachment& attachment);
    void on_host_wanted(const Attachment& attachment, const ControlMessage& message);
    void hear_last_words(const Attachment& attachment, Instant now);
    void on_exited(Attachment& attachment, const ControlMessage& message, Instant now);
    void on_failure(Attachment& attachment, const Failure& failure, Instant now);
    void learn_name(Attachment& attachment);
    void watch_losses(Attachment& attachment, Instant now);
    void keep_flight(Attachment& attachment);
    void judge_deadlines(Attachment& attachment, Instant now);
    void judge_upgrade(Attachment& attachment, Instant now);
    void answer_all(Attachment& attachment, const OrFailure<Json>& answer);
    void remove(std::string_view name);

    TableContext context_;
    std::vector<Attachment> attachments_;
    std::vector<Answer> answers_;
    Gates gates_;
    Instant addresses_due_;
    std::uint32_t last_request_id_ = 0;
};

}  // namespace holdfast::daemon
