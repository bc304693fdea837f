#include "daemon/io/init_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>

#include "reserve/number_text.h"

namespace holdfast::daemon {

namespace {

constexpr const char* kSocketVariable = "NOTIFY_SOCKET";
constexpr const char* kPatienceVariable = "WATCHDOG_USEC";
constexpr const char* kProcessVariable = "WATCHDOG_PID";

std::string_view environment(const char* key) noexcept {
    const char* const value = std::getenv(key);
    return value == nullptr ? std::string_view{} : std::string_view{value};
}

std::optional<std::int64_t> number_in(const char* key) noexcept {
    std::string_view text = environment(key);
    const auto number = reserve::try_take_number<std::int64_t>(text);
    if (!number || !text.empty()) return {};
    return number;
}

/// A path, or with @ in front a name without a file.
UniqueFd connect_to(std::string_view name) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::span<char> room{address.sun_path};
    const bool is_abstract = name.starts_with('@');
    if (name.size() < 2 || name.size() >= room.size()) return {};
    if (!is_abstract && !name.starts_with('/')) return {};
    name.copy(room.data(), name.size());
    if (is_abstract) room.front() = '\0';
    // Without a zero behind the name, which would be part of an abstract one.
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    UniqueFd made{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const void* const raw = &address;
    if (!made || ::connect(made.get(), static_cast<const sockaddr*>(raw), bytes) != 0) return {};
    return made;
}

}  // namespace

InitSocket InitSocket::from_environment() noexcept {
    InitSocket made;
    made.socket_ = connect_to(environment(kSocketVariable));
    const auto patience_us = number_in(kPatienceVariable);
    const bool is_for_us = environment(kProcessVariable).empty() ||
                           number_in(kProcessVariable) == std::int64_t{::getpid()};
    constexpr std::int64_t kShortestUs = 1000;
    if (made.socket_ && is_for_us && patience_us.value_or(0) >= kShortestUs)
        made.patience_ = Duration::from_us(*patience_us);
    forget();
    return made;
}

void InitSocket::forget() noexcept {
    for (const char* const key : {kSocketVariable, kPatienceVariable, kProcessVariable})
        ::unsetenv(key);
}

void InitSocket::tell(std::string_view lines) const noexcept {
    if (!socket_) return;
    // Lost where nobody listens: it will see that there is no sign.
    static_cast<void>(
        ::send(socket_.get(), lines.data(), lines.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

}  // namespace holdfast::daemon
