/// holdfast: the client.

#include <signal.h>
#include <unistd.h>

#include <span>
#include <string>
#include <vector>

#include "daemon/client/options.h"
#include "daemon/client/output.h"
#include "daemon/client/verbs.h"

namespace {

using namespace holdfast::daemon;

OrFailure<Output> run(const Options& options) {
    switch (options.verb) {
    case Verb::Plan: return run_plan(options);
    case Verb::CheckHost: return run_check_host();
    case Verb::Discover: return run_discover(options);
    case Verb::Read:
    case Verb::Write:
    case Verb::Verify:
    case Verb::Bench: return run_unit_verb(options);
    case Verb::None:
    case Verb::Attach:
    case Verb::Detach:
    case Verb::List:
    case Verb::Status:
    case Verb::Metrics:
    case Verb::UdevInfo:
    case Verb::Trace:
    case Verb::Upgrade:
    case Verb::Pressure:
    case Verb::Version: break;
    }
    return run_daemon_verb(options);
}

void say(int fd, const std::string& text) {
    [[maybe_unused]] const ssize_t done = ::write(fd, text.data(), text.size());
}

}  // namespace

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);
    // The one place where the C argument vector becomes a span.
    const std::span<char* const> words{argv, static_cast<std::size_t>(argc)};
    const auto options = parse_command_line(
        std::vector<std::string>{words.begin() + (words.empty() ? 0 : 1), words.end()});
    if (!options) {
        const bool is_help = options.error().code == ExitCode::Ok;
        say(is_help ? STDOUT_FILENO : STDERR_FILENO, options.error().text);
        return static_cast<int>(options.error().code);
    }
    return print(run(*options), options->json);
}
