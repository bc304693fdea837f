#include "reserve/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

struct Forbidden {
    const char* name;
    long number;
    std::array<long, 4> arguments{};
};

const std::vector<Forbidden>& forbidden_calls() {
    static const std::vector<Forbidden> calls = {
        {"mmap", SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS}},
        {"munmap", SYS_munmap},
        {"brk", SYS_brk},
        {"mremap", SYS_mremap},
        {"mprotect", SYS_mprotect},
        {"madvise", SYS_madvise},
        {"mlock", SYS_mlock},
        {"munlock", SYS_munlock},
        {"munlockall", SYS_munlockall},
        {"clone", SYS_clone},
        {"clone3", SYS_clone3},
        {"fork", SYS_fork},
        {"vfork", SYS_vfork},
        {"execve", SYS_execve},
        {"execveat", SYS_execveat},
        {"open", SYS_open},
        {"openat", SYS_openat},
        {"openat2", SYS_openat2},
        {"creat", SYS_creat},
        {"socket", SYS_socket, {AF_INET, SOCK_STREAM, 0, 0}},
        {"accept4", SYS_accept4},
        {"io_uring_setup", SYS_io_uring_setup},
        {"io_uring_register", SYS_io_uring_register},
        {"connect", SYS_connect},
        {"setsockopt", SYS_setsockopt},
        {"read", SYS_read},
        {"futex", SYS_futex},
        {"ptrace", SYS_ptrace},
        {"prctl", SYS_prctl},
        {"ioctl", SYS_ioctl},
        {"kill", SYS_kill, {0, 0, 0, 0}},
        {"setuid", SYS_setuid},
        {"sched_setscheduler", SYS_sched_setscheduler},
        {"dup", SYS_dup},
        {"memfd_create", SYS_memfd_create},
        {"process_vm_writev", SYS_process_vm_writev},
        {"userfaultfd", SYS_userfaultfd},
        {"unshare", SYS_unshare},
        {"mount", SYS_mount},
        {"bpf", SYS_bpf},
        // The calling process is allowed, another one is not.
        {"tgkill", SYS_tgkill, {1, 1, 0, 0}},
        // The same for standard error and the status file, against any other descriptor.
        {"write", SYS_write, {1, 0, 0, 0}},
        {"pread64", SYS_pread64, {0, 0, 0, 0}},
        {"close", SYS_close, {99, 0, 0, 0}},
        {"sendmsg", SYS_sendmsg, {-1, 0, 0, 0}},
        {"sendto", SYS_sendto, {-1, 0, 0, 0}},
        {"recvfrom", SYS_recvfrom, {-1, 0, 0, 0}},
        {"getppid", SYS_getppid},
        {"seccomp", SYS_seccomp, {-1, 0, 0, 0}},
    };
    return calls;
}

class Sandbox : public testing::Test {
protected:
    void SetUp() override {
        if (kSanitized) GTEST_SKIP() << "a sanitizer maps memory whenever it likes";
    }
};

long call(const Forbidden& wanted) {
    const auto& [a, b, c, d] = wanted.arguments;
    return ::syscall(wanted.number, a, b, c, d, -1, 0);
}

TEST_F(Sandbox, ForbiddenCallsKill) {
    // Goal: no way to grow, open, execute or start anything is left.
    for (const Forbidden& wanted : forbidden_calls()) {
        SCOPED_TRACE(wanted.name);
        EXPECT_EQ(signal_of_child([&] {
                      if (!enter_sandbox(armed_calls())) return 1;
                      call(wanted);
                      return 2;
                  }),
                  SIGSYS);
    }
}

TEST_F(Sandbox, TheSameCallsDoNotKillOutside) {
    // Goal: it is the filter that kills in the test above.
    for (const Forbidden& wanted : forbidden_calls()) {
        const std::string name = wanted.name;
        // These change or end the child itself when they are let through.
        if (name == "fork" || name == "vfork" || name == "clone" || name == "clone3") continue;
        if (name == "munmap" || name == "mprotect" || name == "kill") continue;
        SCOPED_TRACE(name);
        EXPECT_EQ(signal_of_child([&] {
                      call(wanted);
                      return 2;
                  }),
                  0);
    }
}

TEST_F(Sandbox, AllowedCallsWork) {
    // Goal: what a loop needs still works: existing sockets, the clock, random bytes, the end.
    EXPECT_EQ(exit_code_of_child([] {
                  std::array<int, 2> pair{};
                  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair.data()) != 0) return 1;
                  if (!enter_sandbox(armed_calls())) return 2;
                  char byte = 'x';
                  if (::write(STDERR_FILENO, &byte, 0) != 0) return 3;
                  if (::shutdown(pair[0], SHUT_WR) != 0) return 4;
                  timespec now{};
                  if (::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) != 0) return 5;
                  if (::syscall(SYS_getrandom, &byte, 1, 0) != 1) return 6;
                  return 0;
              }),
              0);
}

TEST_F(Sandbox, AbortStillIsAnAbort) {
    // Goal: an assert inside the sandbox is seen as one, not as a forbidden call.
    EXPECT_EQ(signal_of_child([] {
                  if (!enter_sandbox(armed_calls())) return 1;
                  std::abort();
                  return 2;
              }),
              SIGABRT);
}

TEST_F(Sandbox, TheRowIsReadBack) {
    // Goal: the filter is reported by the kernel, not by us.
    EXPECT_EQ(exit_code_of_child([] {
                  const auto row = enter_sandbox(armed_calls());
                  if (!row || !row->holds) return 1;
                  return row->found.view() == "Seccomp: 2" ? 0 : 2;
              }),
              0);
}

TEST(SandboxTable, NamesTheseTwelveCalls) {
    // Goal: the list that docs/sandbox.md shows is the one that is loaded.
    const std::vector<std::string_view> listed{
        "io_uring_enter",  "getrandom",      "clock_gettime", "shutdown", "write",  "pread64",
        "restart_syscall", "rt_sigprocmask", "getpid",        "gettid",   "tgkill", "exit_group"};
    std::vector<std::string_view> found;
    for (const AllowedCall& allowed : armed_calls()) found.push_back(allowed.name);
    EXPECT_EQ(found, listed);
    EXPECT_LE(found.size(), kCallsMax);
}

TEST(SandboxTable, EveryCallHasAReasonAndStandsOnce) {
    // Goal: the table stays short and explained.
    std::set<int> seen;
    for (const AllowedCall& allowed : armed_calls()) {
        EXPECT_TRUE(seen.insert(allowed.number).second) << allowed.name;
        EXPECT_FALSE(allowed.reason.empty()) << allowed.name;
        for (const Forbidden& never : forbidden_calls()) {
            if (allowed.limit == CallLimit::None) {
                EXPECT_NE(allowed.number, never.number) << allowed.name;
            }
        }
    }
}

}  // namespace
}  // namespace holdfast::reserve
