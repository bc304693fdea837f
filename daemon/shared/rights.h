/// Giving up capabilities for good. Effectful; before the sandbox, on the thread that is to be
/// armed.
#pragma once

#include "reserve/protection.h"

namespace holdfast::daemon {

/// What a process keeps.
enum class Rights : unsigned char {
    None,
    SystemAdministration,  ///< CAP_SYS_ADMIN: the ublk driver asks for it when a device is stopped.
};

/// Empties the bounding set: no program that is started can get anything. Only who may is heard, so
/// before a change of user.
void empty_bounding_set() noexcept;

/// Drops every other capability from all three sets and, where that is allowed, from the bounding
/// set; reads the three back.
[[nodiscard]] reserve::Protection drop_rights(Rights kept) noexcept;

}  // namespace holdfast::daemon
