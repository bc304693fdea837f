/// Who serves a unit under one session identifier: a lock that is held as long as an I/O process
/// lives, also one whose supervisor has died. Without it a new supervisor would log in beside it
/// with the same identifier, and the two would end each other's sessions for ever.
#pragma once

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/shared/attach_spec.h"

namespace holdfast::daemon {

/// Held as long as a copy of the descriptor is open in any process. EBUSY: somebody has it. An
/// empty descriptor where the folder of locks cannot be made, because we are not root: no lock
/// then.
[[nodiscard]] OrErrno<UniqueFd> lock_unit(const AttachSpec& spec) noexcept;

}  // namespace holdfast::daemon
