/// The line of the plan for what an I/O process shares with holdfast-control. Apart from the
/// process itself, because the client prints the plan and must not link the process.
#pragma once

#include "daemon/shared/attach_spec.h"
#include "reserve/plan.h"

namespace holdfast::daemon {

/// Status, log and flight recorder.
void add_shared_area_to_plan(reserve::MemoryPlan& plan, const AttachSpec& spec) noexcept;

}  // namespace holdfast::daemon
