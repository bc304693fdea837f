/// Finds out what a machine allows, by trying it and putting it back. Effectful. Thread: any, but
/// the calling thread must not be locked down or armed yet.
#pragma once

#include "reserve/tier.h"

namespace holdfast::reserve {

/// Everything of HostFacts that this process can find out for itself; `reserve_fits`,
/// `has_drop_gate` and `has_reserved_path` keep their defaults for others to fill in.
[[nodiscard]] HostFacts probe_host() noexcept;

}  // namespace holdfast::reserve
