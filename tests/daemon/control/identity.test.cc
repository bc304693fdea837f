#include "daemon/control/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "daemon/control/file.h"
#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Goal: the machine's name is made on first use and never changes.
// Rows: NAM-07
TEST(InitiatorName, IsMadeOnceAndKept) {
    const TempDirectory directory;
    const std::string path = directory.path("etc/holdfast/initiatorname");
    const auto first = read_or_make_initiator_name(path);
    ASSERT_TRUE(first) << first.error().sentence;
    EXPECT_THAT(*first, StartsWith("iqn.2026-11.org.holdfast:"));
    EXPECT_EQ(read_or_make_initiator_name(path).value_or(""), *first);
}

// Goal: a name that another initiator's file holds is taken over.
TEST(InitiatorName, OtherInitiatorsFilesAreUnderstood) {
    const TempDirectory directory;
    const std::string path =
        directory.write("name", "# generated\n\nInitiatorName=iqn.1993-08.org.debian:01:abc\n");
    EXPECT_EQ(read_initiator_name(path).value_or(""), "iqn.1993-08.org.debian:01:abc");
}

// Goal: a file without a legal name is refused, and the sentence says what to do.
TEST(InitiatorName, NonsenseIsRefusedWithARemedy) {
    const TempDirectory directory;
    for (const char* text : {"", "hello\n", "iqn.\n", "iqn.a b\n"}) {
        const auto name = read_initiator_name(directory.write("name", text));
        ASSERT_FALSE(name) << text;
        EXPECT_THAT(name.error().sentence, HasSubstr("remove the file"));
    }
}

// Goal: any host name gives a legal iSCSI name of legal length.
TEST(InitiatorName, HostNamesBecomeLegal) {
    EXPECT_EQ(fresh_initiator_name("Db_7.Example", 0xabc),
              "iqn.2026-11.org.holdfast:db-7.example.00000abc");
    EXPECT_LE(fresh_initiator_name(std::string(300, 'x'), 1).size(), 223U);
}

// Goal: a fresh ISID is of the random format, and no two are equal: a discovery, which takes a
// fresh one, reinstates no session.
// Rows: DSC-10
TEST(Isid, FreshOnesHaveTheRandomFormatAndDiffer) {
    const auto first = fresh_isid();
    EXPECT_EQ(first.raw() >> 46, 0b10U);
    EXPECT_NE(first, fresh_isid());
}

// Goal: the same unit gets the same ISID after a restart, another unit another one, and so does
// another slot of the same unit.
// Rows: SID-03
TEST(IsidStore, IsidsSurviveARestart) {
    const TempDirectory directory;
    const std::string path = directory.path("state/isids");
    const IsidKey key{.target = "iqn.2026-11.org.example:disk", .portal_group = 1, .slot = 0};
    IsidKey other = key;
    other.slot = 1;
    initiator::Isid first{};
    {
        auto store = IsidStore::load(path);
        ASSERT_TRUE(store);
        first = store->isid_of(key).value();
        EXPECT_NE(store->isid_of(other).value(), first);
    }
    auto store = IsidStore::load(path);
    ASSERT_TRUE(store);
    EXPECT_EQ(store->isid_of(key).value(), first);
}

// Goal: one bad record harms neither the others nor itself: it is kept as it is.
TEST(IsidStore, BadRecordIsIsolatedAndKept) {
    const TempDirectory directory;
    const std::string path = directory.write(
        "isids",
        "holdfast-isids 1\n80000000000a 1 0 iqn.2026-11.org.example:disk\nrubbish \xff here\n"
        "80000000000b 99999 0 iqn.x\n");
    auto store = IsidStore::load(path);
    ASSERT_TRUE(store);
    EXPECT_EQ(store->unreadable_lines(), 2U);
    const IsidKey key{.target = "iqn.2026-11.org.example:disk", .portal_group = 1, .slot = 0};
    EXPECT_EQ(store->isid_of(key).value().raw(), 0x8000'0000'000aU);
    EXPECT_TRUE(store->isid_of({.target = "iqn.2026-11.org.example:new"}));
    std::stringstream text;
    text << std::ifstream{path}.rdbuf();
    EXPECT_THAT(text.str(), HasSubstr("rubbish \xff here\n"));
}

// Goal: a file of a later release is left alone.
TEST(IsidStore, LaterVersionIsNotTouched) {
    const TempDirectory directory;
    const auto store = IsidStore::load(directory.write("isids", "holdfast-isids 2\n"));
    ASSERT_FALSE(store);
    EXPECT_THAT(store.error().sentence, HasSubstr("later release"));
}

// Goal: the line end of an editor is no part of a secret.
TEST(SecretFile, IsReadWithoutItsLineEnd) {
    const TempDirectory directory;
    const std::string path = directory.write("p", "secretsecret12\n");
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    EXPECT_EQ(read_secret_file(path).value_or(""), "secretsecret12");
}

struct BadSecret {
    const char* text;
    mode_t mode;
    ExitCode code;
    const char* what;
};

// Goal: secrets that others can read, that are empty, or that are too long are refused.
TEST(SecretFile, ExposedEmptyAndLongFilesAreRefused) {
    const TempDirectory directory;
    const std::string long_text(300, 'x');
    const BadSecret all[] = {
        {"secret", 0640, ExitCode::NotPermitted, "chmod 0600"},
        {"secret", 0604, ExitCode::NotPermitted, "mode 0604"},
        {"\n", 0600, ExitCode::Usage, "1 to 255 bytes"},
        {long_text.c_str(), 0600, ExitCode::Usage, "1 to 255 bytes"},
    };
    for (const BadSecret& bad : all) {
        const std::string path = directory.write("p", bad.text);
        ASSERT_EQ(::chmod(path.c_str(), bad.mode), 0);
        const auto secret = read_secret_file(path);
        ASSERT_FALSE(secret);
        EXPECT_EQ(secret.error().code, bad.code);
        EXPECT_THAT(secret.error().sentence, HasSubstr(bad.what));
        ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    }
    EXPECT_THAT(read_secret_file(directory.path("none")).error().sentence,
                HasSubstr("No such file"));
}

// Goal: replacing a file leaves no temporary file behind.
TEST(ReplaceFile, LeavesNothingBeside) {
    const TempDirectory directory;
    const std::string path = directory.path("f");
    ASSERT_TRUE(replace_file(path, "one", 0644));
    ASSERT_TRUE(replace_file(path, "two", 0644));
    EXPECT_EQ(read_file(path, 100).value_or(""), "two");
    const auto entries = std::filesystem::directory_iterator{directory.path("")};
    EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
    EXPECT_EQ(read_file(path, 2).error(), Errno{EFBIG});
}

}  // namespace
}  // namespace holdfast::daemon
