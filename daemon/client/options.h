/// The command line, taken apart. Nothing is looked up or judged here beyond its form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/failure.h"

namespace holdfast::daemon {

/// Which verb; the names on the command line are those of kVerbNames.
enum class Verb : std::uint8_t {
    None,
    Attach,
    Detach,
    List,
    Status,
    Plan,
    CheckHost,
    Discover,
    Metrics,
    UdevInfo,
    Upgrade,
    Trace,
    Pressure,
    Version,
    Read,
    Write,
    Verify,
    Bench,
};

/// Options of a session that this process or the daemon opens.
struct SessionOptions {
    std::string url;
    std::string password_file;
    std::string mutual_user;
    std::string mutual_password_file;
    bool md5_only = false;
    std::string header_digest;  ///< Empty: the profile's default.
    std::string data_digest;
    std::string initiator_name;
    std::uint16_t depth = 0;   ///< 0: the profile's default.
    std::string request_size;  ///< Empty: the profile's default.
    std::uint32_t timeout_s = 15;
    std::uint32_t patience_s = 30;
    bool zero_copy = false;        ///< With path = "xdp": a refusal instead of copy mode.
    std::vector<std::string> set;  ///< "timers.login=5s": any key of the configuration that fits.
};

/// Options of a range on a unit.
struct RangeOptions {
    std::string offset = "0";
    std::string length;  ///< Empty: to the end.
};

struct AttachOptions {
    std::string name;
    std::string profile;
    std::string exported;
    std::string nbd_socket;
    std::optional<std::int32_t> ublk_id;
    std::optional<std::uint32_t> slot;
    std::optional<std::uint32_t> connections;
    std::string path;
    std::string tier;
    bool read_only = false;
    bool shared = false;
    bool force_tier = false;
    bool without_lockdown = false;
    bool keep_kernel_reserve = false;
    bool keep_trying = false;
    std::uint32_t wait_s = 30;
};

struct BenchOptions {
    std::string workload = "randread";
    std::string block_size = "4KiB";
    double seconds = 10;
    std::uint64_t requests = 0;
    std::uint64_t warm_up = 0;  ///< Requests before the measurement.
    std::uint32_t records = 0;  ///< Headers that a flight recorder keeps; 0: there is none.
};

struct PlanOptions {
    std::uint32_t sessions = 1;
    std::string profile = "swap";
    std::string exported = "ublk";
};

struct Options {
    Verb verb = Verb::None;
    bool json = false;
    std::string socket;  ///< Of the daemon; empty: default.
    std::string name;    ///< Attachment, or device for udev-info.
    std::string output;  ///< Of trace; empty: standard output.
    std::string mode;    ///< Of pressure; empty: only show.
    bool force = false;
    bool security = false;  ///< Of status.
    std::uint64_t seed = 1;
    bool read_only_check = false;
    SessionOptions session;
    RangeOptions range;
    AttachOptions attach;
    BenchOptions bench;
    PlanOptions plan;
};

/// What the command line asks for, or the text to print and the exit code to end with.
struct CommandLineEnd {
    ExitCode code = ExitCode::Usage;
    std::string text;
};
[[nodiscard]] std::expected<Options, CommandLineEnd> parse_command_line(
    std::vector<std::string> words);

}  // namespace holdfast::daemon
