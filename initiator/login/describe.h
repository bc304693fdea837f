/// What to tell the operator about a login that failed: one static text each.
#pragma once

#include <cstdint>
#include <string_view>

#include "initiator/login/chap.h"
#include "initiator/login/login_error.h"
#include "initiator/login/name.h"

namespace holdfast::initiator {

/// Status class and detail of a Login Response as class << 8 | detail. RFC 7143 section 11.13.5. A
/// detail that the table does not have is described by its class.
[[nodiscard]] std::string_view describe_login_status(std::uint16_t status) noexcept;

[[nodiscard]] std::string_view describe(LoginError error) noexcept;
[[nodiscard]] std::string_view describe(ChapError error) noexcept;
[[nodiscard]] std::string_view describe(ChapConfigError error) noexcept;
[[nodiscard]] std::string_view describe(NameError error) noexcept;

/// True when the same login may succeed later without anybody changing anything: class 3, "target
/// error". Class 2 is not to be tried again by itself; a profile may decide otherwise (LOG-27).
[[nodiscard]] constexpr bool is_worth_waiting(std::uint16_t status) noexcept {
    return (status >> 8) == 3;
}

}  // namespace holdfast::initiator
