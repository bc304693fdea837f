/// From options to settings: for sessions in this process, and as the keys of a request for the
/// daemon.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/client/options.h"
#include "daemon/control/failure.h"
#include "daemon/control/settings.h"
#include "daemon/control/wire.h"

namespace holdfast::daemon {

/// Settings of an in-process session: profile data, an own ISID, and the options on top. Asks for
/// the password if one is needed.
[[nodiscard]] OrFailure<AttachSettings> session_settings(const SessionOptions& options);

/// The same without a unit, for discovery; a bare host will do.
[[nodiscard]] OrFailure<AttachSettings> portal_settings(const SessionOptions& options);

/// Arguments of the attach request.
[[nodiscard]] OrFailure<Json> attach_arguments(const Options& options);

/// A name for an attachment made from a URL: the end of the target's name and the LUN.
[[nodiscard]] std::string name_for(const IscsiUrl& url);

/// The initiator name for sessions in this process: option, file, or one made of the host's name.
[[nodiscard]] std::string initiator_name_for(const SessionOptions& options);

/// Bytes, or a failure that names the option.
[[nodiscard]] OrFailure<std::uint64_t> size_option(std::string_view text, std::string_view option);

}  // namespace holdfast::daemon
