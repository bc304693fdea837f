#include "reserve/deny_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "reserve/kernel_file.h"

namespace holdfast::reserve {

namespace {

constexpr std::array kDenied = {
    // Other processes.
    DeniedCall{__NR_ptrace, "ptrace"},
    DeniedCall{__NR_process_vm_readv, "process_vm_readv"},
    DeniedCall{__NR_process_vm_writev, "process_vm_writev"},
    DeniedCall{__NR_pidfd_getfd, "pidfd_getfd"},
    DeniedCall{__NR_kcmp, "kcmp"},
    DeniedCall{__NR_userfaultfd, "userfaultfd"},
    // The machine.
    DeniedCall{__NR_move_mount, "move_mount"},
    DeniedCall{__NR_open_tree, "open_tree"},
    DeniedCall{__NR_fsopen, "fsopen"},
    DeniedCall{__NR_chroot, "chroot"},
    DeniedCall{__NR_setns, "setns"},
    DeniedCall{__NR_delete_module, "delete_module"},
    DeniedCall{__NR_kexec_load, "kexec_load"},
    DeniedCall{__NR_kexec_file_load, "kexec_file_load"},
    DeniedCall{__NR_reboot, "reboot"},
    DeniedCall{__NR_swapon, "swapon"},
    DeniedCall{__NR_swapoff, "swapoff"},
    DeniedCall{__NR_iopl, "iopl"},
    DeniedCall{__NR_ioperm, "ioperm"},
    DeniedCall{__NR_mknod, "mknod"},
    DeniedCall{__NR_mknodat, "mknodat"},
    DeniedCall{__NR_open_by_handle_at, "open_by_handle_at"},
    DeniedCall{__NR_settimeofday, "settimeofday"},
    DeniedCall{__NR_clock_settime, "clock_settime"},
    DeniedCall{__NR_sethostname, "sethostname"},
    DeniedCall{__NR_quotactl, "quotactl"},
    DeniedCall{__NR_acct, "acct"},
    // Keys.
    DeniedCall{__NR_add_key, "add_key"},
    DeniedCall{__NR_request_key, "request_key"},
    DeniedCall{__NR_keyctl, "keyctl"},
};

constexpr std::size_t kHeadLength = 6;
// Numbers from here on are those of the x32 interface.
constexpr std::uint32_t kX32 = 0x4000'0000;
using DenyProgram = std::array<sock_filter, kHeadLength + 2 * kDenied.size() + 1>;

/// By hand, because the heap that libseccomp would touch is locked in the maker.
constexpr DenyProgram deny_program() noexcept {
    constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
    constexpr std::uint16_t kJumpIfEqual = BPF_JMP | BPF_JEQ | BPF_K;
    constexpr std::uint16_t kReturn = BPF_RET | BPF_K;
    DenyProgram made{};
    made[0] = {.code = kLoad, .jt = 0, .jf = 0, .k = offsetof(seccomp_data, arch)};
    made[1] = {.code = kJumpIfEqual, .jt = 1, .jf = 0, .k = AUDIT_ARCH_X86_64};
    made[2] = {.code = kReturn, .jt = 0, .jf = 0, .k = SECCOMP_RET_KILL_PROCESS};
    made[3] = {.code = kLoad, .jt = 0, .jf = 0, .k = offsetof(seccomp_data, nr)};
    made[4] = {.code = BPF_JMP | BPF_JGE | BPF_K, .jt = 0, .jf = 1, .k = kX32};
    made[5] = {.code = kReturn, .jt = 0, .jf = 0, .k = SECCOMP_RET_KILL_PROCESS};
    std::size_t at = kHeadLength;
    for (const DeniedCall& call : kDenied) {
        made[at++] = {
            .code = kJumpIfEqual, .jt = 0, .jf = 1, .k = static_cast<std::uint32_t>(call.number)};
        made[at++] = {.code = kReturn, .jt = 0, .jf = 0, .k = SECCOMP_RET_KILL_PROCESS};
    }
    made[at] = {.code = kReturn, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW};
    return made;
}

bool load_deny_program() noexcept {
    static constexpr DenyProgram kDenyProgram = deny_program();
    DenyProgram copy = kDenyProgram;  // Its interface has no const.
    const sock_fprog all{.len = static_cast<unsigned short>(copy.size()), .filter = copy.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) == 0;
}

}  // namespace

std::span<const DeniedCall> denied_calls() noexcept {
    return kDenied;
}

Protection enter_deny_filter() noexcept {
    constexpr std::string_view kAdvice = "the kernel needs CONFIG_SECCOMP_FILTER";
#if defined(HF_SANITIZED)
    return layer("system call filter", "Seccomp: 2", "not under a sanitizer", false, kAdvice);
#endif
    const bool loaded = load_deny_program();
    const bool is_on = loaded && read_kernel_field("/proc/self/status", "Seccomp").value_or(0) == 2;
    return layer("system call filter", "Seccomp: 2", is_on ? "Seccomp: 2" : "not on", is_on,
                 kAdvice);
}

}  // namespace holdfast::reserve
