#include "initiator/login/name.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/assert.h"
#include "initiator/login/ascii.h"

namespace holdfast::initiator {

namespace {

/// Code points from `first` to `last` that no name may contain.
struct CodeRange {
    std::uint32_t first;
    std::uint32_t last;
};

/// RFC 3722 section 6 beyond ASCII (tables C.1.2 to C.9 of RFC 3454, and U+3002), and table B.1,
/// whose characters the profile would remove. Sorted. Surrogates are not UTF-8 to begin with.
constexpr std::array kProhibited{
    CodeRange{0x0080, 0x00a0},   CodeRange{0x00ad, 0x00ad},    CodeRange{0x0340, 0x0341},
    CodeRange{0x034f, 0x034f},   CodeRange{0x06dd, 0x06dd},    CodeRange{0x070f, 0x070f},
    CodeRange{0x1680, 0x1680},   CodeRange{0x1806, 0x1806},    CodeRange{0x180b, 0x180e},
    CodeRange{0x2000, 0x200f},   CodeRange{0x2028, 0x202f},    CodeRange{0x205f, 0x2063},
    CodeRange{0x206a, 0x206f},   CodeRange{0x2ff0, 0x2ffb},    CodeRange{0x3000, 0x3000},
    CodeRange{0x3002, 0x3002},   CodeRange{0xe000, 0xf8ff},    CodeRange{0xfdd0, 0xfdef},
    CodeRange{0xfe00, 0xfe0f},   CodeRange{0xfeff, 0xfeff},    CodeRange{0xfff9, 0xffff},
    CodeRange{0x1d173, 0x1d17a}, CodeRange{0x1fffe, 0x1ffff},  CodeRange{0x2fffe, 0x2ffff},
    CodeRange{0x3fffe, 0x3ffff}, CodeRange{0x4fffe, 0x4ffff},  CodeRange{0x5fffe, 0x5ffff},
    CodeRange{0x6fffe, 0x6ffff}, CodeRange{0x7fffe, 0x7ffff},  CodeRange{0x8fffe, 0x8ffff},
    CodeRange{0x9fffe, 0x9ffff}, CodeRange{0xafffe, 0xaffff},  CodeRange{0xbfffe, 0xbffff},
    CodeRange{0xcfffe, 0xcffff}, CodeRange{0xdfffe, 0xdffff},  CodeRange{0xe0001, 0xe0001},
    CodeRange{0xe0020, 0xe007f}, CodeRange{0xefffe, 0x10ffff},
};

/// Takes one code point from the front. Empty when the bytes are not UTF-8; RFC 3629: shortest form
/// only, no surrogates, at most U+10FFFF.
std::optional<std::uint32_t> try_code_point(std::string_view& text) noexcept {
    const auto lead = static_cast<std::uint8_t>(text.front());
    if (lead < 0x80) {
        text.remove_prefix(1);
        return lead;
    }
    const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() <= more) return {};
    std::uint32_t code = lead & (0x3fU >> more);
    for (const char c : text.substr(1, more)) {
        const auto byte = static_cast<std::uint8_t>(c);
        if ((byte & 0xc0U) != 0x80U) return {};
        code = (code << 6) | (byte & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 4> kLeast{0, 0x80, 0x800, 0x1'0000};
    if (code < kLeast[more] || code > 0x10'ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
    text.remove_prefix(more + 1);
    return code;
}

bool is_prohibited(std::uint32_t code) noexcept {
    return std::ranges::any_of(kProhibited,
                               [code](CodeRange r) { return code >= r.first && code <= r.last; });
}

std::optional<NameError> judge_characters(std::string_view name) noexcept {
    while (!name.empty()) {
        const auto code = try_code_point(name);
        if (!code) return NameError::BadCharacter;
        if (*code >= 0x80) {
            if (is_prohibited(*code)) return NameError::BadCharacter;
            continue;
        }
        const char c = static_cast<char>(*code);
        if (is_upper(c)) return NameError::UpperCase;
        const bool allowed = is_digit(c) || is_lower(c) || c == '-' || c == '.' || c == ':';
        if (!allowed) return NameError::BadCharacter;
    }
    return {};
}

/// yyyy-mm with a month from 01 to 12.
bool is_date(std::string_view date) noexcept {
    if (date.size() != 7 || date[4] != '-') return false;
    const std::string_view year = date.substr(0, 4);
    const std::string_view month = date.substr(5);
    if (!std::ranges::all_of(year, is_digit) || !std::ranges::all_of(month, is_digit)) return false;
    const int number = (month[0] - '0') * 10 + (month[1] - '0');
    return number >= 1 && number <= 12;
}

/// Labels between dots, none of them empty. Two labels are not asked for: "localhost" is in use.
bool is_reversed_domain(std::string_view domain) noexcept {
    if (domain.empty() || domain.front() == '.' || domain.back() == '.') return false;
    return domain.find("..") == std::string_view::npos;
}

std::optional<NameError> judge_iqn(std::string_view rest) noexcept {
    constexpr std::size_t kDateBytes = 7;
    if (!is_date(rest.substr(0, kDateBytes))) return NameError::BadDate;
    rest.remove_prefix(kDateBytes);
    if (!rest.starts_with('.')) return NameError::BadAuthority;
    rest.remove_prefix(1);
    if (!is_reversed_domain(rest.substr(0, rest.find(':')))) return NameError::BadAuthority;
    return {};
}

std::optional<NameError> judge_digits(std::string_view digits, bool may_be_long) noexcept {
    constexpr std::size_t kShort = 16;  // 64 bits.
    constexpr std::size_t kLong = 32;   // 128 bits.
    const bool right_length = digits.size() == kShort || (may_be_long && digits.size() == kLong);
    if (!right_length || !std::ranges::all_of(digits, is_hex)) return NameError::BadDigits;
    return {};
}

}  // namespace

std::optional<NameError> judge_name(std::string_view name) noexcept {
    if (name.size() > kNameBytesMax) return NameError::TooLong;
    constexpr std::size_t kTypeBytes = 4;
    const std::string_view type = name.substr(0, kTypeBytes);
    if (type != "iqn." && type != "eui." && type != "naa.") return NameError::UnknownType;
    if (const auto wrong = judge_characters(name)) return wrong;
    const std::string_view rest = name.substr(kTypeBytes);
    if (type == "iqn.") return judge_iqn(rest);
    return judge_digits(rest, type == "naa.");
}

std::expected<IscsiName, NameError> normalise_name(std::string_view name) noexcept {
    IscsiName normal;
    for (const char c : name) {
        const char lower = is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
        if (!normal.try_append(std::string_view{&lower, 1})) {
            return std::unexpected{NameError::TooLong};
        }
    }
    if (const auto wrong = judge_name(normal.view())) return std::unexpected{*wrong};
    return normal;
}

FixedString<kNameBytesMax + 18> initiator_port_name(const IscsiName& name, Isid isid) noexcept {
    FixedString<kNameBytesMax + 18> port;
    bool fits = port.try_append(name.view()) && port.try_append(",i,0x");
    for (int shift = 44; shift >= 0; shift -= 4) {
        fits = fits && port.try_append(kHexDigits.substr((isid.raw() >> shift) & 0xfU, 1));
    }
    fits = fits && port.try_append(std::string_view{"\0", 1});
    HF_ASSERT(fits);
    return port;
}

bool is_legal_isid(Isid isid) noexcept {
    return isid.raw() < (1ULL << 48) && (isid.raw() >> 46) != 0x3U;
}

Isid random_isid(std::uint32_t random, std::uint16_t qualifier) noexcept {
    constexpr std::uint64_t kRandomFormat = 0x2;  // T of section 11.12.5; A is reserved: 0.
    const Isid isid{(kRandomFormat << 46) | (std::uint64_t{random & 0xff'ffffU} << 16) | qualifier};
    HF_ASSERT(is_legal_isid(isid));
    return isid;
}

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto code = try_code_point(text);
        if (!code || *code == 0) return false;
    }
    return true;
}

}  // namespace holdfast::initiator
