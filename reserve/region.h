/// Bump carving out of a span that somebody else owns (an Arena, or a plain buffer in tests).
/// Pure. What was carved is never given back; objects carved here are never destroyed by Region.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/strong.h"
#include "reserve/plan.h"

namespace holdfast::reserve {

/// Hands out pieces of one span, front to back. Thread: the one that sets up; never after arm().
/// Running out is our bug: the plan was not the sum of what is carved.
class Region {
public:
    /// Borrows `bytes` for the life of everything carved. Starts at the first multiple of
    /// kCarveUnitBytes.
    explicit Region(std::span<std::byte> bytes) noexcept;
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    Region(Region&&) noexcept = default;
    Region& operator=(Region&&) noexcept = default;

    /// `count` value-initialised objects.
    template <class T>
    [[nodiscard]] std::span<T> carve(std::size_t count) noexcept {
        static_assert(std::is_nothrow_default_constructible_v<T>);
        HF_ASSERT(count <= left_.size() / sizeof(T));
        const auto raw = carve_bytes(count * sizeof(T), alignof(T));
        T* const first = std::launder(static_cast<T*>(static_cast<void*>(raw.data())));
        std::uninitialized_value_construct_n(first, count);
        return std::span<T>{first, count};
    }

    /// One object made from `arguments`.
    template <class T, class... Arguments>
    [[nodiscard]] T& make(Arguments&&... arguments) noexcept {
        static_assert(std::is_nothrow_constructible_v<T, Arguments...>);
        void* const place = carve_bytes(sizeof(T), alignof(T)).data();
        return *::new (place) T(std::forward<Arguments>(arguments)...);
    }

    /// Bytes as they are in the underlying span. `alignment` is a power of two, up to a page.
    [[nodiscard]] std::span<std::byte> carve_bytes(std::size_t bytes,
                                                   std::size_t alignment) noexcept;

    /// Given out so far, padding included.
    [[nodiscard]] ByteCount used() const noexcept { return ByteCount{used_}; }
    [[nodiscard]] ByteCount left() const noexcept { return ByteCount{left_.size()}; }

private:
    std::span<std::byte> left_;
    std::size_t used_ = 0;
};

}  // namespace holdfast::reserve
