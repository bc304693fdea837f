/// The small files through which the kernel tells and takes facts (/proc, /sys), without
/// allocation. Effectful. Thread: any; nothing is shared.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/errno.h"
#include "base/unique_fd.h"

namespace holdfast::reserve {

/// As much of the file as fits `into`, without the line ends behind it. Borrows `into`.
[[nodiscard]] OrErrno<std::string_view> read_kernel_file(const char* path,
                                                         std::span<char> into) noexcept;
/// One write of the whole text; a short one is EIO.
[[nodiscard]] OrErrno<void> write_kernel_file(const char* path, std::string_view text) noexcept;

/// A file that holds one decimal number. Anything else in it is EINVAL.
[[nodiscard]] OrErrno<std::int64_t> read_kernel_number(const char* path) noexcept;
[[nodiscard]] OrErrno<void> write_kernel_number(const char* path, std::int64_t value) noexcept;

/// The number behind `key` in a file of "key: number unit" lines, such as
/// ("/proc/self/status", "VmLck"). ENOENT when no line has the key.
[[nodiscard]] OrErrno<std::uint64_t> read_kernel_field(const char* path,
                                                       std::string_view key) noexcept;

/// Reads a file line by line through a buffer of its own.
class KernelLines {
public:
    /// Longer lines come in pieces; the kernel's are shorter, except for long paths.
    static constexpr std::size_t kLineBytesMax = 4096;

    [[nodiscard]] OrErrno<void> open(const char* path) noexcept;
    /// The next line without its end, valid until the next call. Empty at the end of the file or
    /// when reading fails; error() tells the two apart.
    [[nodiscard]] std::optional<std::string_view> next() noexcept;
    [[nodiscard]] std::optional<Errno> error() const noexcept { return error_; }

private:
    void fill() noexcept;

    UniqueFd fd_;
    std::array<char, kLineBytesMax> cells_{};
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool at_end_ = false;
    std::optional<Errno> error_;
};

}  // namespace holdfast::reserve
