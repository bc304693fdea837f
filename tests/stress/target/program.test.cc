/// The program itself: its words, its exit codes, its sockets, its memory that outlives it.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

struct Ended {
    int exit_code = -1;
    std::string output;
};

std::string program() {
    return HF_BINARY_DIR "/bin/holdfast-target";
}

Ended run(const std::string& arguments) {
    Ended ended;
    std::FILE* pipe = ::popen((program() + " " + arguments + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return ended;
    std::array<char, 4096> buffer{};
    while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
        ended.output.append(buffer.data(), count);
    ended.exit_code = WEXITSTATUS(::pclose(pipe));
    return ended;
}

/// A running target that takes lines on its standard input.
class Running {
public:
    explicit Running(std::vector<std::string> arguments) {
        std::array<int, 2> in{};
        std::array<int, 2> out{};
        if (::pipe(in.data()) != 0 || ::pipe(out.data()) != 0) std::abort();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(in[0], STDIN_FILENO);
            ::dup2(out[1], STDOUT_FILENO);
            ::close(in[1]);
            ::close(out[0]);
            std::vector<char*> argv;
            std::string name = program();
            argv.push_back(name.data());
            for (auto& argument : arguments) argv.push_back(argument.data());
            argv.push_back(nullptr);
            ::execv(name.c_str(), argv.data());
            ::_exit(127);
        }
        ::close(in[0]);
        ::close(out[1]);
        in_ = in[1];
        out_ = ::fdopen(out[0], "r");
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
        end(SIGKILL);
        std::fclose(out_);
        ::close(in_);
    }

    std::string line() {
        std::array<char, 65'536> buffer{};
        if (std::fgets(buffer.data(), buffer.size(), out_) == nullptr) return {};
        return buffer.data();
    }
    std::string ask(const std::string& command) {
        const std::string text = command + "\n";
        if (::write(in_, text.data(), text.size()) < 0) return {};
        return line();
    }
    int end(int signal) {
        if (pid_ <= 0) return -1;
        ::kill(pid_, signal);
        return wait();
    }
    /// For a target that ends by itself: its exit code.
    int wait() {
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

private:
    pid_t pid_ = 0;
    int in_ = -1;
    std::FILE* out_ = nullptr;
};

// Goal: every mistake on the command line is one sentence and exit code 2.
TEST(TargetProgram, MistakesExitWithTwo) {
    for (const auto& [arguments, sentence] :
         {std::pair{"--fault 'at=2 reset'", "write it with a unit"},
          std::pair{"--lun id=0,size=big", "needs a size"},
          std::pair{"--lun id=0 --lun id=0", "given twice"},
          std::pair{"--lun colour=red", "knows no 'colour'"},
          std::pair{"--lun size=1000", "multiple of its block"},
          std::pair{"--chap nobody", "NAME%SECRET"},
          std::pair{"--chap-algorithms md4", "knows md5"},
          std::pair{"--fault-file /nonexistent", "cannot read"},
          std::pair{"--header-digest maybe", "--help explains"},
          std::pair{"--queue-depth 0", "from 1 to 65535"},
          std::pair{"--nonsense", "--help explains"}}) {
        const Ended ended = run(arguments);
        EXPECT_EQ(ended.exit_code, 2) << arguments << ": " << ended.output;
        EXPECT_NE(ended.output.find(sentence), std::string::npos) << ended.output;
    }
}

// Goal: what the environment refuses is exit code 1 and says what to do.
TEST(TargetProgram, AddressInUseOrAbsurdExitsWithOne) {
    Running first{{"--listen", "127.0.0.1:0", "--stdin"}};
    const std::string ready = first.line();
    const auto begin = ready.rfind(' ') + 1;
    const auto address = ready.substr(begin, ready.size() - 1 - begin);
    const Ended second = run("--listen " + address);
    EXPECT_EQ(second.exit_code, 1);
    EXPECT_NE(second.output.find("cannot listen"), std::string::npos);
    EXPECT_EQ(run("--listen example.invalid:99999").exit_code, 1);
}

// Goal: help teaches faults and exits with 0.
TEST(TargetProgram, HelpTeaches) {
    const Ended help = run("--help");
    EXPECT_EQ(help.exit_code, 0);
    for (const auto* word : {"power-cut", "hold-write", "every=3s", "--lun", "--reinstatement"})
        EXPECT_NE(help.output.find(word), std::string::npos) << word;
}

// Goal: the ready line names the real port, lines are obeyed, and SIGTERM ends with statistics.
TEST(TargetProgram, ObeysLinesAndEndsWithStatistics) {
    Running target{{"--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--stdin", "--stats", "-"}};
    EXPECT_TRUE(target.line().starts_with("listening on 127.0.0.1:"));
    EXPECT_TRUE(target.line().starts_with("listening on [::1]:"));
    EXPECT_EQ(target.ask("every=1s reset"), "ok\n");
    EXPECT_EQ(target.ask("power-cut"), "ok\n");
    EXPECT_TRUE(target.ask("explode").starts_with("error: "));
    const std::string stats = target.ask("stats");
    EXPECT_NE(stats.find("\"power_cuts\":1"), std::string::npos) << stats;
    EXPECT_EQ(target.ask("clear"), "ok\n");
    EXPECT_EQ(target.end(SIGTERM), 0);
    EXPECT_EQ(target.line(), "{\n");
}

// Goal: the same lines work over the Unix socket.
TEST(TargetProgram, ObeysTheControlSocket) {
    const std::string path = "/tmp/holdfast-target-test." + std::to_string(::getpid());
    Running target{{"--listen", "127.0.0.1:0", "--control", path}};
    ASSERT_TRUE(target.line().starts_with("listening"));
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string text = "power-cut random 1s\nquit\n";
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    std::string answers;
    std::array<char, 256> buffer{};
    while (answers.size() < 6) {
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        ASSERT_GT(count, 0);
        answers.append(buffer.data(), static_cast<std::size_t>(count));
    }
    EXPECT_EQ(answers, "ok\nok\n");
    ::close(fd);
    EXPECT_EQ(target.wait(), 0);
}

}  // namespace
