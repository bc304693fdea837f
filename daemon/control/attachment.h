/// One attachment as control sees it: what is wanted, how far it has come, and who waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "base/unique_fd.h"
#include "daemon/control/failure.h"
#include "daemon/control/gates.h"
#include "daemon/control/settings.h"
#include "daemon/control/wire.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/shared_area.h"

namespace holdfast::daemon {

/// A connection to the control socket; never 0.
using ClientId = std::uint64_t;

enum class AttachmentState : std::uint8_t {
    Asked,      ///< The supervisor has the spec.
    Opening,    ///< The I/O process lives and logs in.
    Ready,      ///< Requests are served.
    Detaching,  ///< Told to log out.
    Waiting,    ///< It failed; the next attempt comes at retry_at.
};
[[nodiscard]] std::string_view to_text(AttachmentState state) noexcept;

/// A client whose answer is due when the attachment has got somewhere.
struct Waiter {
    ClientId client = 0;
    Instant deadline = Instant::never();
    bool keeps_trying = false;  ///< Leave the attachment in place when the deadline passes.
};

/// The answer that a client waited for.
struct Answer {
    ClientId client = 0;
    OrFailure<Json> answer;
};

/// A client that waits for another program to serve, and what was counted before.
struct UpgradeWait {
    Waiter waiter;
    std::uint64_t done_before = 0;
    std::uint64_t failed_before = 0;
};

/// See the file comment. Move-only.
struct Attachment {
    std::string name;
    std::optional<AttachSettings> settings;  ///< Not known for one that control found at its start.
    bool is_wanted = false;  ///< Try again for ever: it came from the configuration,
                             ///< or was ready once.
    AttachmentState state = AttachmentState::Asked;
    std::uint32_t request_id = 0;  ///< Of the Attach that is under way.
    AttachmentId id{};
    std::int32_t pid = 0;
    std::int32_t ublk_id = -1;  ///< Last one that was ready, to get the same device again.
    UniqueFd command;
    SharedMapping shared;
    std::shared_ptr<Gate> gate;  ///< Empty: no classifier.
    std::optional<LogConsumer> log;
    Instant retry_at = Instant::never();
    Duration retry_delay{};
    std::optional<Failure> last_failure;
    /// Lost sessions whose recording was kept; empty: of one that control found, not yet looked at.
    std::optional<std::uint64_t> losses_kept{0};
    /// A loss is to be kept then, or when the session is there again.
    Instant keep_flight_at = Instant::never();
    std::vector<Waiter> waiters;
    std::optional<UpgradeWait> upgrade;

    /// Sound facts, once the I/O process has published some.
    [[nodiscard]] std::optional<StatusFacts> facts() const;
    /// The flight recorder as a capture file.
    [[nodiscard]] OrFailure<std::string> flight() const;
};

}  // namespace holdfast::daemon
