/// What the watchdog says about an attachment, as JSON.
#pragma once

#include "daemon/control/wire.h"
#include "watchdog/watch_block.h"

namespace holdfast::daemon {

/// The key "watchdog" of a status; docs/operating.md describes the keys. Distrusts the block: an
/// enumerator that nobody knows is "unknown".
[[nodiscard]] Json watch_json(const watchdog::WatchBlock& block);

}  // namespace holdfast::daemon
