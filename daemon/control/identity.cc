#include "daemon/control/identity.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "daemon/control/file.h"
#include "daemon/control/number.h"

namespace holdfast::daemon {

namespace {

constexpr std::string_view kPrefix = "iqn.2026-11.org.holdfast:";
constexpr std::string_view kStoreHead = "holdfast-isids 1";
constexpr std::string_view kStoreHeadAnyVersion = "holdfast-isids ";
constexpr std::size_t kNameBytesMax = 223;  // RFC 7143 section 4.2.7.1.
constexpr std::size_t kFileBytesMax = 1024 * 1024;

template <class T>
T random_value() {
    T value{};
    const ssize_t got = ::getrandom(&value, sizeof(value), 0);
    HF_ASSERT(got == static_cast<ssize_t>(sizeof(value)));  // Up to 256 bytes never come short.
    return value;
}

std::string host_name() {
    std::array<char, 256> text{};
    if (::gethostname(text.data(), text.size() - 1) != 0) return "unknown";
    return text.data();
}

std::string_view take_word(std::string_view& line) {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
}

template <class Each>
void for_each_line(std::string_view text, Each each) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        each(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

bool is_initiator_name(std::string_view name) {
    const bool has_form =
        name.starts_with("iqn.") || name.starts_with("eui.") || name.starts_with("naa.");
    return has_form && name.size() > 4 && name.size() <= kNameBytesMax &&
           std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; });
}

OrFailure<std::string> name_in(std::string_view text, const std::string& path) {
    std::string name;
    for_each_line(text, [&name](std::string_view line) {
        constexpr std::string_view kKey = "InitiatorName=";
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || line.starts_with('#') || !name.empty()) return;
        if (line.starts_with(kKey)) line.remove_prefix(kKey.size());
        name = line;
    });
    if (is_initiator_name(name)) return name;
    return fail(
        ExitCode::Usage,
        fmt::format("{} holds no iSCSI name; write one line such as "
                    "iqn.2026-11.org.holdfast:myhost, or remove the file to get a fresh one",
                    path));
}

}  // namespace

OrFailure<std::string> read_initiator_name(const std::string& path) {
    const auto text = read_file(path, kFileBytesMax);
    if (!text)
        return fail(ExitCode::Usage, fmt::format("cannot read the initiator name {}: {}; make it "
                                                 "readable",
                                                 path, text.error().text()));
    return name_in(*text, path);
}

OrFailure<std::string> read_or_make_initiator_name(const std::string& path) {
    if (::access(path.c_str(), F_OK) == 0) return read_initiator_name(path);
    std::string name = fresh_initiator_name(host_name(), random_value<std::uint32_t>());
    const std::size_t slash = path.rfind('/');
    constexpr mode_t kDirectoryMode = 0755;
    constexpr mode_t kFileMode = 0644;
    auto made = slash == std::string::npos || slash == 0
                    ? OrErrno<void>{}
                    : make_directories(path.substr(0, slash), kDirectoryMode);
    if (made) made = replace_file(path, name + "\n", kFileMode);
    if (!made)
        return fail(ExitCode::NotPermitted,
                    fmt::format("cannot write the fresh initiator name to {}: {}; make the "
                                "directory writable or write the file yourself",
                                path, made.error().text()));
    return name;
}

std::string fresh_initiator_name(std::string_view host, std::uint32_t random) {
    std::string name{kPrefix};
    for (const char c : host.substr(0, 64)) {
        const bool is_digit_or_lower = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
        if (c >= 'A' && c <= 'Z') {
            name += static_cast<char>(c - 'A' + 'a');
        } else {
            name += is_digit_or_lower || c == '-' || c == '.' ? c : '-';
        }
    }
    return name + fmt::format(".{:08x}", random);
}

std::string passing_initiator_name() {
    return fresh_initiator_name(host_name(), ::geteuid());
}

initiator::Isid fresh_isid() {
    constexpr std::uint64_t kLow46Bits = (1ULL << 46) - 1;
    constexpr std::uint64_t kTypeRandom = 1ULL << 47;
    // The format leaves bits 40..45 ("A") zero in the random form.
    constexpr std::uint64_t kFieldA = 0x3fULL << 40;
    return initiator::Isid{kTypeRandom | (random_value<std::uint64_t>() & kLow46Bits & ~kFieldA)};
}

OrFailure<IsidStore> IsidStore::load(const std::string& path) {
    IsidStore store{path};
    const auto text = read_file(path, kFileBytesMax);
    if (!text && text.error() == Errno{ENOENT}) return store;
    if (!text)
        return fail(ExitCode::NotPermitted,
                    fmt::format("cannot read the session identifiers in {}: {}; make the state "
                                "directory readable",
                                path, text.error().text()));
    const std::string_view head = std::string_view{*text}.substr(0, text->find('\n'));
    if (head != kStoreHead && head.starts_with(kStoreHeadAnyVersion))
        return fail(ExitCode::Usage,
                    fmt::format("{} is of a later release; update Holdfast, or move the file away "
                                "and lose the identifiers in it",
                                path));
    for_each_line(*text, [&store](std::string_view line) { store.take_line(line); });
    return store;
}

void IsidStore::take_line(std::string_view line) {
    if (line.empty() || line == kStoreHead) return;
    constexpr std::uint64_t kIsidMax = (1ULL << 48) - 1;
    std::string_view rest = line;
    const auto isid = number_from<std::uint64_t>(take_word(rest), 16);
    const auto portal_group = number_from<std::uint16_t>(take_word(rest));
    const auto slot = number_from<std::uint8_t>(take_word(rest));
    if (!isid || *isid > kIsidMax || !portal_group || !slot || !is_initiator_name(rest)) {
        unreadable_.emplace_back(line);
        return;
    }
    records_.push_back(
        {.key = {.target = std::string{rest}, .portal_group = *portal_group, .slot = *slot},
         .isid = initiator::Isid{*isid}});
}

OrFailure<initiator::Isid> IsidStore::isid_of(const IsidKey& key) {
    const auto known = std::ranges::find(records_, key, &Record::key);
    if (known != records_.end()) return known->isid;
    // An attachment that reserves its unit uses the ISIDs that differ in the lowest bits, too.
    constexpr std::uint64_t kPortBits = 7;
    initiator::Isid isid = fresh_isid();
    const auto is_near = [&isid](const Record& record) {
        return (record.isid.raw() | kPortBits) == (isid.raw() | kPortBits);
    };
    while (std::ranges::any_of(records_, is_near)) isid = fresh_isid();
    records_.push_back({.key = key, .isid = isid});
    if (const auto saved = save(); !saved) {
        records_.pop_back();
        return std::unexpected{saved.error()};
    }
    return isid;
}

OrFailure<void> IsidStore::save() const {
    std::string text{kStoreHead};
    text += '\n';
    for (const Record& record : records_)
        text += fmt::format("{:012x} {} {} {}\n", record.isid.raw(), record.key.portal_group,
                            record.key.slot, record.key.target);
    for (const std::string& line : unreadable_) text += line + '\n';
    const std::size_t slash = path_.rfind('/');
    constexpr mode_t kDirectoryMode = 0755;
    constexpr mode_t kFileMode = 0644;
    auto saved = slash == std::string::npos || slash == 0
                     ? OrErrno<void>{}
                     : make_directories(path_.substr(0, slash), kDirectoryMode);
    if (saved) saved = replace_file(path_, text, kFileMode);
    if (saved) return {};
    return fail(ExitCode::NotPermitted,
                fmt::format("cannot write the session identifiers to {}: {}; make the state "
                            "directory writable",
                            path_, saved.error().text()));
}

}  // namespace holdfast::daemon
