/// Counts what the engine allocates: nothing, or the simulation fails. The counting operator new is
/// in allocation_guard.cc and serves the whole program.
#pragma once

#include <cstdint>

namespace holdfast::sim {

/// Calls of operator new while an EngineScope was open and no ForeignScope in it.
[[nodiscard]] std::uint64_t engine_allocations();

/// From here on it is the engine that runs.
class EngineScope {
public:
    EngineScope();
    ~EngineScope();
    EngineScope(const EngineScope&) = delete;
    EngineScope& operator=(const EngineScope&) = delete;
};

/// Inside an EngineScope: the simulation itself again.
class ForeignScope {
public:
    ForeignScope();
    ~ForeignScope();
    ForeignScope(const ForeignScope&) = delete;
    ForeignScope& operator=(const ForeignScope&) = delete;
};

}  // namespace holdfast::sim
