#include "daemon/control/control_user.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/control/file.h"
#include "daemon/control/identity.h"
#include "daemon/shared/rights.h"

namespace holdfast::daemon {

namespace {

constexpr const char* kNobody = "nobody";
constexpr uid_t kNobodyNumber = 65534;

std::optional<ControlUser> user_named(const std::string& name) {
    const passwd* const found = ::getpwnam(name.c_str());
    if (found == nullptr) return {};
    return ControlUser{.name = name, .uid = found->pw_uid, .gid = found->pw_gid, .note = {}};
}

void read_secret(const std::string& user, const std::string& file, std::string& secret) {
    if (user.empty() || file.empty() || !secret.empty()) return;
    if (auto text = read_secret_file(file)) secret = *std::move(text);
}

/// All three of each, and no other group.
bool is_user(const ControlUser& user) {
    std::array<uid_t, 3> users{};
    std::array<gid_t, 3> groups{};
    std::array<gid_t, 1> others{};
    if (::getresuid(&users[0], &users[1], &users[2]) != 0 ||
        ::getresgid(&groups[0], &groups[1], &groups[2]) != 0)
        return false;
    const auto all_are = [](const auto& found, auto wanted) {
        for (const auto one : found)
            if (one != wanted) return false;
        return true;
    };
    const int count = ::getgroups(static_cast<int>(others.size()), others.data());
    return all_are(users, user.uid) && all_are(groups, user.gid) && count == 0;
}

}  // namespace

OrFailure<ControlUser> control_user(const std::string& wanted) {
    if (::geteuid() != 0)
        return ControlUser{.name = {},
                           .uid = ::geteuid(),
                           .gid = ::getegid(),
                           .note = "holdfastd does not run as root"};
    auto user = user_named(wanted);
    if (!user) {
        user = user_named(kNobody).value_or(
            ControlUser{.name = kNobody, .uid = kNobodyNumber, .gid = kNobodyNumber, .note = {}});
        user->note = fmt::format("there is no user '{}'; {} stands in for it", wanted, user->name);
    }
    if (user->uid == 0)
        return fail(ExitCode::Usage,
                    fmt::format("the control process must not be root, and '{}' is; name another "
                                "user in [daemon]",
                                user->name));
    return *std::move(user);
}

OrErrno<void> give_folder(const std::string& path, const ControlUser& user, bool follows) {
    constexpr mode_t kMode = 0755;
    if (const auto made = make_directories(path, kMode); !made) return made;
    if (::geteuid() != 0) return {};
    const int no_link = follows ? 0 : O_NOFOLLOW;
    const UniqueFd folder{
        ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | no_link)};
    if (!folder || ::fchown(folder.get(), user.uid, user.gid) != 0)
        return std::unexpected{Errno::last()};
    return {};
}

void read_for_root(Config& config) {
    if (auto name = read_or_make_initiator_name(config.initiator_name_file))
        config.initiator_name = *std::move(name);
    for (AttachSettings& one : config.attachments) {
        read_secret(one.user, one.password_file, one.password);
        read_secret(one.mutual_user, one.mutual_password_file, one.mutual_password);
    }
}

reserve::Protection become_user(const ControlUser& user) {
    const std::string wanted = fmt::format("user {}, group {}", user.uid, user.gid);
    if (::geteuid() == 0) {
        empty_bounding_set();
        // A refusal shows below.
        static_cast<void>(::setgroups(0, nullptr) == 0 &&
                          ::setresgid(user.gid, user.gid, user.gid) == 0 &&
                          ::setresuid(user.uid, user.uid, user.uid) == 0);
    }
    // Who runs as the same user, such as nobody, shall not look into us.
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const bool holds = ::geteuid() != 0 && is_user(user);
    return reserve::layer("user", wanted, holds ? wanted : fmt::format("user {}", ::geteuid()),
                          holds, "the kernel refused it; look for a security module");
}

}  // namespace holdfast::daemon
