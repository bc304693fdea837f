#include "initiator/login/target_address.h"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::initiator {
namespace {

std::string host_of(std::string_view text) {
    const auto address = parse_target_address(text);
    return address ? std::string{address->portal.host.view()} : "(refused)";
}

// Goal: the examples of section 13.8, and the forms that a redirect has.
// Rows: KEY-09, LOG-24, DSC-06
TEST(TargetAddress, FormsOfTheStandard) {
    struct Case {
        std::string_view text;
        std::string_view host;
        std::uint16_t port;
        std::optional<std::uint16_t> tag;
    };
    for (const Case c : {
             Case{"10.0.0.1:5003,1", "10.0.0.1", 5003, 1},
             Case{"[1080:0:0:0:8:800:200C:417A],65", "1080:0:0:0:8:800:200C:417A", 3260, 65},
             Case{"[1080::8:800:200C:417A]:5003,1", "1080::8:800:200C:417A", 5003, 1},
             Case{"computingcenter.example.com,23", "computingcenter.example.com", 3260, 23},
             Case{"10.0.0.1", "10.0.0.1", 3260, {}},
             Case{"[::1]", "::1", 3260, {}},
             Case{"disk-1.example:3261", "disk-1.example", 3261, {}},
             Case{"10.0.0.1,0", "10.0.0.1", 3260, 0},
             Case{"10.0.0.1:65535,65535", "10.0.0.1", 65535, 65535},
         }) {
        const auto address = parse_target_address(c.text);
        ASSERT_TRUE(address) << c.text;
        EXPECT_EQ(address->portal.host.view(), c.host);
        EXPECT_EQ(address->portal.port, c.port);
        EXPECT_EQ(address->tag, c.tag);
    }
}

// Goal: a zone identifier is cut off: it means nothing on this machine.
// Rows: DSC-06
TEST(TargetAddress, ZoneIsCutOff) {
    EXPECT_EQ(host_of("[fe80::1%eth0]:3260,1"), "fe80::1");
    EXPECT_EQ(host_of("[fe80::1%25eth0]"), "fe80::1");
    EXPECT_EQ(host_of("[%eth0]"), "(refused)");
}

// Goal: IPv6 text as RFC 4291 has it, and nothing else.
// Rows: LOG-24, DSC-06
TEST(TargetAddress, Ipv6TextIsChecked) {
    for (const char* good :
         {"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::ffff:1.2.3.4", "1::8",
          "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "fe80::aBcD"}) {
        EXPECT_EQ(host_of("[" + std::string{good} + "]"), good);
    }
    for (const char* bad :
         {"", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3",
          "12345::", "g::", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::1.2.3", "::1.2.3.256",
          ":1::", "1::2:", "1:2:3:4::5:6:7:8", "::1 ", "1.2.3.4"}) {
        EXPECT_EQ(host_of("[" + std::string{bad} + "]"), "(refused)") << bad;
    }
}

// Goal: IPv4 text and names; what looks like IPv4 must be IPv4.
// Rows: LOG-24, NAM-08
TEST(TargetAddress, HostsAreChecked) {
    for (const char* good :
         {"0.0.0.0", "255.255.255.255", "a", "a-b.c_d.e", "1a.example", "3com"}) {
        EXPECT_EQ(host_of(good), good);
    }
    for (const char* bad : {"",
                            ":3260",
                            ",1",
                            "256.0.0.1",
                            "1.2.3",
                            "1.2.3.4.5",
                            "01.2.3.4",
                            "1.2.3.",
                            "1234",
                            "-a",
                            "a-",
                            ".a",
                            "a.",
                            "a..b",
                            "a b",
                            "a/b",
                            "$(reboot)",
                            "a\nb",
                            "\xc3\xa4.example",
                            "fe80::1",
                            "::1",
                            "[::1",
                            "::1]",
                            "[::1]x",
                            "a]b"}) {
        EXPECT_EQ(host_of(bad), "(refused)") << bad;
    }
    EXPECT_EQ(host_of(std::string(63, 'a')).size(), 63U);
    EXPECT_EQ(host_of(std::string(64, 'a')), "(refused)");
    std::string longest;
    while (longest.size() < 250) longest += "abcdefghi.";
    longest += "abcde";
    EXPECT_EQ(host_of(longest).size(), 255U);
    EXPECT_EQ(parse_target_address(longest + "f").error(), AddressError::TooLong);
}

// Goal: ports are 1 to 65535 and tags 0 to 65535.
// Rows: LOG-24, KEY-09
TEST(TargetAddress, PortsAndTagsAreChecked) {
    for (const char* bad : {"a:", "a:0", "a:65536", "a:-1", "a:x", "a:1:2", "a: 1",
                            "[::1]:", "[::1]3260", "a:99999999999999999999"}) {
        const auto address = parse_target_address(bad);
        ASSERT_FALSE(address) << bad;
        EXPECT_EQ(address.error(), AddressError::BadPort) << bad;
    }
    for (const char* bad : {"a,", "a,65536", "a,x", "a,1,2", "a:1,", "a,-1"}) {
        const auto address = parse_target_address(bad);
        ASSERT_FALSE(address) << bad;
        EXPECT_EQ(address.error(), AddressError::BadTag) << bad;
    }
}

}  // namespace
}  // namespace holdfast::initiator
