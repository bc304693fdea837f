#include "daemon/io/maker.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

#include "tests/reserve/in_child.h"

namespace holdfast::daemon {
namespace {

/// A line of /proc/PID/status.
std::string field(pid_t pid, const std::string& key) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key + ":\t")) return line.substr(key.size() + 2);
    return {};
}

int end_of(pid_t pid) {
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid) << "it is not our child";
    return status;
}

class MakerTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(maker_.start({.control = "/bin/cat",
                                  .own = "/bin/true",
                                  .control_arguments = {},
                                  .lock_down = false,
                                  .image = {}}));
    }
    void TearDown() override {
        if (maker_.pid() <= 0) return;
        ::kill(maker_.pid(), SIGKILL);
        end_of(maker_.pid());
    }
    Maker maker_{Duration::from_ms(300)};
};

// Goal: what it makes are children of who asked, not of the maker, and tell their end to it.
TEST_F(MakerTest, MakesOurChildren) {
    for (int i = 0; i < 3; ++i) {
        const auto pid = maker_.make({.kind = MakeKind::DeviceBurial, .device = 0xfffff}, {});
        ASSERT_TRUE(pid) << pid.error().text();
        EXPECT_NE(*pid, maker_.pid());
        EXPECT_TRUE(WIFEXITED(end_of(*pid)));
    }
}

// Goal: a program gets exactly the descriptors that were sent for it, and those of nobody else.
TEST_F(MakerTest, ProgramsGetTheirDescriptorsAlone) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd ours{ends[0]};
    UniqueFd theirs{ends[1]};
    // /bin/cat in the place of control refuses its options at once: its end closes the socket.
    const auto pid = maker_.make({.kind = MakeKind::Control}, std::array{theirs.get(), -1});
    ASSERT_TRUE(pid);
    theirs.reset();
    EXPECT_TRUE(WIFEXITED(end_of(*pid)));
    char byte = 0;
    EXPECT_EQ(::recv(ours.get(), &byte, 1, 0), 0) << "the maker has kept a copy";
}

// Goal: a loader that is not there is a process that fails, not a hang.
TEST_F(MakerTest, NoLoader) {
    const auto pid = maker_.make({.kind = MakeKind::Loader}, std::array{STDIN_FILENO});
    ASSERT_TRUE(pid);
    EXPECT_EQ(WEXITSTATUS(end_of(*pid)), EXIT_FAILURE);
}

// Goal: when the maker has died, asking says so, at once and again.
TEST_F(MakerTest, ADeadMakerMakesNothing) {
    ::kill(maker_.pid(), SIGKILL);
    end_of(maker_.pid());
    EXPECT_FALSE(maker_.make({.kind = MakeKind::DeviceBurial, .device = 1}, {}));
    maker_.on_gone();
    EXPECT_EQ(maker_.make({.kind = MakeKind::DeviceBurial, .device = 1}, {}).error(), Errno{ESRCH});
    EXPECT_EQ(maker_.pid(), 0);
}

// Goal: a maker that does not answer costs its patience and no more; what it makes afterwards is
// killed, and the next request gets its own answer.
TEST_F(MakerTest, ALateAnswerIsForNobody) {
    ::kill(maker_.pid(), SIGSTOP);
    EXPECT_EQ(maker_.make({.kind = MakeKind::DeviceBurial, .device = 1}, {}).error(),
              Errno{ETIMEDOUT});
    ::kill(maker_.pid(), SIGCONT);
    const auto pid = maker_.make({.kind = MakeKind::DeviceBurial, .device = 2}, {});
    ASSERT_TRUE(pid);
    end_of(*pid);
    int status = 0;
    const pid_t late = ::waitpid(-1, &status, 0);
    EXPECT_GT(late, 0);
    EXPECT_NE(late, maker_.pid());
}

// Goal: it ends with who started it.
TEST_F(MakerTest, EndsWithTheSupervisor) {
    const pid_t pid = maker_.pid();
    // Its first answer shows that it has come up.
    const auto made = maker_.make({.kind = MakeKind::DeviceBurial, .device = 1}, {});
    ASSERT_TRUE(made);
    end_of(*made);
    EXPECT_EQ(field(pid, "Name"), "holdfast-maker");
    EXPECT_EQ(field(pid, "Seccomp"), reserve::kSanitized ? "0" : "2");
    maker_.on_gone();  // Closes the socket, as the end of the supervisor does.
    EXPECT_EQ(WEXITSTATUS(end_of(pid)), EXIT_SUCCESS);
}

}  // namespace
}  // namespace holdfast::daemon
