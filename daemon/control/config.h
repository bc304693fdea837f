/// The configuration file: TOML, every key known, every error with its line and a sentence that
/// says what to do. docs/configuration.md lists the keys. The same rules judge what a client asks
/// for, so that file and command line cannot drift apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/time.h"
#include "daemon/control/failure.h"
#include "daemon/control/settings.h"
#include "daemon/shared/io_event.h"

namespace holdfast::daemon {

inline constexpr std::string_view kConfigPath = "/etc/holdfast/holdfast.toml";
inline constexpr std::string_view kInitiatorNamePath = "/etc/holdfast/initiatorname";
inline constexpr std::string_view kStateDirectory = "/var/lib/holdfast";
inline constexpr std::string_view kControlSocketPath = "/run/holdfast/control.sock";
inline constexpr std::string_view kLinkDirectory = "/dev/holdfast";
/// A configuration is a few kilobytes; more is a mistake.
inline constexpr std::size_t kConfigBytesMax = 1024 * 1024;

/// Everything in the file.
struct Config {
    std::string socket{kControlSocketPath};
    std::string socket_group;      ///< Empty: everybody may connect.
    std::string user{"holdfast"};  ///< Whom control becomes; see control_user.h.
    std::string initiator_name;    ///< What stood in the file before control gave its rights up.
    Duration machine_watchdog{};   ///< Of /dev/watchdog; zero: it is left alone.
    std::string state_directory{kStateDirectory};
    std::string initiator_name_file{kInitiatorNamePath};
    std::string trace_directory;  ///< Empty: "traces" in the state directory.
    std::uint32_t traces_kept = 8;
    LogLevel log_level = LogLevel::Info;
    /// Per ProfileId: defaults with the [profile.NAME] tables applied.
    std::array<Tuning, kProfileCount> profiles{
        default_tuning(ProfileId::Swap), default_tuning(ProfileId::Root),
        default_tuning(ProfileId::Data), default_tuning(ProfileId::Multipath)};
    std::vector<AttachSettings> attachments;
};

/// Where recordings of lost sessions are kept.
[[nodiscard]] std::string trace_directory_of(const Config& config);

/// `origin` stands in front of the line numbers of errors.
[[nodiscard]] OrFailure<Config> parse_config(std::string_view text, std::string_view origin);

/// Reads and parses. A file that is not there is an empty configuration when `must_exist` is false.
[[nodiscard]] OrFailure<Config> load_config(const std::string& path, bool must_exist);

/// Settings of one attachment out of a client's request: the keys of an [attachment.NAME] table,
/// and `password`, `mutual_password`, which a file may not hold.
[[nodiscard]] OrFailure<AttachSettings> settings_from_request(const Config& config,
                                                              const std::string& name,
                                                              const nlohmann::json& keys);

/// Sizes, timers and negotiation alone, out of a command line or a request, over what `tuning`
/// holds.
[[nodiscard]] OrFailure<void> tune_from_request(Tuning& tuning, const nlohmann::json& keys);

}  // namespace holdfast::daemon
