/// From settings to the spec that an I/O process is told: secrets read, names resolved, the
/// persistent ISID looked up. Blocks (files, name service).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fixed_vector.h"
#include "daemon/control/failure.h"
#include "daemon/control/settings.h"
#include "daemon/shared/attach_spec.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

/// Numeric addresses of a portal, at most as many as a session has places for, in the resolver's
/// order. Blocks.
[[nodiscard]] OrFailure<std::vector<initiator::Portal>> resolve(const HostPort& portal);

/// The first address of a host that a target named, as text. Blocks.
[[nodiscard]] OrFailure<FixedString<63>> resolve_host(std::string_view host);

/// What the settings do not say.
struct Identity {
    std::string initiator_name;
    initiator::Isid isid{};
};

/// Session part only, for in-process verbs.
[[nodiscard]] OrFailure<initiator::SessionConfig> build_session(const AttachSettings& settings,
                                                                const Identity& identity);

/// The whole spec; it has passed check().
[[nodiscard]] OrFailure<AttachSpec> build_spec(const AttachSettings& settings,
                                               const Identity& identity);

}  // namespace holdfast::daemon
