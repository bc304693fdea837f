#include "daemon/io/device_settings.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

// Goal: kernels before 6.16 need the spare tag, and so do those whose name tells nothing.
TEST(DeviceSettings, KernelsThatNeedASpareTag) {
    for (const char* release : {"6.15.0", "6.12.1-amd64", "6.0", "5.19.17", "", "x", "6", "6.x"})
        EXPECT_TRUE(kernel_needs_spare_tag(release)) << release;
    for (const char* release : {"6.16.0", "6.16-rc1", "6.18.44-fc", "7.0.0", "10.2"})
        EXPECT_FALSE(kernel_needs_spare_tag(release)) << release;
}

}  // namespace
}  // namespace holdfast::daemon
