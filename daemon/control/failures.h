/// How refusals and failures, which arrive as numbers, end for the user: an exit code and a
/// sentence that says what to do next.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "daemon/control/failure.h"
#include "daemon/shared/control_message.h"
#include "initiator/login/login.h"
#include "initiator/notice.h"
#include "initiator/request.h"

namespace holdfast::daemon {

/// `error` is an initiator::ProbeError.
[[nodiscard]] Failure failure_of_probe(std::uint64_t error);

/// How a status of a Login Response ends for the user. RFC 7143 section 11.13.5. `status` is
/// class << 8 | detail.
[[nodiscard]] Failure failure_of_login_status(std::uint64_t status);

/// Why a login ended, as the login machine says it.
[[nodiscard]] Failure failure_of_login(const initiator::LoginFailure& failure);

/// What a notice means when the first login ends with it; empty when it does not explain a failure.
[[nodiscard]] std::optional<Failure> failure_of_notice(const initiator::Notice& notice);

/// The last notice that explains the failure, or a general sentence.
[[nodiscard]] Failure failure_of_notices(std::span<const initiator::Notice> notices);

/// Refused and Failed.
[[nodiscard]] Failure failure_of(const ControlMessage& message);

/// How a request to the unit ended, for in-process verbs.
[[nodiscard]] Failure failure_of_outcome(initiator::Outcome outcome, std::string_view doing);

}  // namespace holdfast::daemon
