/// iSCSI names. RFC 7143 section 4.2.7, RFC 3722.
///
/// Normalising maps ASCII letters to lower case. Of the stringprep profile for other characters
/// only the prohibitions are checked: a name with characters beyond ASCII is taken when it is valid
/// UTF-8, and must come already in lower case and in normalisation form KC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "base/fixed_vector.h"
#include "initiator/session_config.h"

namespace holdfast::initiator {

/// Longest name, bytes. Section 4.2.7.1.
inline constexpr std::size_t kNameBytesMax = 223;

using IscsiName = FixedString<kNameBytesMax>;

/// What is wrong with a name.
enum class NameError : std::uint8_t {
    TooLong,       // 4.2.7.1: more than 223 bytes.
    UnknownType,   // 4.2.7.3: not iqn., eui. or naa.
    BadDate,       // 4.2.7.4: not yyyy-mm with a month 01 to 12.
    BadAuthority,  // 4.2.7.4: no reversed domain name.
    BadDigits,     // 4.2.7.5, 4.2.7.6: not hexadecimal, or not 16 (naa: 16 or 32) digits.
    BadCharacter,  // 4.2.7.2, RFC 3722 section 6: prohibited, or not UTF-8.
    UpperCase,     // 4.2.7.1: normalise first.
};

/// Nothing when `name` is legal as it stands, byte for byte. Section 4.2.7.2.
[[nodiscard]] std::optional<NameError> judge_name(std::string_view name) noexcept;

/// The name in normal form, from what an administrator typed or a target listed.
[[nodiscard]] std::expected<IscsiName, NameError> normalise_name(std::string_view name) noexcept;

/// The SCSI port name of an initiator: name ",i,0x" and twelve hexadecimal digits of the ISID, with
/// the final NUL as part of it. Section 4.4.2.
[[nodiscard]] FixedString<kNameBytesMax + 18> initiator_port_name(const IscsiName& name,
                                                                  Isid isid) noexcept;

/// False for the reserved format 11b. Section 11.12.5.
[[nodiscard]] bool is_legal_isid(Isid isid) noexcept;

/// An ISID of the random format (10b). Section 11.12.5. Of `random` the low 24 bits count.
[[nodiscard]] Isid random_isid(std::uint32_t random, std::uint16_t qualifier) noexcept;

/// True when `text` is well-formed UTF-8 without NUL. RFC 3629.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

}  // namespace holdfast::initiator
