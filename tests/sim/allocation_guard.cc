#include "tests/sim/allocation_guard.h"

#include <cstdlib>
#include <new>

namespace {

int engine_depth = 0;
std::uint64_t allocations = 0;

}  // namespace

void* operator new(std::size_t bytes) {
    if (engine_depth > 0) ++allocations;
    if (void* got = std::malloc(bytes == 0 ? 1 : bytes)) return got;
    std::abort();
}
void* operator new[](std::size_t bytes) {
    return operator new(bytes);
}
void operator delete(void* place) noexcept {
    std::free(place);
}
void operator delete(void* place, std::size_t) noexcept {
    std::free(place);
}
void operator delete[](void* place) noexcept {
    std::free(place);
}
void operator delete[](void* place, std::size_t) noexcept {
    std::free(place);
}

namespace holdfast::sim {

std::uint64_t engine_allocations() {
    return allocations;
}

EngineScope::EngineScope() {
    ++engine_depth;
}
EngineScope::~EngineScope() {
    --engine_depth;
}
ForeignScope::ForeignScope() {
    --engine_depth;
}
ForeignScope::~ForeignScope() {
    ++engine_depth;
}

}  // namespace holdfast::sim
