#include "reserve/confinement.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

// The namespace in which we are, and the device that holds our root.
struct Place {
    ino_t space = 0;
    dev_t root = 0;
};

std::optional<Place> place_now() noexcept {
    struct stat space{};
    struct stat root{};
    if (::stat("/proc/self/ns/mnt", &space) != 0 || ::stat("/", &root) != 0) return {};
    return Place{.space = space.st_ino, .root = root.st_dev};
}

// Slaves, so that what the machine unmounts meanwhile does not stay mounted for us.
bool make_root_of_dev() noexcept {
    constexpr unsigned long kQuiet = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC;
    return ::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) == 0 &&
           ::mount("/dev", "/dev", nullptr, MS_BIND, nullptr) == 0 &&
           ::mount(nullptr, "/dev", nullptr, kQuiet, nullptr) == 0 && ::chdir("/dev") == 0 &&
           // The old root lies on the new one for a moment, and is taken off.
           ::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 &&
           ::chdir("/") == 0;
}

bool is_missing(const char* path) noexcept {
    struct stat any{};
    return ::stat(path, &any) != 0 && errno == ENOENT;
}

bool is_left(const Place& before, const Place& between) noexcept {
    struct stat root{};
    struct stat null{};
    return before.space != between.space && ::stat("/", &root) == 0 && root.st_dev != before.root &&
           ::stat("/null", &null) == 0 && is_missing("/proc") && is_missing("/etc") &&
           is_missing("/dev");
}

// Added to Landlock after the headers of Debian 12: ABI 3 and 5.
constexpr std::uint64_t kTruncate = 1ULL << 14;
constexpr std::uint64_t kIoctlOnDevices = 1ULL << 15;

std::uint64_t rights_of(long abi) noexcept {
    std::uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    if (abi >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3) rights |= kTruncate;
    if (abi >= 5) rights |= kIoctlOnDevices;
    return rights;
}

constexpr std::uint64_t kReading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

long landlock_abi() noexcept {
    return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

UniqueFd make_rules(long abi) noexcept {
    const landlock_ruleset_attr rules{.handled_access_fs = rights_of(abi)};
    return UniqueFd{static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules.handled_access_fs), 0))};
}

bool allow_beneath(const UniqueFd& rules, const char* path, std::uint64_t rights) noexcept {
    const UniqueFd folder{::open(path, O_PATH | O_CLOEXEC)};
    if (!folder) return false;
    const landlock_path_beneath_attr rule{.allowed_access = rights, .parent_fd = folder.get()};
    return ::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

bool restrict_self(const UniqueFd& rules) noexcept {
    return rules && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::syscall(SYS_landlock_restrict_self, rules.get(), 0) == 0;
}

Protection landlock_row(long abi, std::string_view wanted, bool entered) noexcept {
    constexpr std::string_view kAdvice =
        "this kernel has no Landlock; from 5.13 on boot with landlock in lsm=";
    if (abi < 1) return layer("Landlock", wanted, "none in this kernel", false, kAdvice);
    FixedString<31> found;
    found.assign_cut(entered ? wanted : "refused");
    static_cast<void>(found.try_append(", ABI ") && found.try_append(NumberText{abi}.view()));
    return layer("Landlock", wanted, found.view(), entered, kAdvice);
}

bool is_refused(const char* path) noexcept {
    const UniqueFd fd{::open(path, O_RDONLY | O_CLOEXEC)};
    return !fd && errno == EACCES;
}

bool is_denied_to_write(const char* path) noexcept {
    const UniqueFd fd{::open(path, O_WRONLY | O_CLOEXEC)};
    return !fd && errno == EACCES;
}

}  // namespace

Protection leave_mounts() noexcept {
    const auto before = place_now();
    bool left = before && ::unshare(CLONE_NEWNS) == 0;
    const auto between = place_now();
    left = left && between && make_root_of_dev() && is_left(*before, *between);
    return layer("mount namespace", "/dev alone", left ? "/dev alone" : "not left", left,
                 "a namespace of its own is refused; give CAP_SYS_ADMIN");
}

Protection enter_landlock() noexcept {
    const long abi = landlock_abi();
    const bool entered = abi >= 1 && restrict_self(make_rules(abi)) && is_refused("/");
    return landlock_row(abi, "no files", entered);
}

Protection enter_landlock(std::span<const char* const> writable) noexcept {
    const long abi = landlock_abi();
    bool entered = false;
    if (abi >= 1) {
        const UniqueFd rules = make_rules(abi);
        const std::uint64_t anything = rights_of(abi) & ~std::uint64_t{LANDLOCK_ACCESS_FS_EXECUTE};
        for (const char* const folder : writable)
            static_cast<void>(allow_beneath(rules, folder, anything));
        entered = rules && allow_beneath(rules, "/", kReading) && restrict_self(rules) &&
                  is_denied_to_write("/dev/null");
    }
    return landlock_row(abi, "own folders", entered);
}

}  // namespace holdfast::reserve
