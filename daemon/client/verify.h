/// `holdfast verify`: writes blocks that know where they belong, reads them back, and says what is
/// wrong with the first that differs.
#pragma once

#include <cstdint>

#include "daemon/client/unit_port.h"
#include "daemon/client/unit_range.h"

namespace holdfast::daemon {

struct VerifyPlan {
    WantedRange range{};
    std::uint64_t seed = 1;  ///< The generation that the blocks carry.
    bool writes = true;      ///< False: only check what an earlier run wrote.
};

struct VerifyResult {
    std::uint64_t bytes = 0;
};

/// Fails with ExitCode::Mismatch at the first difference.
[[nodiscard]] OrFailure<VerifyResult> verify(UnitPort& port, const VerifyPlan& plan);

}  // namespace holdfast::daemon
