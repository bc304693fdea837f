#include "daemon/control/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;

constexpr std::string_view kTarget = "iqn.2026-11.org.example:disk";

// Goal: each part of a URL arrives, with a '%' in the secret and an IPv6 address.
TEST(Url, EveryPartIsTaken) {
    const auto url =
        parse_url("iscsi://alice%se%cret@[2001:db8::7]:3261/iqn.2026-11.org.example:disk/17");
    ASSERT_TRUE(url);
    EXPECT_EQ(url->user, "alice");
    EXPECT_EQ(url->password, "se%cret");
    EXPECT_EQ(url->portal, (HostPort{.host = "2001:db8::7", .port = 3261}));
    EXPECT_EQ(url->target, kTarget);
    EXPECT_EQ(url->lun, 17U);
}

// Goal: a host alone is a URL.
TEST(Url, PortUserAndUnitMayBeMissing) {
    const auto url = parse_url("iscsi://san.example");
    ASSERT_TRUE(url);
    EXPECT_EQ(url->portal, (HostPort{.host = "san.example", .port = 3260}));
    EXPECT_TRUE(url->user.empty());
    EXPECT_TRUE(url->target.empty());
    EXPECT_FALSE(url->lun);
    EXPECT_TRUE(parse_url("iscsi://san.example/"));
}

// Goal: a URL that names no unit is refused where a unit is needed, and the sentence helps on.
TEST(Url, UnitUrlNeedsTargetAndLun) {
    const auto url = parse_unit_url("iscsi://san.example");
    ASSERT_FALSE(url);
    EXPECT_THAT(url.error().sentence, HasSubstr("holdfast discover"));
    EXPECT_EQ(url.error().code, ExitCode::Usage);
}

struct BadUrl {
    const char* text;
    const char* sentence_part;
};

// Goal: each mistake in a URL is told from the others.
TEST(Url, EveryMistakeHasItsOwnSentence) {
    const BadUrl all[] = {
        {"http://x", "start with iscsi://"},
        {"", "start with iscsi://"},
        {"iscsi://", "host is missing"},
        {"iscsi://@h/iqn.a/1", "no user"},
        {"iscsi://h:0/iqn.a/1", "port is not a number"},
        {"iscsi://h:65536/iqn.a/1", "port is not a number"},
        {"iscsi://h:/iqn.a/1", "port is missing"},
        {"iscsi://2001:db8::7/iqn.a/1", "needs brackets"},
        {"iscsi://[::1/iqn.a/1", "bracket is not closed"},
        {"iscsi://[::1]x/iqn.a/1", "only :port"},
        {"iscsi://[[]/iqn.a/1", "not a host name"},
        {"iscsi://h/iqn.a", "no LUN"},
        {"iscsi://h/disk/1", "not an iSCSI name"},
        {"iscsi://h/iqn.a/b/1", "not an iSCSI name"},
        {"iscsi://h/iqn.a/x", "not a number"},
        {"iscsi://h/iqn.a/16384", "not a number"},
        {"iscsi://h/iqn.a/-1", "not a number"},
        {"iscsi://h h/iqn.a/1", "blanks"},
    };
    for (const BadUrl& bad : all) {
        const auto url = parse_url(bad.text);
        ASSERT_FALSE(url) << bad.text;
        EXPECT_EQ(url.error().code, ExitCode::Usage) << bad.text;
        EXPECT_THAT(url.error().sentence, HasSubstr(bad.sentence_part)) << bad.text;
    }
}

// Goal: messages never show the password.
TEST(Url, TextForMessagesHasNoPassword) {
    const auto url = parse_url("iscsi://bob%hush@[::1]/iqn.2026-11.org.example:disk/1");
    ASSERT_TRUE(url);
    EXPECT_EQ(without_password(*url), "iscsi://bob@[::1]:3260/iqn.2026-11.org.example:disk/1");
}

// Goal: a portal is read back from its text.
TEST(Url, HostPortTextIsReadBack) {
    for (const char* text : {"h:1", "[::1]:3260", "192.0.2.1:65535"}) {
        const auto portal = parse_host_port(text);
        ASSERT_TRUE(portal) << text;
        EXPECT_EQ(to_text(*portal), text);
    }
}

}  // namespace
}  // namespace holdfast::daemon
