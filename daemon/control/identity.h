/// Who we are to targets: the initiator name, and session identifiers that stay the same over
/// restarts so that reservations survive and a new session reinstates the old one. RFC 7143
/// sections 4.2.7 and 11.12.5.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/failure.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

/// The name in the file: one line, either the name alone or "InitiatorName=" before it; lines that
/// start with # do not count. Fails with ENOENT's sentence when there is no file.
[[nodiscard]] OrFailure<std::string> read_initiator_name(const std::string& path);

/// The same, but makes the file with a fresh name when it is not there.
[[nodiscard]] OrFailure<std::string> read_or_make_initiator_name(const std::string& path);

/// "iqn.2026-11.org.holdfast:<host>.<8 hex digits>", lower case, at most 223 bytes.
[[nodiscard]] std::string fresh_initiator_name(std::string_view host_name, std::uint32_t random);

/// This machine's name for sessions that no file belongs to: in-process verbs of plain users.
[[nodiscard]] std::string passing_initiator_name();

/// 48 random bits in the RANDOM format (T = 10b). RFC 7143 section 11.12.5.
[[nodiscard]] initiator::Isid fresh_isid();

/// What an ISID belongs to.
struct IsidKey {
    std::string target;
    std::uint16_t portal_group = 0xffff;
    std::uint8_t slot = 0;
    bool operator==(const IsidKey&) const = default;
};

/// The file of ISIDs: a version line, then one record per line. A line that cannot be read is kept
/// as it is and harms nothing else.
class IsidStore {
public:
    /// A file that is not there is empty. Fails when it cannot be read or is of a later version.
    [[nodiscard]] static OrFailure<IsidStore> load(const std::string& path);

    /// The persistent ISID; a new one is on disk before this returns.
    [[nodiscard]] OrFailure<initiator::Isid> isid_of(const IsidKey& key);

    [[nodiscard]] std::size_t unreadable_lines() const noexcept { return unreadable_.size(); }

private:
    struct Record {
        IsidKey key;
        initiator::Isid isid;
    };
    explicit IsidStore(std::string path) : path_(std::move(path)) {}
    void take_line(std::string_view line);
    [[nodiscard]] OrFailure<void> save() const;

    std::string path_;
    std::vector<Record> records_;
    std::vector<std::string> unreadable_;
};

}  // namespace holdfast::daemon
