/// What the operating system refused. Only effectful code makes one.
#pragma once

#include <cerrno>
#include <expected>

namespace holdfast {

/// A value of errno. Zero never stands for an error.
class Errno {
public:
    constexpr explicit Errno(int code) noexcept : code_(code) {}
    /// The calling thread's errno, right after the call that set it.
    [[nodiscard]] static Errno last() noexcept { return Errno{errno}; }
    [[nodiscard]] constexpr int code() const noexcept { return code_; }
    /// A static text such as "Connection refused"; never allocates.
    [[nodiscard]] const char* text() const noexcept;
    constexpr bool operator==(const Errno&) const noexcept = default;

private:
    int code_;
};

/// Either a value or what the operating system refused.
template <class T>
using OrErrno = std::expected<T, Errno>;

}  // namespace holdfast
