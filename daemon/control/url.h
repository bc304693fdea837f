/// `iscsi://[user[%password]@]host[:port][/target/lun]`, the form that libiscsi made common.
/// IPv6 addresses stand in brackets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/control/failure.h"

namespace holdfast::daemon {

/// The port that IANA gave iSCSI. RFC 7143 section 4.2.7.
inline constexpr std::uint16_t kIscsiPort = 3260;

/// Where a portal is, not resolved.
struct HostPort {
    std::string host;  ///< A name or an address, without brackets.
    std::uint16_t port = kIscsiPort;
    bool operator==(const HostPort&) const = default;
};

/// One logical unit, or one portal to ask for its targets.
struct IscsiUrl {
    std::string user;      ///< CHAP name; empty: none.
    std::string password;  ///< CHAP secret; empty: none given here.
    HostPort portal;
    std::string target;                ///< Empty: the URL names a portal only.
    std::optional<std::uint32_t> lun;  ///< Set when target is.
};

/// "host", "host:port", "[v6]" or "[v6]:port".
[[nodiscard]] OrFailure<HostPort> parse_host_port(std::string_view text);

/// With or without target and LUN.
[[nodiscard]] OrFailure<IscsiUrl> parse_url(std::string_view text);

/// The same, but target and LUN must be there.
[[nodiscard]] OrFailure<IscsiUrl> parse_unit_url(std::string_view text);

/// "host:port", with brackets where needed.
[[nodiscard]] std::string to_text(const HostPort& portal);

/// The URL without its password, for messages.
[[nodiscard]] std::string without_password(const IscsiUrl& url);

/// True when `text` starts like a URL rather than like a name.
[[nodiscard]] inline bool looks_like_url(std::string_view text) noexcept {
    return text.find("://") != std::string_view::npos;
}

}  // namespace holdfast::daemon
