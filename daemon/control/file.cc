#include "daemon/control/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/unique_fd.h"

namespace holdfast::daemon {

namespace {

constexpr std::size_t kSecretBytesMax = 255;
constexpr mode_t kOthersBits = S_IRWXG | S_IRWXO;

OrErrno<std::string> read_all(int fd, std::size_t bytes_max) {
    std::string text;
    std::array<char, 4096> piece{};
    while (true) {
        const ssize_t got = ::read(fd, piece.data(), piece.size());
        if (got < 0) return std::unexpected{Errno::last()};
        if (got == 0) return text;
        text.append(piece.data(), static_cast<std::size_t>(got));
        if (text.size() > bytes_max) return std::unexpected{Errno{EFBIG}};
    }
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

OrErrno<UniqueFd> open_for_reading(const std::string& path, struct stat& facts) {
    UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    if (!fd || ::fstat(fd.get(), &facts) != 0) return std::unexpected{Errno::last()};
    if (!S_ISREG(facts.st_mode)) return std::unexpected{Errno{EINVAL}};
    return fd;
}

}  // namespace

OrErrno<std::string> read_file(const std::string& path, std::size_t bytes_max) {
    struct stat facts{};
    const auto fd = open_for_reading(path, facts);
    if (!fd) return std::unexpected{fd.error()};
    return read_all(fd->get(), bytes_max);
}

OrErrno<void> replace_file(const std::string& path, std::string_view contents, mode_t mode) {
    const std::string beside = fmt::format("{}.new.{}", path, ::getpid());
    UniqueFd fd{
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)};
    if (!fd) return std::unexpected{Errno::last()};
    auto done = write_all(fd.get(), contents);
    if (done && ::fsync(fd.get()) != 0) done = std::unexpected{Errno::last()};
    if (done && ::rename(beside.c_str(), path.c_str()) != 0) done = std::unexpected{Errno::last()};
    if (!done) {
        ::unlink(beside.c_str());
        return done;
    }
    const UniqueFd directory{::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory || ::fsync(directory.get()) != 0) return std::unexpected{Errno::last()};
    return {};
}

OrErrno<void> write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t done = ::write(fd, text.data(), text.size());
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return std::unexpected{Errno::last()};
        text.remove_prefix(static_cast<std::size_t>(done));
    }
    return {};
}

OrErrno<void> write_file(const std::string& path, std::string_view contents, mode_t mode) {
    const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)};
    if (!fd) return std::unexpected{Errno::last()};
    return write_all(fd.get(), contents);
}

OrErrno<void> make_directories(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
    if (errno != ENOENT) return std::unexpected{Errno::last()};
    const std::string parent = parent_of(path);
    if (parent == path) return std::unexpected{Errno{ENOENT}};
    constexpr mode_t kParentMode = 0755;
    if (const auto made = make_directories(parent, kParentMode); !made) return made;
    if (::mkdir(path.c_str(), mode) != 0) return std::unexpected{Errno::last()};
    return {};
}

OrFailure<std::string> read_secret_file(const std::string& path) {
    struct stat facts{};
    const auto fd = open_for_reading(path, facts);
    if (!fd)
        return fail(ExitCode::Usage,
                    fmt::format("cannot read the password file {}: {}", path, fd.error().text()));
    if ((facts.st_mode & kOthersBits) != 0)
        return fail(ExitCode::NotPermitted,
                    fmt::format("others may open the password file {} (mode {:04o}); run chmod "
                                "0600 on it, and change the password if it was exposed",
                                path, facts.st_mode & 07777U));
    if (facts.st_uid != ::geteuid() && facts.st_uid != 0)
        return fail(
            ExitCode::NotPermitted,
            fmt::format("the password file {} belongs to somebody else; run chown on it", path));
    auto text = read_all(fd->get(), kSecretBytesMax + 2);
    if (text && text->ends_with('\n')) text->pop_back();
    if (text && text->ends_with('\r')) text->pop_back();
    if (!text || text->empty() || text->size() > kSecretBytesMax)
        return fail(ExitCode::Usage,
                    fmt::format("the password file {} must hold 1 to {} bytes and nothing else",
                                path, kSecretBytesMax));
    return *std::move(text);
}

}  // namespace holdfast::daemon
