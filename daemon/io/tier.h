/// Which promise the machine can keep for one attachment, from what was read back. Pure.
#pragma once

#include <string_view>

#include "base/fixed_vector.h"
#include "daemon/shared/profile.h"
#include "reserve/protection.h"

namespace holdfast::daemon {

struct TierVerdict {
    PromiseTier tier = PromiseTier::C;
    FixedVector<FixedString<95>, 8> reasons;  ///< Why not a better one.
};

/// Tier A needs the reserved network path without copies, so the kernel path gives B at best; a
/// copying one has a row that does not hold. `gate`: the classifier's row, which only tier A needs;
/// null without one. `path`: Kernel or Xdp.
[[nodiscard]] TierVerdict judge_tier(const reserve::Protections& rows, ExportKind exported,
                                     const reserve::Protection* gate = nullptr,
                                     NetworkPath path = NetworkPath::Kernel) noexcept;

}  // namespace holdfast::daemon
