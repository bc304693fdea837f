/// Where secrets come from: a file, the environment, a prompt, or the URL; never an option of their
/// own, because everybody can read the command line.
#pragma once

#include <string>

#include "daemon/control/failure.h"

namespace holdfast::daemon {

/// What is known about one secret.
struct PasswordSources {
    std::string user;         ///< Empty: no secret is needed.
    std::string from_url;     ///< Taken as it is.
    std::string file;         ///< Mode 0600.
    const char* environment;  ///< Name of the variable.
};

/// Empty when no secret is needed. Order: file, environment, URL, prompt on the terminal.
[[nodiscard]] OrFailure<std::string> find_password(const PasswordSources& sources);

}  // namespace holdfast::daemon
