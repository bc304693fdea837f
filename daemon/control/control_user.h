/// Whom the control process becomes when it has done what needs root: it parses text from clients
/// and answers of name servers, and nothing of that is root's business.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/errno.h"
#include "daemon/control/config.h"
#include "daemon/control/failure.h"
#include "reserve/protection.h"

namespace holdfast::daemon {

struct ControlUser {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::string note;  ///< Why it is not the one who was wanted; empty when it is.
};

/// The user of that name, with its own group; where there is none, nobody, and where there is no
/// nobody either, number 65534. Who does not run as root stays who he is. Root itself is refused.
[[nodiscard]] OrFailure<ControlUser> control_user(const std::string& wanted);

/// Gives a folder to the user, after making it. `follows`: whether its last part may be a symbolic
/// link; never inside a folder that is the user's already. EACCES: he cannot get there, because a
/// folder above is closed to him.
[[nodiscard]] OrErrno<void> give_folder(const std::string& path, const ControlUser& user,
                                        bool follows);

/// Reads what only root may read, and keeps it in `config`: secrets and the initiator name. What
/// cannot be read is told when it is needed.
void read_for_root(Config& config);

/// Becomes the user, for ever, without further groups; the row is what the kernel says then. Before
/// it, the bounding set of capabilities is emptied, which the user may not do.
[[nodiscard]] reserve::Protection become_user(const ControlUser& user);

}  // namespace holdfast::daemon
