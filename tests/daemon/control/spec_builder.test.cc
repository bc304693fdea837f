#include "daemon/control/spec_builder.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

// Goal: a host that a target names becomes one numeric address; what cannot be resolved is told in
// a sentence that names it.
TEST(SpecBuilder, HostOfARedirectBecomesAnAddress) {
    for (const std::string_view address : {"127.0.0.1", "192.0.2.7", "2001:db8::1"}) {
        const auto found = resolve_host(address);
        ASSERT_TRUE(found.has_value()) << found.error().sentence;
        EXPECT_EQ(found->view(), address);
    }
    const auto unknown = resolve_host("no-such-host.invalid");
    ASSERT_FALSE(unknown.has_value());
    EXPECT_EQ(unknown.error().code, ExitCode::Unreachable);
    EXPECT_NE(unknown.error().sentence.find("no-such-host.invalid"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::daemon
