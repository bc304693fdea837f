/// The memory behind one LUN: sparse, anonymous or mapped from a file that outlives the process.
/// The only part of the target below the socket loop that calls the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/errno.h"

namespace holdfast::target {

/// Owns one mapping; the memory starts as zeros, or as what the file held.
class Storage {
public:
    [[nodiscard]] static OrErrno<Storage> anonymous(std::uint64_t size_bytes);
    /// Makes the file if it is missing, and grows it to `size_bytes`.
    [[nodiscard]] static OrErrno<Storage> shared_file(const std::string& path,
                                                      std::uint64_t size_bytes);

    Storage(Storage&& other) noexcept
        : bytes_(std::exchange(other.bytes_, {})), shared_(other.shared_) {}
    Storage& operator=(Storage&&) = delete;
    ~Storage();

    [[nodiscard]] std::span<std::byte> bytes() noexcept { return bytes_; }
    /// Makes the range zeros and gives its whole pages back to the kernel.
    void punch(std::uint64_t offset, std::uint64_t length);

private:
    Storage(std::span<std::byte> bytes, bool shared) : bytes_(bytes), shared_(shared) {}

    std::span<std::byte> bytes_;
    bool shared_;
};

}  // namespace holdfast::target
