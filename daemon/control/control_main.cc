/// holdfast-control: started by holdfastd with the supervisor's socket as an inherited descriptor.

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/control/config.h"
#include "daemon/control/confine.h"
#include "daemon/control/control_server.h"
#include "daemon/control/control_user.h"
#include "daemon/control/log_drain.h"

namespace {

using namespace holdfast::daemon;

constexpr std::string_view kUsage =
    "usage: holdfast-control --supervisor-fd N [--loader-fd N] [--maker-pid N] [--config FILE]\n"
    "                        [--socket PATH] [--state-dir DIR] [--link-dir DIR]\n"
    "holdfastd starts it; nobody else needs to.\n";

struct Options {
    int supervisor = -1;
    int loader = -1;
    int maker = 0;
    std::optional<std::string> config;
    std::optional<std::string> socket;
    std::optional<std::string> state_directory;
    std::optional<std::string> link_directory;
};

void say(std::string_view text) {
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, text.data(), text.size());
}

int say(const Failure& failure) {
    say(fmt::format("holdfast-control: {}\n", failure.sentence));
    return static_cast<int>(failure.code);
}

/// False: it is none.
bool take_number(std::string_view value, int& number) {
    const auto [stop, error] = std::from_chars(value.begin(), value.end(), number);
    return error == std::errc{} && stop == value.end();
}

/// Empty when the command line is wrong.
std::optional<Options> options_from(std::span<char* const> words) {
    Options options;
    if (words.size() % 2 == 0) return {};  // The program's name, then pairs.
    for (std::size_t i = 1; i < words.size(); i += 2) {
        const std::string_view key = words[i];
        const std::string_view value = words[i + 1];
        if (key == "--supervisor-fd") {
            if (!take_number(value, options.supervisor)) return {};
        } else if (key == "--loader-fd") {
            if (!take_number(value, options.loader)) return {};
        } else if (key == "--maker-pid") {
            if (!take_number(value, options.maker)) return {};
        } else if (key == "--config") {
            options.config = value;
        } else if (key == "--socket") {
            options.socket = value;
        } else if (key == "--state-dir") {
            options.state_directory = value;
        } else if (key == "--link-dir") {
            options.link_directory = value;
        } else {
            return {};
        }
    }
    if (options.supervisor < 0) return {};
    return options;
}

std::optional<std::string> environment(const char* key) {
    const char* value = std::getenv(key);
    if (value == nullptr || *value == '\0') return {};
    return value;
}

/// Option before environment before file.
OrFailure<Config> configuration(const Options& options) {
    const std::optional<std::string> path =
        options.config ? options.config : environment("HOLDFAST_CONFIG");
    auto config = load_config(path.value_or(std::string{kConfigPath}), path.has_value());
    if (!config) return config;
    if (const auto socket = options.socket ? options.socket : environment("HOLDFAST_SOCKET"))
        config->socket = *socket;
    if (const auto state =
            options.state_directory ? options.state_directory : environment("HOLDFAST_STATE_DIR"))
        config->state_directory = *state;
    return config;
}

/// False: the supervisor has gone.
bool say_ready(int supervisor, holdfast::Duration watchdog) {
    ControlMessage ready{.header = {.kind = MessageKind::ControlReady}};
    const std::int64_t seconds = (watchdog.ms() + 999) / 1000;  // In whole ones.
    ready.code = static_cast<std::uint64_t>(seconds);
    return send_message(supervisor, bytes_of(ready)).has_value();
}

}  // namespace

int main(int argc, char** argv) {
    // The one place where the C argument vector becomes a span.
    const auto options = options_from({argv, static_cast<std::size_t>(argc)});
    if (!options) {
        say(kUsage);
        return static_cast<int>(ExitCode::Usage);
    }
    auto config = configuration(*options);
    if (!config) return say(config.error());
    const auto user = control_user(config->user);
    if (!user) return say(user.error());
    auto listening = listen_on(config->socket, config->socket_group);
    if (!listening) return say(listening.error());
    ServerOptions server_options{.supervisor = options->supervisor};
    server_options.loader = options->loader;
    server_options.maker_pid = options->maker;
    server_options.user_note = user->note;
    if (const auto links =
            options->link_directory ? options->link_directory : environment("HOLDFAST_LINK_DIR"))
        server_options.link_directory = *links;
    ControlServer server{*config, *std::move(listening), server_options};
    const auto rows = confine_control(*config, server_options.link_directory, *user);
    LogDrain log = LogDrain::for_standard_error(config->log_level);
    for (const auto& row : rows)
        if (!row.holds)
            log.line(LogLevel::Warning, "",
                     fmt::format("control is without {}: {}", row.name.view(), row.advice.view()));
    if (!user->note.empty()) log.line(LogLevel::Note, "", user->note);
    if (!say_ready(options->supervisor, config->machine_watchdog)) return 1;
    return server.run() ? 0 : 1;
}
