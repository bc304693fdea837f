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

OrErrno<void> restrict_self(long abi) noexcept {
    const landlock_ruleset_attr rules{.handled_access_fs = rights_of(abi)};
    const UniqueFd set{static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules.handled_access_fs), 0))};
    if (!set) return std::unexpected(Errno::last());
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::syscall(SYS_landlock_restrict_self, set.get(), 0) != 0)
        return std::unexpected(Errno::last());
    return {};
}

bool is_refused(const char* path) noexcept {
    const UniqueFd fd{::open(path, O_RDONLY | O_CLOEXEC)};
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
    constexpr std::string_view kAdvice =
        "this kernel has no Landlock; from 5.13 on boot with landlock in lsm=";
    const long abi =
        ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) return layer("Landlock", "no files", "none in this kernel", false, kAdvice);
    const bool entered = restrict_self(abi).has_value() && is_refused("/");
    FixedString<31> found;
    found.assign_cut(entered ? "no files, ABI " : "refused, ABI ");
    static_cast<void>(found.try_append(NumberText{abi}.view()));
    return layer("Landlock", "no files", found.view(), entered, kAdvice);
}

}  // namespace holdfast::reserve
