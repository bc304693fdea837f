/// Where in a piece of address space the heap's span begins. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast::reserve::heap {

/// Bytes of address space in which a span of `bytes` finds its place, wherever the piece begins.
[[nodiscard]] constexpr std::size_t span_room(std::size_t bytes, std::size_t alignment) noexcept {
    return 2 * bytes + alignment;
}

/// The first address at or after `start` that is a multiple of `alignment` and from which `bytes`
/// bytes cross no multiple of `border`. `bytes` and `alignment` divide `border`.
[[nodiscard]] constexpr std::uintptr_t span_start(std::uintptr_t start, std::size_t bytes,
                                                  std::size_t alignment,
                                                  std::size_t border) noexcept {
    const std::uintptr_t aligned = (start + alignment - 1) / alignment * alignment;
    const std::size_t into = aligned % border;
    return into + bytes <= border ? aligned : aligned - into + border;
}

}  // namespace holdfast::reserve::heap
