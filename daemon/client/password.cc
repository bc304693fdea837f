#include "daemon/client/password.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "base/unique_fd.h"
#include "daemon/control/file.h"

namespace holdfast::daemon {

namespace {

/// Switches the echo of a terminal off for its life.
class EchoOff {
public:
    explicit EchoOff(int terminal) : terminal_(terminal) {
        is_known_ = ::tcgetattr(terminal, &before_) == 0;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        if (is_known_) ::tcsetattr(terminal, TCSAFLUSH, &silent);
    }
    EchoOff(const EchoOff&) = delete;
    EchoOff& operator=(const EchoOff&) = delete;
    ~EchoOff() {
        if (is_known_) ::tcsetattr(terminal_, TCSAFLUSH, &before_);
    }

private:
    int terminal_;
    termios before_{};
    bool is_known_ = false;
};

void write_text(int fd, std::string_view text) {
    [[maybe_unused]] const ssize_t done = ::write(fd, text.data(), text.size());
}

/// Empty without a terminal.
std::string ask_on_terminal(std::string_view user) {
    const UniqueFd terminal{::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)};
    if (!terminal) return {};
    write_text(terminal.get(), fmt::format("password of {}: ", user));
    const EchoOff echo_off{terminal.get()};
    std::string typed;
    char c = 0;
    while (typed.size() < 256 && ::read(terminal.get(), &c, 1) == 1 && c != '\n') typed += c;
    write_text(terminal.get(), "\n");
    return typed;
}

}  // namespace

OrFailure<std::string> find_password(const PasswordSources& sources) {
    if (!sources.file.empty()) {
        if (sources.user.empty())
            return fail(ExitCode::Usage,
                        "a password file needs a user; put it into the URL before an '@'");
        return read_secret_file(sources.file);
    }
    if (sources.user.empty()) return std::string{};
    const char* from_environment = std::getenv(sources.environment);
    if (from_environment != nullptr && *from_environment != '\0') return from_environment;
    if (!sources.from_url.empty()) return sources.from_url;
    std::string typed = ask_on_terminal(sources.user);
    if (!typed.empty()) return typed;
    return fail(ExitCode::Usage,
                fmt::format("user '{}' has no password; give --password-file, set {}, or type it "
                            "at the prompt",
                            sources.user, sources.environment));
}

}  // namespace holdfast::daemon
