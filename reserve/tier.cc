#include "reserve/tier.h"

#include "base/assert.h"

namespace holdfast::reserve {

namespace {

struct Need {
    bool (*is_met)(const HostFacts&) noexcept = nullptr;
    TierReason reason;
};

bool has_kernel(const HostFacts& facts) noexcept {
    // 6.0: ublk, and io_uring with a single issuer.
    return facts.kernel_major >= 6;
}

// In the order of the answer. What costs a tier costs every better one too.
constexpr Need kNeeds[] = {
    {has_kernel, {Tier::B, "Linux is older than 6.0: boot 6.12 (linux-image-6.12-cloud-amd64)"}},
    {[](const HostFacts& f) noexcept { return f.has_io_uring; },
     {Tier::B, "no io_uring: set kernel.io_uring_disabled=0"}},
    {[](const HostFacts& f) noexcept { return f.has_ublk; },
     {Tier::B, "no ublk: modprobe ublk_drv, and run as root"}},
    {[](const HostFacts& f) noexcept { return f.may_lock_memory; },
     {Tier::B, "memory cannot be locked: give CAP_IPC_LOCK or LimitMEMLOCK=infinity"}},
    {[](const HostFacts& f) noexcept { return f.may_run_fifo; },
     {Tier::B, "no SCHED_FIFO: give CAP_SYS_NICE (cgroup v1: also cpu.rt_runtime_us)"}},
    {[](const HostFacts& f) noexcept { return f.may_flush_io; },
     {Tier::B, "no IO_FLUSHER: give CAP_SYS_RESOURCE"}},
    {[](const HostFacts& f) noexcept { return f.may_lower_oom_score; },
     {Tier::B, "the OOM killer may choose us: give CAP_SYS_RESOURCE"}},
    {[](const HostFacts& f) noexcept { return f.has_seccomp; },
     {Tier::B, "no seccomp filters: the kernel needs CONFIG_SECCOMP_FILTER"}},
    {[](const HostFacts& f) noexcept { return f.may_set_kernel_reserve; },
     {Tier::B, "vm.min_free_kbytes cannot be set: run as root, with /proc/sys writable"}},
    {[](const HostFacts& f) noexcept { return f.reserve_fits; },
     {Tier::B, "the kernel reserve would take over 1/8 of memory: fewer or smaller attachments"}},
    {[](const HostFacts& f) noexcept { return f.has_drop_gate; },
     {Tier::A, "no drop gate: BPF programs do not load; run as root, with Linux 5.18 or later"}},
    {[](const HostFacts& f) noexcept { return f.has_reserved_path; },
     {Tier::A,
      "zero copy shows when a queue is taken: attach with path = \"xdp\" and see its status"}},
};

}  // namespace

TierVerdict decide_tier(const HostFacts& facts) noexcept {
    TierVerdict verdict{.tier = Tier::A, .reasons = {}};
    for (const Need& need : kNeeds) {
        if (need.is_met(facts)) continue;
        verdict.reasons.push(need.reason);
        const Tier left = need.reason.costs == Tier::A ? Tier::B : Tier::C;
        if (left > verdict.tier) verdict.tier = left;
    }
    HF_ASSERT((verdict.tier == Tier::A) == verdict.reasons.empty());
    return verdict;
}

std::string_view name_of(Tier tier) noexcept {
    switch (tier) {
    case Tier::A: return "A";
    case Tier::B: return "B";
    case Tier::C: return "C";
    }
    HF_ASSERT(false);
    return {};
}

}  // namespace holdfast::reserve
