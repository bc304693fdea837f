#include "daemon/control/control_user.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/daemon/control/temp_directory.h"
#include "tests/reserve/in_child.h"

namespace holdfast::daemon {
namespace {

using reserve::exit_code_of_child;

bool is_root() {
    return ::geteuid() == 0;
}

// Goal: the user who is asked for is taken where there is one; where there is none, nobody, and
// that is said; root never.
TEST(ControlUserTest, IsFoundOrNobody) {
    if (!is_root()) GTEST_SKIP() << "needs root";
    const auto mail = control_user("daemon");
    ASSERT_TRUE(mail);
    EXPECT_EQ(mail->name, "daemon");
    EXPECT_NE(mail->uid, 0U);
    EXPECT_TRUE(mail->note.empty());
    const auto none = control_user("no-such-user-here");
    ASSERT_TRUE(none);
    EXPECT_EQ(none->name, "nobody");
    EXPECT_EQ(none->uid, 65534U);
    EXPECT_NE(none->note.find("no-such-user-here"), std::string::npos);
    const auto root = control_user("root");
    ASSERT_FALSE(root);
    EXPECT_EQ(root.error().code, ExitCode::Usage);
}

// Goal: afterwards it is that user in every respect, cannot come back, and nobody of the same user
// can look into it.
TEST(ControlUserTest, BecomesTheUserForGood) {
    if (!is_root()) GTEST_SKIP() << "needs root";
    EXPECT_EQ(exit_code_of_child([] {
                  const auto user = control_user("no-such-user-here");
                  const auto row = become_user(*user);
                  if (!row.holds || row.lowers_tier) return 1;
                  if (::getuid() != 65534 || ::getegid() != user->gid) return 2;
                  if (::getgroups(0, nullptr) != 0) return 3;
                  if (::setuid(0) == 0 || ::setgid(0) == 0) return 4;
                  if (::open("/etc/shadow", O_RDONLY) >= 0) return 5;
                  struct stat facts{};
                  return ::stat("/proc/self/mem", &facts) == 0 && facts.st_uid == 0 ? 0 : 6;
              }),
              0);
}

// Goal: its folders are given to the user; a link that stands where a folder of ours should is not
// followed, or whoever owned the folder above could have any folder of root's.
TEST(ControlUserTest, FoldersAreGivenAndLinksAreNot) {
    if (!is_root()) GTEST_SKIP() << "needs root";
    const TempDirectory directory;
    const ControlUser user{.name = "nobody", .uid = 65534, .gid = 65534, .note = {}};
    const auto owner = [](const std::string& path) {
        struct stat facts{};
        EXPECT_EQ(::stat(path.c_str(), &facts), 0);
        return facts.st_uid;
    };
    ASSERT_TRUE(give_folder(directory.path("state/traces"), user, false));
    EXPECT_EQ(owner(directory.path("state/traces")), 65534U);
    EXPECT_EQ(owner(directory.path("state")), 0U) << "only the folder itself is his";
    ASSERT_EQ(::mkdir(directory.path("of-root").c_str(), 0700), 0);
    ASSERT_EQ(::symlink("of-root", directory.path("link").c_str()), 0);
    EXPECT_FALSE(give_folder(directory.path("link"), user, false));
    EXPECT_EQ(owner(directory.path("of-root")), 0U);
    EXPECT_TRUE(give_folder(directory.path("link"), user, true));
    EXPECT_EQ(owner(directory.path("of-root")), 65534U);
}

// Goal: what only root may read is in memory before rights go: the name, and secrets of both sides;
// a secret that others may read is not taken.
TEST(ControlUserTest, SecretsAreReadBefore) {
    const TempDirectory directory;
    const auto write = [&](const char* name, const char* text, mode_t mode) {
        std::ofstream{directory.path(name)} << text;
        ::chmod(directory.path(name).c_str(), mode);
        return directory.path(name);
    };
    Config config;
    config.initiator_name_file = write("name", "iqn.2026-11.org.example:us\n", 0600);
    AttachSettings one;
    one.user = "alice";
    one.password_file = write("ours", "secret\n", 0600);
    one.mutual_user = "bob";
    one.mutual_password_file = write("theirs", "open to all\n", 0644);
    config.attachments.push_back(one);
    read_for_root(config);
    EXPECT_EQ(config.initiator_name, "iqn.2026-11.org.example:us");
    EXPECT_EQ(config.attachments[0].password, "secret");
    EXPECT_EQ(config.attachments[0].mutual_password, "");
}

}  // namespace
}  // namespace holdfast::daemon
