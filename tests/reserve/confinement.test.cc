#include "reserve/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

bool has_landlock() {
    return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) >= 1;
}

// Goal: after it there is /dev as root, not to be written to, and no other file system; the rest
// of the machine keeps its mounts.
TEST(Confinement, MountsAreLeft) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    EXPECT_EQ(exit_code_of_child([] {
                  const Protection row = leave_mounts();
                  if (!row.holds || row.lowers_tier) return 1;
                  struct stat any{};
                  for (const char* gone : {"/proc", "/sys", "/etc", "/tmp", "/dev", "/../etc"})
                      if (::stat(gone, &any) == 0) return 2;
                  if (::open("/holdfast-try", O_CREAT | O_WRONLY, 0600) >= 0) return 3;
                  return ::open("/null", O_RDWR) >= 0 ? 0 : 4;
              }),
              0);
    struct stat any{};
    EXPECT_EQ(::stat("/proc/self", &any), 0);
}

// Goal: after it nothing can be opened or made, whatever its mode; what is open can be used.
TEST(Confinement, LandlockLeavesNoFiles) {
    if (!has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
    const std::string file = testing::TempDir() + "holdfast-landlock";
    const int open_before = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ASSERT_GE(open_before, 0);
    EXPECT_EQ(exit_code_of_child([&] {
                  const Protection row = enter_landlock();
                  if (!row.holds || row.lowers_tier) return 1;
                  if (::open("/dev/null", O_RDONLY) >= 0 || errno != EACCES) return 2;
                  if (::open(file.c_str(), O_RDWR) >= 0 || errno != EACCES) return 3;
                  if (::unlink(file.c_str()) == 0) return 4;
                  if (::mkdir((file + "-more").c_str(), 0700) == 0) return 5;
                  return ::write(open_before, "x", 1) == 1 ? 0 : 6;
              }),
              0);
    EXPECT_EQ(::unlink(file.c_str()), 0);
    ::close(open_before);
}

}  // namespace
}  // namespace holdfast::reserve
