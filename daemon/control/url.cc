#include "daemon/control/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "daemon/control/number.h"

namespace holdfast::daemon {

namespace {

constexpr std::string_view kScheme = "iscsi://";
constexpr std::string_view kForm = "iscsi://[user[%password]@]host[:port]/target-name/lun";
constexpr std::size_t kHostMax = 255;
constexpr std::size_t kNameMax = 223;  // RFC 7143 section 4.2.7.1.

bool is_graphic(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c != 0x7f; });
}

std::unexpected<Failure> bad_url(std::string_view what) {
    return fail(ExitCode::Usage, fmt::format("the URL {}; it should look like {}", what, kForm));
}

/// Takes "user[%password]" apart. The password may hold anything but '@' and '/'.
void take_user(std::string_view text, IscsiUrl& url) {
    const std::size_t percent = text.find('%');
    url.user = text.substr(0, percent);
    if (percent != std::string_view::npos) url.password = text.substr(percent + 1);
}

OrFailure<void> take_unit(std::string_view path, IscsiUrl& url) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return bad_url("names a target but no LUN");
    const std::string_view target = path.substr(0, slash);
    const std::string_view lun = path.substr(slash + 1);
    const bool has_form =
        target.starts_with("iqn.") || target.starts_with("eui.") || target.starts_with("naa.");
    if (!has_form || target.size() > kNameMax || target.find('/') != std::string_view::npos)
        return bad_url(fmt::format(
            "has the target name '{}', which is not an iSCSI name (iqn., eui. or naa.)", target));
    const auto number = number_from<std::uint32_t>(lun);
    if (!number || *number > kLunMax)
        return bad_url(
            fmt::format("has the LUN '{}', which is not a number from 0 to {}", lun, kLunMax));
    url.target = target;
    url.lun = number;
    return {};
}

}  // namespace

OrFailure<HostPort> parse_host_port(std::string_view text) {
    const auto refuse = [text](std::string_view why) {
        return fail(ExitCode::Usage, fmt::format("'{}' is not a portal: {}; write host, host:port, "
                                                 "[v6-address] or [v6-address]:port",
                                                 text, why));
    };
    HostPort portal;
    std::string_view port;
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos) return refuse("the bracket is not closed");
        portal.host = text.substr(1, close - 1);
        const std::string_view rest = text.substr(close + 1);
        if (!rest.empty() && (!rest.starts_with(':') || rest.size() == 1))
            return refuse("after the bracket only :port may follow");
        if (!rest.empty()) port = rest.substr(1);
    } else {
        const std::size_t colon = text.find(':');
        if (colon != text.rfind(':')) return refuse("an IPv6 address needs brackets");
        portal.host = text.substr(0, colon);
        if (colon != std::string_view::npos) {
            port = text.substr(colon + 1);
            if (port.empty()) return refuse("the port is missing");
        }
    }
    if (portal.host.empty()) return refuse("the host is missing");
    const bool is_punctuated = portal.host.find_first_of("[]@/") != std::string::npos;
    if (portal.host.size() > kHostMax || !is_graphic(portal.host) || is_punctuated)
        return refuse("the host is not a host name");
    if (port.empty()) return portal;
    const auto number = number_from<std::uint16_t>(port);
    if (!number || *number == 0) return refuse("the port is not a number from 1 to 65535");
    portal.port = *number;
    return portal;
}

OrFailure<IscsiUrl> parse_url(std::string_view text) {
    if (!text.starts_with(kScheme)) return bad_url("does not start with iscsi://");
    std::string_view rest = text.substr(kScheme.size());
    const std::size_t slash = rest.find('/');
    std::string_view authority = rest.substr(0, slash);
    std::string_view path = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
    if (!is_graphic(rest)) return bad_url("holds blanks or control characters");
    IscsiUrl url;
    const std::size_t at = authority.rfind('@');
    if (at != std::string_view::npos) {
        take_user(authority.substr(0, at), url);
        if (url.user.empty()) return bad_url("has an '@' but no user before it");
        authority = authority.substr(at + 1);
    }
    auto portal = parse_host_port(authority);
    if (!portal) return std::unexpected{portal.error()};
    url.portal = *std::move(portal);
    if (path.empty()) return url;
    if (const auto taken = take_unit(path, url); !taken) return std::unexpected{taken.error()};
    return url;
}

OrFailure<IscsiUrl> parse_unit_url(std::string_view text) {
    auto url = parse_url(text);
    if (url && url->target.empty())
        return bad_url("names no target and LUN ('holdfast discover' lists them)");
    return url;
}

std::string to_text(const HostPort& portal) {
    const bool is_v6 = portal.host.find(':') != std::string::npos;
    return is_v6 ? fmt::format("[{}]:{}", portal.host, portal.port)
                 : fmt::format("{}:{}", portal.host, portal.port);
}

std::string without_password(const IscsiUrl& url) {
    std::string text{kScheme};
    if (!url.user.empty()) text += url.user + "@";
    text += to_text(url.portal);
    if (url.lun) text += fmt::format("/{}/{}", url.target, *url.lun);
    return text;
}

}  // namespace holdfast::daemon
