/// Text for what pure code and I/O processes say as numbers: log records, phases, refused specs.
#pragma once

#include <string>
#include <string_view>

#include "daemon/shared/attach_spec.h"
#include "daemon/shared/log_ring.h"
#include "daemon/shared/status_block.h"
#include "initiator/engine.h"
#include "initiator/notice.h"

namespace holdfast::daemon {

[[nodiscard]] std::string sentence_of(const initiator::Notice& notice);
[[nodiscard]] std::string sentence_of(const LogRecord& record);
[[nodiscard]] std::string sentence_of(SpecError error);
[[nodiscard]] std::string_view to_text(IoPhase phase) noexcept;
[[nodiscard]] std::string_view to_text(initiator::SessionPhase phase) noexcept;
/// The rung, without whether it was seen to work: "lun-reset".
[[nodiscard]] std::string_view to_text(initiator::FenceReliance fence) noexcept;
/// The target has told or shown that it has this rung; a wait needs nobody's consent.
[[nodiscard]] bool is_certain(initiator::FenceReliance fence) noexcept;
[[nodiscard]] std::string_view to_text(LogLevel level) noexcept;

/// The kernel's text for an errno that came in a message or a record.
[[nodiscard]] std::string_view errno_text(std::uint64_t code);

}  // namespace holdfast::daemon
