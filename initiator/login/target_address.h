/// TargetAddress=host[:port][,tag]. RFC 7143 section 13.8.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "initiator/session_config.h"

namespace holdfast::initiator {

/// IANA's port for iSCSI. Section 14.
inline constexpr std::uint16_t kDefaultPort = 3260;

/// What is wrong with an address.
enum class AddressError : std::uint8_t {
    BadHost,  ///< Neither a DNS name, nor dotted IPv4, nor [IPv6].
    BadPort,  ///< Not a number 1 to 65535.
    BadTag,   ///< Not a binary of 16 bits.
    TooLong,  ///< Longer than 255 bytes.
};

/// Where a target can be reached.
struct TargetAddress {
    Portal portal{};  ///< The host without brackets; a zone identifier is cut off.
    std::optional<std::uint16_t> tag{};
};

/// Takes the value of a TargetAddress key apart. Nothing is resolved. Scripts beyond ASCII, spaces
/// and control characters are refused with the host.
[[nodiscard]] std::expected<TargetAddress, AddressError> parse_target_address(
    std::string_view text) noexcept;

}  // namespace holdfast::initiator
