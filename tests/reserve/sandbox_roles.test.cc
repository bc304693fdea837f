#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "reserve/deny_filter.h"
#include "reserve/sandbox.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

enum class Role : std::uint8_t { Armed, Standing, Supervisor, Control };
using enum Role;

AllowedCalls calls_of(Role role) {
    switch (role) {
    case Armed: return armed_calls();
    case Standing: return standing_calls();
    case Supervisor: return supervisor_calls();
    case Control: return control_calls();
    }
    return {};
}

struct Call {
    const char* name;
    long number;
    std::array<long, 4> arguments{};
};

long make(const Call& call) {
    const auto& [a, b, c, d] = call.arguments;
    return ::syscall(call.number, a, b, c, d, -1, 0);
}

/// What nobody may do who has a filter at all.
const std::vector<Call>& forbidden_to_all() {
    static const std::vector<Call> calls{
        {"execve", SYS_execve},
        {"execveat", SYS_execveat},
        {"fork", SYS_fork},
        {"vfork", SYS_vfork},
        {"clone", SYS_clone, {SIGCHLD}},
        {"ptrace", SYS_ptrace, {0x4242}},
        {"process_vm_writev", SYS_process_vm_writev},
        {"io_uring_setup", SYS_io_uring_setup, {8}},
        {"userfaultfd", SYS_userfaultfd},
        {"mount", SYS_mount},
        {"umount2", SYS_umount2},
        {"unshare", SYS_unshare},
        {"setns", SYS_setns, {-1}},
        {"pivot_root", SYS_pivot_root},
        {"chroot", SYS_chroot},
        {"init_module", SYS_init_module},
        {"finit_module", SYS_finit_module, {-1}},
        {"kexec_load", SYS_kexec_load},
        {"bpf", SYS_bpf, {0}},
        {"perf_event_open", SYS_perf_event_open},
        {"reboot", SYS_reboot},
        {"swapoff", SYS_swapoff},
        {"setuid", SYS_setuid, {0}},
        {"setresuid", SYS_setresuid, {-1, -1, -1}},
        {"setgroups", SYS_setgroups, {0, 0}},
        {"mknodat", SYS_mknodat, {-1}},
        {"open_by_handle_at", SYS_open_by_handle_at, {-1}},
        {"keyctl", SYS_keyctl, {-1}},
        {"packet socket", SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
        {"XDP socket", SYS_socket, {44, SOCK_RAW, 0}},
        {"tgkill of another", SYS_tgkill, {1, 1, 0}},
        {"ioctl", SYS_ioctl, {0, 0x5412, 0}},  // TIOCSTI
    };
    return calls;
}

std::vector<Call> forbidden_to(Role role) {
    std::vector<Call> calls = forbidden_to_all();
    const auto add = [&calls](std::initializer_list<Call> more) {
        calls.insert(calls.end(), more);
    };
    if (role != Control) {
        add({{"clone3", SYS_clone3},
             {"internet socket", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
             {"code", SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}},
             {"mprotect", SYS_mprotect, {0, 0, PROT_READ | PROT_EXEC}},
             {"brk", SYS_brk},
             {"capset", SYS_capset},
             {"rename", SYS_rename}});
        if (role == Standing) calls.erase(calls.end() - 2);
    }
    if (role == Control)
        add({{"kill", SYS_kill, {0, 0}}, {"capset", SYS_capset}, {"mlockall", SYS_mlockall}});
    if (role == Supervisor) add({{"seccomp", SYS_seccomp, {-1}}, {"connect", SYS_connect, {-1}}});
    if (role == Standing) {
        add({{"kill", SYS_kill, {0, 0}},
             {"local socket", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
             {"to make a file", SYS_openat, {AT_FDCWD, 0, O_CREAT | O_WRONLY | O_CLOEXEC, 0600}},
             {"writable memory",
              SYS_mmap,
              {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS}},
             {"write", SYS_write, {1, 0, 0}},
             {"prctl", SYS_prctl, {PR_SET_DUMPABLE, 0, 0, 0}},
             {"sendmsg", SYS_sendmsg, {-1}}});
    }
    return calls;
}

class SandboxRoles : public testing::TestWithParam<Role> {
protected:
    void SetUp() override {
        if (kSanitized) GTEST_SKIP() << "a sanitizer maps memory whenever it likes";
    }
};

// Goal: whoever takes such a process over dies with the first thing that is not its business.
TEST_P(SandboxRoles, ForbiddenCallsKill) {
    for (const Call& wanted : forbidden_to(GetParam())) {
        SCOPED_TRACE(wanted.name);
        EXPECT_EQ(signal_of_child([&] {
                      if (!enter_sandbox(calls_of(GetParam()))) return 1;
                      make(wanted);
                      return 2;
                  }),
                  SIGSYS);
    }
}

// Goal: the filter is reported by the kernel, and lets an assert be seen as one.
TEST_P(SandboxRoles, IsReadBackAndAbortsAsAnAbort) {
    EXPECT_EQ(signal_of_child([&] {
                  const Protection row = sandbox_layer(calls_of(GetParam()));
                  if (!row.holds || row.lowers_tier || row.found.view() != "Seccomp: 2") return 1;
                  std::abort();
              }),
              SIGABRT);
}

INSTANTIATE_TEST_SUITE_P(All, SandboxRoles, testing::Values(Standing, Supervisor, Control));

// Goal: each entry has a reason, and none stands twice with the same limit; none is in the list of
// what no process of ours may do.
TEST(SandboxRoleTables, EveryCallHasAReason) {
    std::set<int> denied;
    for (const DeniedCall& call : denied_calls()) denied.insert(call.number);
    EXPECT_GT(denied.size(), 20U);
    for (const Role role : {Armed, Standing, Supervisor, Control}) {
        std::set<std::pair<int, std::uint64_t>> seen;
        for (const AllowedCall& call : calls_of(role)) {
            EXPECT_FALSE(call.reason.empty()) << call.name;
            EXPECT_TRUE(seen.emplace(call.number, call.value).second) << call.name;
            EXPECT_FALSE(denied.contains(call.number)) << call.name;
        }
    }
}

// Goal: what an armed process may do, it may do while it stands, so that the filter of an armed
// process on top of the other takes nothing away that this one would need.
TEST(SandboxRoleTables, StandingHoldsWhatArmedHolds) {
    std::set<int> standing;
    for (const AllowedCall& call : standing_calls()) standing.insert(call.number);
    for (const AllowedCall& call : armed_calls())
        EXPECT_TRUE(standing.contains(call.number)) << call.name;
}

// Goal: one who stands by enters the filter of an armed process on top of its own, and then has the
// few calls of that one alone.
TEST(SandboxStack, ArmedOnTopOfStanding) {
    if (kSanitized) GTEST_SKIP() << "a sanitizer maps memory whenever it likes";
    const auto arm = [] {
        auto standing = Sandbox::build(standing_calls());
        auto armed = Sandbox::build(armed_calls());
        if (!standing || !armed || !standing->enter()) return false;
        const int zero = ::open("/dev/zero", O_RDWR | O_CLOEXEC);
        if (zero < 0 || ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, zero, 0) == MAP_FAILED)
            return false;
        return armed->enter().has_value();
    };
    EXPECT_EQ(exit_code_of_child([&] { return arm() ? 0 : 1; }), 0);
    EXPECT_EQ(signal_of_child([&] {
                  if (!arm()) return 1;
                  return ::open("/dev/zero", O_RDWR | O_CLOEXEC) >= 0 ? 2 : 3;
              }),
              SIGSYS);
}

// Goal: the same calls under the numbers of the x32 interface are no way around it.
TEST(DenyFilter, ClosesTheOtherInterface) {
    if (kSanitized) GTEST_SKIP() << "a sanitizer maps memory whenever it likes";
    EXPECT_EQ(signal_of_child([] {
                  if (!enter_deny_filter().holds) return 1;
                  ::syscall(0x40000000L + SYS_getpid);
                  return 2;
              }),
              SIGSYS);
    EXPECT_EQ(
        exit_code_of_child([] { return enter_deny_filter().holds && ::getppid() > 0 ? 0 : 1; }), 0);
}

// Goal: below every other filter lies the maker's, which its children inherit.
TEST(DenyFilter, KillsItAndItsChildren) {
    if (kSanitized) GTEST_SKIP() << "a sanitizer maps memory whenever it likes";
    for (const Call& wanted : {Call{"ptrace", SYS_ptrace, {0x4242}}, Call{"setns", SYS_setns, {-1}},
                               Call{"swapoff", SYS_swapoff}, Call{"keyctl", SYS_keyctl, {-1}}}) {
        SCOPED_TRACE(wanted.name);
        EXPECT_EQ(signal_of_child([&] {
                      if (!enter_deny_filter().holds) return 1;
                      make(wanted);
                      return 2;
                  }),
                  SIGSYS);
        EXPECT_EQ(exit_code_of_child([&] {
                      if (!enter_deny_filter().holds) return 1;
                      const pid_t child = ::fork();
                      if (child == 0) {
                          make(wanted);
                          ::_exit(2);
                      }
                      int status = 0;
                      ::waitpid(child, &status, 0);
                      return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 3;
                  }),
                  0);
    }
}

}  // namespace
}  // namespace holdfast::reserve
