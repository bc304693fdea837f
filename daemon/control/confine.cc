#include "daemon/control/confine.h"

#include <array>
#include <vector>

#include "daemon/control/file.h"
#include "daemon/shared/rights.h"
#include "reserve/confinement.h"
#include "reserve/deny_filter.h"

namespace holdfast::daemon {

namespace {

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

reserve::Protections confine_control(const Config& config, const std::string& link_directory) {
    constexpr mode_t kMode = 0755;
    std::vector<std::string> folders{config.state_directory, link_directory,
                                     folder_of(config.initiator_name_file),
                                     folder_of(config.socket)};
    if (!config.trace_directory.empty()) folders.push_back(config.trace_directory);
    // One that cannot be made is told when it is needed.
    for (const std::string& folder : folders) static_cast<void>(make_directories(folder, kMode));
    folders.emplace_back("/sys/devices");  // The queue of a device, and its uevent.
    std::vector<const char*> paths;
    paths.reserve(folders.size());
    for (const std::string& folder : folders) paths.push_back(folder.c_str());

    reserve::Protections rows;
    rows.push(drop_rights(Rights::None));
    rows.push(reserve::enter_landlock(paths));
    rows.push(reserve::enter_deny_filter());
    return rows;
}

}  // namespace holdfast::daemon
