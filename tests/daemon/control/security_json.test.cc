#include "daemon/control/security_json.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast::daemon {
namespace {

constexpr std::string_view kStatus =
    "Name:\tholdfast-io\nUid:\t0\t0\t0\t0\n"
    "Gid:\t7\t7\t7\t7\nGroups:\t4 24 \nVmLck:\t   12600 kB\nThreads:\t1\n"
    "CapInh:\t0000000000000000\nCapPrm:\t0000000000200000\nCapBnd:\t0000000000000000\n"
    "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
// A name with a bracket and blanks, flags 0x180040, priority 50, policy 1.
constexpr std::string_view kStat =
    "77 (a) b (c) S 1 77 77 0 -1 1572928 1 0 0 0 1 2 0 0 -51 0 1 0 5 6 7 8 9 10 11 12 13 14 15 16 "
    "17 18 19 20 17 3 50 1 0 0 0\n";

// Goal: each layer is read from the kernel's text.
TEST(SecurityJson, LayersAreRead) {
    const Json json = layers_json(kStatus, kStat);
    EXPECT_EQ(json["uid"], 0);
    EXPECT_EQ(json["gid"], 7);
    EXPECT_EQ(json["groups"], Json::array({4, 24}));
    EXPECT_EQ(json["locked_kib"], 12600);
    EXPECT_EQ(json["no_new_privs"], true);
    EXPECT_EQ(json["seccomp"], "filter");
    EXPECT_EQ(json["seccomp_filters"], 1);
    EXPECT_EQ(json["capabilities"], Json::array({"sys_admin"}));
    EXPECT_EQ(json["capabilities_bound"], Json::array());
    EXPECT_EQ(json["scheduling"], "SCHED_FIFO");
    EXPECT_EQ(json["priority"], 50);
    EXPECT_EQ(json["io_flusher"], true);
}

// Goal: what the kernel does not tell is left out, at every length of its text.
TEST(SecurityJson, MissingLayersAreLeftOut) {
    for (std::size_t size = 0; size <= kStatus.size(); ++size)
        static_cast<void>(layers_json(kStatus.substr(0, size), ""));
    for (std::size_t size = 0; size <= kStat.size(); ++size)
        static_cast<void>(layers_json("", kStat.substr(0, size)));
    EXPECT_TRUE(layers_json("", "").empty());
    EXPECT_FALSE(layers_json("", kStat.substr(0, 40)).contains("priority"));
}

// Goal: a process that has gone is told as that.
TEST(SecurityJson, AProcessThatHasGone) {
    EXPECT_EQ(security_json({.role = "active", .pid = 0x7fffffff})["gone"], true);
    EXPECT_FALSE(security_json({.role = "control", .pid = ::getpid()}).contains("gone"));
}

}  // namespace
}  // namespace holdfast::daemon
