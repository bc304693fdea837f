#include "daemon/control/links.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/control/file.h"

namespace holdfast::daemon {

OrErrno<void> make_link(const std::string& directory, std::string_view name,
                        const std::string& device) {
    constexpr mode_t kDirectoryMode = 0755;
    if (const auto made = make_directories(directory, kDirectoryMode); !made) return made;
    const std::string path = fmt::format("{}/{}", directory, name);
    const std::string beside = fmt::format("{}/.{}.new", directory, name);
    ::unlink(beside.c_str());
    if (::symlink(device.c_str(), beside.c_str()) != 0 ||
        ::rename(beside.c_str(), path.c_str()) != 0)
        return std::unexpected{Errno::last()};
    return {};
}

void remove_link(const std::string& directory, std::string_view name) {
    const std::string path = fmt::format("{}/{}", directory, name);
    struct stat facts{};
    if (::lstat(path.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode)) ::unlink(path.c_str());
}

}  // namespace holdfast::daemon
