#include "daemon/shared/rights.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace holdfast::daemon {

namespace {

// Version 3 of the interface: two words of 32 capabilities each.
using Sets = std::array<__user_cap_data_struct, 2>;

__user_cap_header_struct header() noexcept {
    return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
}

bool is_within(const Sets& sets, const Sets& allowed) noexcept {
    for (std::size_t i = 0; i < sets.size(); ++i) {
        const std::uint32_t held = sets[i].effective | sets[i].permitted | sets[i].inheritable;
        if ((held & ~allowed[i].permitted) != 0) return false;
    }
    return true;
}

}  // namespace

void empty_bounding_set() noexcept {
    for (unsigned long right = 0; right <= CAP_LAST_CAP; ++right)
        ::prctl(PR_CAPBSET_DROP, right, 0, 0, 0);
}

reserve::Protection drop_rights(Rights kept) noexcept {
    Sets wanted{};
    if (kept == Rights::SystemAdministration) {
        constexpr std::uint32_t kBit = 1U << (CAP_SYS_ADMIN % 32);
        wanted[CAP_SYS_ADMIN / 32].permitted = kBit;
        wanted[CAP_SYS_ADMIN / 32].effective = kBit;
    }
    // What a program that it starts could get; only who may is asked, so a refusal says nothing.
    for (unsigned long right = 0; right <= CAP_LAST_CAP; ++right)
        if (kept == Rights::None || right != CAP_SYS_ADMIN)
            ::prctl(PR_CAPBSET_DROP, right, 0, 0, 0);
    __user_cap_header_struct about = header();
    // A refusal shows below, where the kernel is asked what is left.
    static_cast<void>(::syscall(SYS_capset, &about, wanted.data()));
    Sets found{};
    about = header();
    const bool known = ::syscall(SYS_capget, &about, found.data()) == 0;
    const bool holds = known && is_within(found, wanted);
    return reserve::protection("capabilities",
                               kept == Rights::None ? "none" : "CAP_SYS_ADMIN alone",
                               holds ? "as wanted" : "more than that", holds,
                               "the kernel refused capset; look for a security module");
}

}  // namespace holdfast::daemon
