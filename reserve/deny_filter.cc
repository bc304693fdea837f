#include "reserve/deny_filter.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <memory>

#include "reserve/kernel_file.h"

namespace holdfast::reserve {

namespace {

constexpr std::array kDenied = {
    // Other programs and processes.
    DeniedCall{__NR_execve, "execve"},
    DeniedCall{__NR_execveat, "execveat"},
    DeniedCall{__NR_fork, "fork"},
    DeniedCall{__NR_vfork, "vfork"},
    DeniedCall{__NR_ptrace, "ptrace"},
    DeniedCall{__NR_process_vm_readv, "process_vm_readv"},
    DeniedCall{__NR_process_vm_writev, "process_vm_writev"},
    DeniedCall{__NR_pidfd_getfd, "pidfd_getfd"},
    DeniedCall{__NR_kcmp, "kcmp"},
    // Ways around this filter.
    DeniedCall{__NR_io_uring_setup, "io_uring_setup"},
    DeniedCall{__NR_io_uring_enter, "io_uring_enter"},
    DeniedCall{__NR_io_uring_register, "io_uring_register"},
    DeniedCall{__NR_userfaultfd, "userfaultfd"},
    // The machine.
    DeniedCall{__NR_mount, "mount"},
    DeniedCall{__NR_umount2, "umount2"},
    DeniedCall{__NR_move_mount, "move_mount"},
    DeniedCall{__NR_open_tree, "open_tree"},
    DeniedCall{__NR_fsopen, "fsopen"},
    DeniedCall{__NR_pivot_root, "pivot_root"},
    DeniedCall{__NR_chroot, "chroot"},
    DeniedCall{__NR_unshare, "unshare"},
    DeniedCall{__NR_setns, "setns"},
    DeniedCall{__NR_init_module, "init_module"},
    DeniedCall{__NR_finit_module, "finit_module"},
    DeniedCall{__NR_delete_module, "delete_module"},
    DeniedCall{__NR_kexec_load, "kexec_load"},
    DeniedCall{__NR_kexec_file_load, "kexec_file_load"},
    DeniedCall{__NR_bpf, "bpf"},
    DeniedCall{__NR_perf_event_open, "perf_event_open"},
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
    // Users and keys.
    DeniedCall{__NR_setuid, "setuid"},
    DeniedCall{__NR_setgid, "setgid"},
    DeniedCall{__NR_setreuid, "setreuid"},
    DeniedCall{__NR_setregid, "setregid"},
    DeniedCall{__NR_setresuid, "setresuid"},
    DeniedCall{__NR_setresgid, "setresgid"},
    DeniedCall{__NR_setgroups, "setgroups"},
    DeniedCall{__NR_capset, "capset"},
    DeniedCall{__NR_add_key, "add_key"},
    DeniedCall{__NR_request_key, "request_key"},
    DeniedCall{__NR_keyctl, "keyctl"},
};

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

bool load() noexcept {
    const Filter filter{seccomp_init(SCMP_ACT_ALLOW), &seccomp_release};
    if (!filter) return false;
    for (const DeniedCall& call : kDenied) {
        if (seccomp_rule_add_array(filter.get(), SCMP_ACT_KILL_PROCESS, call.number, 0, nullptr) <
            0)
            return false;
    }
    const scmp_arg_cmp no_thread{
        .arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0};
    return seccomp_rule_add_array(filter.get(), SCMP_ACT_KILL_PROCESS, __NR_clone, 1, &no_thread) >=
               0 &&
           seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(ENOSYS), __NR_clone3, 0, nullptr) >=
               0 &&
           seccomp_load(filter.get()) >= 0;
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
    const bool loaded = load();
    const bool is_on = loaded && read_kernel_field("/proc/self/status", "Seccomp").value_or(0) == 2;
    return layer("system call filter", "Seccomp: 2", is_on ? "Seccomp: 2" : "not on", is_on,
                 kAdvice);
}

}  // namespace holdfast::reserve
