/// Arguments of the kernel's and of libbpf's. Pure.
#pragma once

#include <cstring>
#include <type_traits>

namespace holdfast::netpath::classifier {

/// Zero in every byte: `{}` may leave padding and what lies beyond the first member of a union, and
/// both are refused with EINVAL.
template <class T>
[[nodiscard]] T zeroed() noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T made;  // NOLINT(cppcoreguidelines-pro-type-member-init): the next line sets every byte.
    std::memset(&made, 0, sizeof made);
    return made;
}

}  // namespace holdfast::netpath::classifier
