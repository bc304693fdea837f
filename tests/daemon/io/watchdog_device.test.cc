#include "daemon/io/watchdog_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace holdfast::daemon {
namespace {

/// A pipe with a name stands in for the device: what is written to it can be seen.
class WatchdogDeviceTest : public testing::Test {
protected:
    void SetUp() override {
        path_ = testing::TempDir() + "hf-watchdog-" + std::to_string(::getpid());
        ::unlink(path_.c_str());
        ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
        reader_ = UniqueFd{::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    }
    void TearDown() override { ::unlink(path_.c_str()); }
    std::string written() {
        std::array<char, 64> room{};
        const ssize_t got = ::read(reader_.get(), room.data(), room.size());
        return {room.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
    }
    std::string path_;
    UniqueFd reader_;
};

// Goal: opening alone is no sign of life; each sign is one byte, and never the magic one.
TEST_F(WatchdogDeviceTest, EachSignIsOneByte) {
    const auto device = WatchdogDevice::open(path_.c_str(), Duration::from_s(30));
    ASSERT_TRUE(device) << device.error().text();
    EXPECT_EQ(device->patience(), Duration::from_s(30)) << "a pipe knows no better";
    EXPECT_EQ(written(), "");
    device->show_life();
    device->show_life();
    EXPECT_EQ(written(), std::string(2, '\0'));
}

// Goal: only an orderly end disarms it; one that is only dropped leaves it counting.
TEST_F(WatchdogDeviceTest, OnlyTheOrderlyEndIsMagic) {
    {
        const auto device = WatchdogDevice::open(path_.c_str(), Duration::from_s(30));
        device->show_life();
    }
    EXPECT_EQ(written(), std::string(1, '\0'));
    auto device = WatchdogDevice::open(path_.c_str(), Duration::from_s(30));
    device->stop();
    EXPECT_FALSE(device->is_open());
    EXPECT_EQ(written(), "V");
    device->show_life();
    device->stop();
    EXPECT_EQ(written(), "");
}

// Goal: a device that is not there, or that does not take more, is no reason to stop or to wait.
TEST_F(WatchdogDeviceTest, AbsentAndFullDevices) {
    EXPECT_EQ(WatchdogDevice::open("/nonexistent/watchdog", Duration::from_s(1)).error(),
              Errno{ENOENT});
    const auto device = WatchdogDevice::open(path_.c_str(), Duration::from_s(1));
    for (int i = 0; i < 100'000; ++i) device->show_life();
    WatchdogDevice none;
    EXPECT_FALSE(none.is_open());
    none.show_life();
    none.stop();
}

}  // namespace
}  // namespace holdfast::daemon
