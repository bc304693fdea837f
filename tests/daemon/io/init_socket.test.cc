#include "daemon/io/init_socket.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

namespace holdfast::daemon {
namespace {

/// Plays the service manager's socket, and cleans the environment.
class InitSocketTest : public testing::Test {
protected:
    void listen_on(const std::string& name) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name.data(), name.size());
        if (name.front() == '@') address.sun_path[0] = '\0';
        const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        socket_ = UniqueFd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), bytes), 0);
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    }
    /// What came; empty: nothing did.
    std::string hear() {
        std::array<char, 256> room{};
        const ssize_t got = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
        return {room.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
    }
    void TearDown() override {
        for (const char* key : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(key);
    }
    static std::string name(const char* suffix) {
        return testing::TempDir() + "hf-notify-" + std::to_string(::getpid()) + suffix;
    }
    UniqueFd socket_;
};

// Goal: each line is one datagram, by a path and by a name without a file.
TEST_F(InitSocketTest, LinesArrive) {
    const std::string path = name("");
    for (const std::string& where : {path, "@" + path}) {
        listen_on(where);
        const auto manager = InitSocket::from_environment();
        ASSERT_TRUE(manager.is_there()) << where;
        manager.tell("READY=1");
        manager.tell("STATUS=one");
        EXPECT_EQ(hear(), "READY=1");
        EXPECT_EQ(hear(), "STATUS=one");
        EXPECT_EQ(manager.patience(), Duration{});
    }
    ::unlink(path.c_str());
}

// Goal: the variables are for this process alone: nobody whom it starts speaks in its name.
TEST_F(InitSocketTest, TheEnvironmentIsCleaned) {
    listen_on("@" + name("-env"));
    ::setenv("WATCHDOG_USEC", "2000000", 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    EXPECT_EQ(InitSocket::from_environment().patience(), Duration::from_s(2));
    for (const char* key : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
        EXPECT_EQ(std::getenv(key), nullptr) << key;
}

// Goal: a watchdog of another process, or one that is no number, is none.
TEST_F(InitSocketTest, ForeignAndUnsoundWatchdogsAreNone) {
    const std::string self = std::to_string(::getpid());
    for (const auto& [usec, pid] : {std::pair<std::string, std::string>{"2000000", "1"},
                                    {"2000000", "x"},
                                    {"0", self},
                                    {"-5", self},
                                    {"12s", self},
                                    {"", self},
                                    {"99999999999999999999999", self}}) {
        listen_on("@" + name("-odd"));
        ::setenv("WATCHDOG_USEC", usec.c_str(), 1);
        ::setenv("WATCHDOG_PID", pid.c_str(), 1);
        const auto manager = InitSocket::from_environment();
        EXPECT_TRUE(manager.is_there());
        EXPECT_EQ(manager.patience(), Duration{}) << usec << ' ' << pid;
    }
}

// Goal: without a manager, with one that is gone, or with a name that is none, nothing happens.
TEST_F(InitSocketTest, NobodyListens) {
    EXPECT_FALSE(InitSocket::from_environment().is_there());
    for (const std::string& where :
         {std::string{"relative"}, std::string{"/"}, std::string{"@"}, "/" + std::string(200, 'x'),
          std::string{"/nonexistent/socket"}, std::string{"vsock:2:1"}}) {
        ::setenv("NOTIFY_SOCKET", where.c_str(), 1);
        const auto manager = InitSocket::from_environment();
        EXPECT_FALSE(manager.is_there()) << where;
        manager.tell("READY=1");
    }
}

// Goal: a manager that does not read never holds the supervisor up.
TEST_F(InitSocketTest, AFullSocketIsNoWait) {
    listen_on("@" + name("-full"));
    const auto manager = InitSocket::from_environment();
    for (int i = 0; i < 2000; ++i) manager.tell("WATCHDOG=1");
    EXPECT_EQ(hear(), "WATCHDOG=1");
}

}  // namespace
}  // namespace holdfast::daemon
