#include "daemon/control/confine.h"

#include <unistd.h>

#include <vector>

#include "daemon/shared/rights.h"
#include "reserve/confinement.h"
#include "reserve/sandbox.h"

namespace holdfast::daemon {

namespace {

/// Whether all of them can be written to, now that we are who we are.
reserve::Protection folders_row(const std::vector<std::string>& folders) {
    const std::string* closed = nullptr;
    for (const std::string& folder : folders)
        if (::access(folder.c_str(), W_OK | X_OK) != 0) closed = &folder;
    return reserve::layer("own folders", "can be written to", closed == nullptr ? "yes" : *closed,
                          closed == nullptr,
                          "let the user of control through the folders above it");
}

}  // namespace

reserve::Protections confine_control(Config& config, const std::string& links,
                                     const ControlUser& user) {
    read_for_root(config);
    std::vector<std::string> folders{config.state_directory, links};
    // One that cannot be given shows in its row below.
    for (const std::string& folder : folders) static_cast<void>(give_folder(folder, user, true));
    const std::string traces = trace_directory_of(config);
    if (config.traces_kept > 0) {
        static_cast<void>(give_folder(traces, user, false));
        folders.push_back(traces);
    }
    std::vector<const char*> paths;
    paths.reserve(folders.size());
    for (const std::string& folder : folders) paths.push_back(folder.c_str());

    reserve::Protections rows;
    rows.push(become_user(user));
    rows.push(drop_rights(Rights::None));
    rows.push(folders_row(folders));
    rows.push(reserve::enter_landlock(paths));
    rows.push(reserve::sandbox_layer(reserve::control_calls()));
    return rows;
}

}  // namespace holdfast::daemon
