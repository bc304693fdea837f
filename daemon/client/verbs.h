/// Every verb of `holdfast`: takes options, gives output or a failure.
#pragma once

#include "daemon/client/options.h"
#include "daemon/client/output.h"
#include "daemon/client/unit_port.h"
#include "daemon/control/failure.h"

namespace holdfast::daemon {

/// Verbs that ask the daemon: attach, detach, list, status, metrics, udev-info, trace, version.
[[nodiscard]] OrFailure<Output> run_daemon_verb(const Options& options);

/// plan and check-host.
[[nodiscard]] OrFailure<Output> run_plan(const Options& options);
[[nodiscard]] OrFailure<Output> run_check_host();

[[nodiscard]] OrFailure<Output> run_discover(const Options& options);

/// read, write, verify, bench on an open unit; descriptors 0 and 1 are input and output.
[[nodiscard]] OrFailure<Output> run_unit_verb(const Options& options, UnitPort& port);
/// The same, with a session opened for it.
[[nodiscard]] OrFailure<Output> run_unit_verb(const Options& options);

/// "status" for people, from the daemon's JSON.
[[nodiscard]] std::string status_text(const Json& status);
/// "status --security" for people, from the daemon's JSON.
[[nodiscard]] std::string security_text(const Json& answer);
/// The lines about one classifier in it.
[[nodiscard]] std::string classifier_text(const Json& classifier);

}  // namespace holdfast::daemon
