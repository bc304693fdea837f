#include "daemon/io/shared_plan.h"

#include "daemon/shared/flight_reader.h"
#include "daemon/shared/shared_area.h"
#include "initiator/recorder.h"

namespace holdfast::daemon {

void add_shared_area_to_plan(reserve::MemoryPlan& plan, const AttachSpec& spec) noexcept {
    plan.add_objects<SharedArea>("status and log", 1, "shared with holdfast-control");
    plan.add_objects<initiator::RecordCell>(
        "flight recorder", flight_shape_of(spec).cells(),
        "last headers of each connection and states, to explain a loss afterwards");
}

}  // namespace holdfast::daemon
