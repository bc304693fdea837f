/// The program as a user runs it, as far as no target is needed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/unique_fd.h"

namespace holdfast::daemon {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Ran {
    int code = -1;
    std::string out;
};

/// Standard output only, unless `arguments` redirects.
Ran run(const std::string& arguments) {
    const std::string command = std::string{HF_CLIENT_PROGRAM} + " " + arguments + " </dev/null";
    std::FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) return {};
    Ran ran;
    std::array<char, 4096> room{};
    while (const std::size_t got = std::fread(room.data(), 1, room.size(), pipe))
        ran.out.append(room.data(), got);
    const int status = ::pclose(pipe);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
}

/// A port on which nobody listens: bound for as long as the object lives.
class DeadPort {
public:
    DeadPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t bytes = sizeof(address);
        EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
        EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &bytes), 0);
        port_ = ntohs(address.sin_port);
    }
    [[nodiscard]] std::string url() const {
        return "iscsi://127.0.0.1:" + std::to_string(port_) + "/iqn.2026-11.org.example:disk/1";
    }

private:
    UniqueFd socket_;
    int port_ = 0;
};

struct BadCall {
    std::string arguments;
    int code;
    const char* what;
};

// Goal: each failure is one line that says what to do, and a code that a script can test.
TEST(Program, FailuresAreOneSentenceAndOneCode) {
    const DeadPort dead;
    const BadCall all[] = {
        {"fly", 2, "--help"},
        {"read http://x", 2, "iscsi://"},
        {"read iscsi://h/iqn.a", 2, "no LUN"},
        {"read iscsi://h", 2, "discover"},
        {"read iscsi://u@h/iqn.a/1 --password-file /nonexistent", 2, "password file"},
        {"read iscsi://h/iqn.a/1 --offset many", 2, "not a size"},
        {"read iscsi://h/iqn.a/1 --depth 999", 2, "from 1 to 256"},
        {"read iscsi://h/iqn.a/1 --request-size 5", 2, "multiple of 4096"},
        {"read iscsi://h/iqn.a/1 --header-digest maybe", 2, "prefer"},
        {"read iscsi://h/iqn.a/1 --set negotiation.error_recovery_level=9", 2, "a number from 0"},
        {"read iscsi://h/iqn.a/1 --set connections=0", 2, "from 1 to 8"},
        {"verify iscsi://h/iqn.a/1 --set negotiation.first_burst=2MiB", 2, "max_burst"},
        {"write iscsi://h/iqn.a/1 --set negotiation.max_burst=1", 2, "a size from 512"},
        {"bench iscsi://h/iqn.a/1 --set negotiation.initial_r2t=maybe", 2, "true or false"},
        {"read iscsi://h/iqn.a/1 --set negotiation.first_brust=1KiB", 2, "'first_burst'"},
        {"read iscsi://h/iqn.a/1 --set url=iscsi://x", 2, "unknown key 'url'"},
        {"read iscsi://h/iqn.a/1 --set timers=1 --set timers.login=x", 2, "a time such as"},
        {"read iscsi://h/iqn.a/1 --set connections", 2, "KEY=VALUE"},
        {"discover h --set negotiation.error_recovery_level=-1", 2, "a number from 0"},
        {"bench iscsi://h/iqn.a/1 --rw dance", 2, "randrw"},
        {"bench iscsi://h/iqn.a/1 --bs 0", 2, "--bs"},
        {"plan --profile fast", 2, "multipath"},
        {"plan --export scsi", 2, "nbd"},
        {"plan --request-size 5000", 2, "4096"},
        {"list --socket /nonexistent/socket", 8, "systemctl start"},
        {"attach swap0 --socket /nonexistent/socket", 8, "--socket"},
        {"read " + dead.url(), 5, "check address"},
        {"discover " + dead.url(), 5, "check address"},
        {"read iscsi://no-such-host.invalid/iqn.2026-11.org.example:disk/1", 5, "resolved"},
    };
    for (const BadCall& bad : all) {
        const Ran ran = run(bad.arguments + " 2>&1");
        EXPECT_EQ(ran.code, bad.code) << bad.arguments << "\n" << ran.out;
        EXPECT_THAT(ran.out, AllOf(StartsWith("holdfast: "), HasSubstr(bad.what), EndsWith("\n")))
            << bad.arguments;
        EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 1) << bad.arguments;
    }
}

// Goal: with --json a failure is JSON too.
TEST(Program, JsonFailureIsJson) {
    const Ran ran = run("list --json --socket /nonexistent/socket 2>/dev/null");
    EXPECT_EQ(ran.code, 8);
    const auto json = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << ran.out;
    EXPECT_EQ(json["ok"], false);
    EXPECT_EQ(json["exit_code"], 8);
    EXPECT_TRUE(json["error"].is_string());
}

std::uint64_t sum_of_lines(const nlohmann::json& plan) {
    std::uint64_t sum = 0;
    for (const auto& line : plan["lines"]) {
        sum += line["bytes"].get<std::uint64_t>();
        EXPECT_FALSE(line["reason"].get<std::string>().empty());
    }
    return sum;
}

// Goal: the plan is a sum: its lines add up to what it says, and it grows with what it is asked.
TEST(Program, PlanAddsUp) {
    const auto plan_of = [](const std::string& arguments) {
        const Ran ran = run("plan --json " + arguments);
        EXPECT_EQ(ran.code, 0);
        return nlohmann::json::parse(ran.out, nullptr, false);
    };
    const auto one = plan_of("--sessions 1 --depth 32 --request-size 64KiB");
    ASSERT_TRUE(one.is_object());
    const auto three = plan_of("--sessions 3 --depth 32 --request-size 64KiB");
    const auto deeper = plan_of("--sessions 1 --depth 64 --request-size 64KiB");
    const std::uint64_t sum = sum_of_lines(one);
    const std::uint64_t with_standbys = three["standby_bytes"].get<std::uint64_t>() +
                                        three["supervisor_bytes"].get<std::uint64_t>();
    EXPECT_EQ(sum, one["session_bytes"].get<std::uint64_t>());
    // The image is measured anew by each call, and the kernel makes each stack another size.
    EXPECT_EQ(three["total_bytes"].get<std::uint64_t>(), 3 * sum_of_lines(three) + with_standbys);
    constexpr std::uint64_t kStackVaries = 64 * 1024;
    EXPECT_GE(deeper["session_bytes"].get<std::uint64_t>() + kStackVaries, sum + 32ULL * 65536);
    EXPECT_GT(one["kernel_min_free_kib"].get<std::uint64_t>(), 0U);
}

// Goal: the plan of the reserved path says that the kernel's packet memory is for copy mode only,
// that of the kernel's path does not.
TEST(Program, PlanSaysWhenTheKernelNeedsNothing) {
    for (const bool is_reserved : {false, true}) {
        const Ran ran = run(is_reserved ? "plan --path xdp" : "plan --path kernel");
        EXPECT_EQ(ran.code, 0);
        EXPECT_EQ(ran.out.contains("with zero copy none is needed"), is_reserved) << ran.out;
        EXPECT_THAT(ran.out, HasSubstr("while attached"));
    }
}

// Goal: the profile for small machines locks no more than they can spare: 24 MiB without a standby,
// 40 MiB with it.
TEST(Program, SwapFitsIntoSmallMachines) {
#if defined(HF_SANITIZED)
    GTEST_SKIP() << "a sanitizer's shadow memory is part of the image";
#endif
    const Ran ran = run("plan --json --profile swap");
    const auto json = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(json.is_object());
    const auto standby = json["standby_bytes"].get<std::uint64_t>();
    EXPECT_EQ(standby, json["session_bytes"].get<std::uint64_t>());
    EXPECT_LE(json["total_bytes"].get<std::uint64_t>() - standby, 24ULL << 20);
    EXPECT_LE(json["total_mib"].get<double>(), 40.0);
}

// Goal: check-host names a tier, and what each reason costs.
TEST(Program, CheckHostNamesTierAndReasons) {
    const Ran ran = run("check-host --json");
    EXPECT_EQ(ran.code, 0);
    const auto json = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << ran.out;
    EXPECT_THAT(json["tier"].get<std::string>(), testing::AnyOf("A", "B", "C"));
    for (const auto& reason : json["reasons"]) {
        EXPECT_TRUE(reason["text"].is_string());
        EXPECT_TRUE(reason["costs"].is_string());
    }
    EXPECT_TRUE(json["facts"]["io_uring"].is_boolean());
}

// Goal: the version is shown without a daemon, and that there is none.
TEST(Program, VersionNeedsNoDaemon) {
    const Ran ran = run("version --socket /nonexistent/socket");
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.out, AllOf(StartsWith("holdfast "), HasSubstr("does not run")));
}

}  // namespace
}  // namespace holdfast::daemon
