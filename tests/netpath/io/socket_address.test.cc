#include "netpath/io/socket_address.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace holdfast::netpath {
namespace {

// Goal: both families are understood, with a numeric scope.
TEST(SocketAddress, NumericTextIsUnderstood) {
    EXPECT_FALSE(SocketAddress::from_text("127.0.0.1", 3260).value().is_ipv6());
    EXPECT_TRUE(SocketAddress::from_text("::1", 3260).value().is_ipv6());
    EXPECT_TRUE(SocketAddress::from_text("fe80::1%3", 3260).value().is_ipv6());
}

// Goal: whatever is not numeric comes back empty, so that nobody resolves names by accident.
TEST(SocketAddress, OtherTextIsRefused) {
    const std::string with_zero{"127.0.0.1\0x", 11};
    const std::array<std::string, 8> refused{
        "",      "localhost", "127.0.0.1 ", "fe80::1%eth0",
        "[::1]", "fe80::1%",  with_zero,    std::string(300, '1')};
    for (const std::string& text : refused)
        EXPECT_FALSE(SocketAddress::from_text(text, 1).has_value()) << text;
}

}  // namespace
}  // namespace holdfast::netpath
