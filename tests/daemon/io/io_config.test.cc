#include "daemon/io/io_config.h"

#include <gtest/gtest.h>

#include "daemon/io/tier.h"

namespace holdfast::daemon {
namespace {

AttachSpec spec_of(NetworkPath path, std::uint32_t flags = 0) {
    AttachSpec spec;
    spec.path = path;
    spec.flags = flags;
    return spec;
}

// The machine gave less than was wanted.
constexpr reserve::SettingState kRefused{.wanted = 16384, .value = 1826, .found = 1826};
constexpr reserve::SettingState kRaised{.wanted = 16384, .value = 16384, .found = 1826};

// Goal: of all paths, modes and wishes only zero copy on the reserved path takes an attachment out
// of the reserve that wanted one; a word in shared memory says nothing about the kernel's path.
TEST(KernelReserve, OnlyZeroCopyNeedsNone) {
    for (const NetworkPath path : {NetworkPath::Kernel, NetworkPath::Xdp})
        for (const bool is_zero_copy : {false, true})
            for (const std::uint32_t flags : {0U, +kAttachKeepKernelReserve}) {
                const bool is_free = path == NetworkPath::Xdp && is_zero_copy;
                EXPECT_EQ(needs_kernel_reserve(spec_of(path, flags), is_zero_copy),
                          flags == 0 && !is_free);
            }
}

// Goal: the row holds with zero copy, whether the reserve was left alone or refused; on the
// kernel's path and in copy mode neither will do.
TEST(KernelReserve, RowCountsWhereItIsNeeded) {
    for (const std::uint32_t flags : {0U, +kAttachKeepKernelReserve}) {
        const auto row = [flags](NetworkPath path, bool is_zero_copy) {
            return kernel_reserve_row(spec_of(path, flags), kRefused, is_zero_copy);
        };
        EXPECT_TRUE(row(NetworkPath::Xdp, true).holds);
        EXPECT_FALSE(row(NetworkPath::Xdp, false).holds);
        EXPECT_FALSE(row(NetworkPath::Kernel, false).holds);
        EXPECT_FALSE(row(NetworkPath::Kernel, true).holds);
    }
    const auto raised = kernel_reserve_row(spec_of(NetworkPath::Kernel), kRaised, false);
    EXPECT_TRUE(raised.holds);
    EXPECT_EQ(raised.found.view(), "16384");
}

// Goal: an attachment over AF_XDP with zero copy and a gate that drops is of tier A with
// --keep-kernel-reserve and where vm.min_free_kbytes cannot be raised; over the kernel's TCP
// either costs tier B.
TEST(KernelReserve, TierWithoutIt) {
    const auto gate = reserve::protection("drop gate", "native", "native", true, "");
    for (const std::uint32_t flags : {0U, +kAttachKeepKernelReserve}) {
        const auto tier = [&](NetworkPath path, bool is_zero_copy) {
            reserve::Protections rows;
            rows.push(kernel_reserve_row(spec_of(path, flags), kRefused, is_zero_copy));
            return judge_tier(rows, ExportKind::Ublk, &gate, path).tier;
        };
        EXPECT_EQ(tier(NetworkPath::Xdp, true), PromiseTier::A);
        EXPECT_EQ(tier(NetworkPath::Xdp, false), PromiseTier::C);
        EXPECT_EQ(tier(NetworkPath::Kernel, false), PromiseTier::C);
    }
}

}  // namespace
}  // namespace holdfast::daemon
