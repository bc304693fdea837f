/// Memory that the kernel may take away and must bring back: anonymous, or a shared file mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/errno.h"
#include "stress/squeeze/page.h"

namespace holdfast::stress {

/// Owns one mapping of whole pages. Move-only; the destructor unmaps.
class Mapping {
public:
    /// Private memory, backed by swap only.
    [[nodiscard]] static OrErrno<Mapping> anonymous(std::size_t page_count) noexcept;
    /// Shared memory over the file at `path`, which is created and made long enough. What is
    /// written here reaches the file whenever the kernel wants the memory back.
    [[nodiscard]] static OrErrno<Mapping> of_file(const char* path,
                                                  std::size_t page_count) noexcept;

    Mapping(Mapping&& other) noexcept : words_(std::exchange(other.words_, {})) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(words_, other.words_);
        return *this;
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    [[nodiscard]] std::size_t page_count() const noexcept { return words_.size() / kPageWords; }
    /// Page `number` < page_count(). Touching it may sleep for as long as its disk takes.
    [[nodiscard]] PageWords page(std::size_t number) const noexcept {
        return words_.subspan(number * kPageWords, kPageWords);
    }

private:
    explicit Mapping(std::span<std::uint64_t> words) noexcept : words_(words) {}
    static OrErrno<Mapping> map(int fd, int flags, std::size_t page_count) noexcept;

    std::span<std::uint64_t> words_;
};

}  // namespace holdfast::stress
