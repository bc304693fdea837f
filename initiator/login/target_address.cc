#include "initiator/login/target_address.h"

#include <algorithm>

#include "initiator/login/ascii.h"
#include "initiator/login/value.h"

namespace holdfast::initiator {

namespace {

constexpr std::uint64_t kWordMost = 0xffff;

/// Cuts the front of `text` up to the first `end`, or all of it.
std::string_view cut(std::string_view& text, char end) noexcept {
    const std::size_t at = text.find(end);
    const std::string_view front = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    return front;
}

bool is_ipv4(std::string_view text) noexcept {
    if (std::ranges::count(text, '.') != 3) return false;
    for (int i = 0; i < 4; ++i) {
        const std::string_view part = cut(text, '.');
        const bool plain = part.size() <= 3 && std::ranges::all_of(part, is_digit);
        const auto number = plain ? parse_number(part) : std::optional<std::uint64_t>{};
        if (!number || *number > 255) return false;
    }
    return true;
}

/// How many 16-bit groups `text` writes between single colons; empty when malformed. Only the last
/// part of an address may be dotted IPv4, which is two groups.
std::optional<int> count_groups(std::string_view text, bool is_last) noexcept {
    if (text.empty()) return 0;
    if (text.back() == ':') return {};
    int groups = 0;
    while (!text.empty()) {
        const bool is_tail = text.find(':') == std::string_view::npos;
        const std::string_view part = cut(text, ':');
        if (is_last && is_tail && is_ipv4(part)) return groups + 2;
        if (part.empty() || part.size() > 4 || !std::ranges::all_of(part, is_hex)) return {};
        ++groups;
    }
    return groups;
}

/// RFC 4291 section 2.2.
bool is_ipv6(std::string_view text) noexcept {
    constexpr int kGroups = 8;
    const std::size_t gap = text.find("::");
    if (gap == std::string_view::npos) return count_groups(text, true) == kGroups;
    const std::string_view tail = text.substr(gap + 2);
    if (tail.find("::") != std::string_view::npos || tail.starts_with(':')) return false;
    const auto before = count_groups(text.substr(0, gap), false);
    const auto after = count_groups(tail, true);
    return before && after && *before + *after < kGroups;
}

bool is_label(std::string_view label) noexcept {
    constexpr std::size_t kLabelBytesMax = 63;  // RFC 1035 section 2.3.4.
    const auto fits = [](char c) { return is_digit(c) || is_letter(c) || c == '-' || c == '_'; };
    return !label.empty() && label.size() <= kLabelBytesMax && label.front() != '-' &&
           label.back() != '-' && std::ranges::all_of(label, fits);
}

bool is_dns_name(std::string_view name) noexcept {
    if (name.empty() || name.back() == '.') return false;
    while (!name.empty()) {
        if (!is_label(cut(name, '.'))) return false;
    }
    return true;
}

bool is_ipv4_or_name(std::string_view host) noexcept {
    const auto is_numeric = [](char c) { return is_digit(c) || c == '.'; };
    if (std::ranges::all_of(host, is_numeric)) return is_ipv4(host);
    return is_dns_name(host);
}

std::optional<std::uint16_t> parse_word(std::string_view text) noexcept {
    const auto number = parse_small_binary(text);
    if (!number || *number > kWordMost) return {};
    return static_cast<std::uint16_t>(*number);
}

/// Takes "[address%zone]" or a name off the front; empty when it is neither.
std::optional<std::string_view> try_host(std::string_view& text) noexcept {
    if (!text.starts_with('[')) {
        const std::size_t colon = text.find(':');
        const std::string_view host = text.substr(0, colon);
        text.remove_prefix(host.size());
        if (!is_ipv4_or_name(host)) return {};
        return host;
    }
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return {};
    std::string_view inside = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    const std::string_view address = cut(inside, '%');
    if (!is_ipv6(address)) return {};
    return address;
}

}  // namespace

std::expected<TargetAddress, AddressError> parse_target_address(std::string_view text) noexcept {
    TargetAddress result;
    const std::size_t comma = text.find(',');
    if (comma != std::string_view::npos) {
        result.tag = parse_word(text.substr(comma + 1));
        if (!result.tag) return std::unexpected{AddressError::BadTag};
        text = text.substr(0, comma);
    }
    const auto host = try_host(text);
    if (!host) return std::unexpected{AddressError::BadHost};
    if (!result.portal.host.try_assign(*host)) return std::unexpected{AddressError::TooLong};
    result.portal.port = kDefaultPort;
    if (text.empty()) return result;
    const auto port = text.starts_with(':') ? parse_word(text.substr(1)) : std::nullopt;
    if (!port || *port == 0) return std::unexpected{AddressError::BadPort};
    result.portal.port = *port;
    return result;
}

}  // namespace holdfast::initiator
