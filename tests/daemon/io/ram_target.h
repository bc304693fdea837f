/// A holdfast-target program for the length of a test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "initiator/session_config.h"

namespace holdfast::daemon {

inline constexpr const char* kTestIqn = "iqn.2026-01.test.holdfast:io";

/// Starts the program and waits until it is ready; ends it with the object.
class RamTarget {
public:
    explicit RamTarget(std::uint16_t port, std::string lun = "id=0,size=64M,cache=on",
                       int max_connections = 1, std::vector<std::string> more = {})
        : port_(port),
          lun_(std::move(lun)),
          max_connections_(std::to_string(max_connections)),
          more_(std::move(more)) {
        start();
    }
    RamTarget(const RamTarget&) = delete;
    RamTarget& operator=(const RamTarget&) = delete;
    ~RamTarget() { stop(); }

    void start() {
        std::array<int, 2> ready{};
        ASSERT_EQ(::pipe(ready.data()), 0);
        pid_ = ::fork();
        if (pid_ == 0) become_target(ready[1]);
        ::close(ready[1]);
        const UniqueFd ready_end{ready[0]};
        char byte = 0;
        ASSERT_EQ(::read(ready_end.get(), &byte, 1), 1) << "holdfast-target does not start";
    }
    void stop() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    /// What a session to LUN 0 needs.
    [[nodiscard]] initiator::SessionConfig session() const {
        initiator::SessionConfig config;
        EXPECT_TRUE(config.initiator_name.try_assign("iqn.2026-01.test.holdfast:initiator"));
        EXPECT_TRUE(config.target_name.try_assign(kTestIqn));
        initiator::Portal portal;
        EXPECT_TRUE(portal.host.try_assign("127.0.0.1"));
        portal.port = port_;
        config.portals.push(portal);
        config.isid = initiator::Isid{0x8000'0000'0000};
        config.timers.login = Duration::from_s(5);
        return config;
    }

private:
    [[noreturn]] void become_target(int ready) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const std::string program = std::string{HF_BINARY_DIR} + "/bin/holdfast-target";
        const std::string listen = "127.0.0.1:" + std::to_string(port_);
        const std::string fd = std::to_string(ready);
        std::vector<std::string> words{
            "holdfast-target",   "--iqn",          kTestIqn,     "--listen", listen, "--lun", lun_,
            "--max-connections", max_connections_, "--ready-fd", fd};
        words.insert(words.end(), more_.begin(), more_.end());
        std::vector<char*> argv;
        for (std::string& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        ::execv(program.c_str(), argv.data());
        ::_exit(127);
    }

    std::uint16_t port_;
    std::string lun_;
    std::string max_connections_;
    std::vector<std::string> more_;  ///< Words of the command line.
    pid_t pid_ = 0;
};

}  // namespace holdfast::daemon
