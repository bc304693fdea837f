/// Containers whose capacity is part of their type: they never allocate, and say so when they are
/// full.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "base/assert.h"

namespace holdfast {

/// A vector of at most N elements, kept in place. T is cheap to default-construct.
template <class T, std::size_t N>
class FixedVector {
public:
    /// False when full; nothing is stored then.
    [[nodiscard]] constexpr bool try_push(const T& value) noexcept {
        if (size_ == N) return false;
        cells_[size_++] = value;
        return true;
    }
    /// For callers that have checked the room: full is our bug.
    constexpr void push(const T& value) noexcept { HF_ASSERT(try_push(value)); }
    constexpr void pop() noexcept {
        HF_ASSERT(size_ > 0);
        --size_;
    }
    constexpr void clear() noexcept { size_ = 0; }

    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr bool full() const noexcept { return size_ == N; }
    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return N; }
    [[nodiscard]] constexpr T& operator[](std::size_t i) noexcept {
        HF_ASSERT(i < size_);
        return cells_[i];
    }
    [[nodiscard]] constexpr const T& operator[](std::size_t i) const noexcept {
        HF_ASSERT(i < size_);
        return cells_[i];
    }
    [[nodiscard]] constexpr std::span<T> span() noexcept { return std::span{cells_}.first(size_); }
    [[nodiscard]] constexpr std::span<const T> span() const noexcept {
        return std::span{cells_}.first(size_);
    }
    [[nodiscard]] constexpr auto begin() noexcept { return span().begin(); }
    [[nodiscard]] constexpr auto end() noexcept { return span().end(); }
    [[nodiscard]] constexpr auto begin() const noexcept { return span().begin(); }
    [[nodiscard]] constexpr auto end() const noexcept { return span().end(); }

private:
    std::array<T, N> cells_{};
    std::size_t size_ = 0;
};

/// A queue of at most N elements, first in, first out.
template <class T, std::size_t N>
class FixedQueue {
public:
    [[nodiscard]] constexpr bool try_push(const T& value) noexcept {
        if (size_ == N) return false;
        cells_[(head_ + size_) % N] = value;
        ++size_;
        return true;
    }
    constexpr void push(const T& value) noexcept { HF_ASSERT(try_push(value)); }
    [[nodiscard]] constexpr T& front() noexcept {
        HF_ASSERT(size_ > 0);
        return cells_[head_];
    }
    /// The i-th from the front.
    [[nodiscard]] constexpr const T& at(std::size_t i) const noexcept {
        HF_ASSERT(i < size_);
        return cells_[(head_ + i) % N];
    }
    constexpr T pop() noexcept {
        HF_ASSERT(size_ > 0);
        const T taken = cells_[head_];
        head_ = (head_ + 1) % N;
        --size_;
        return taken;
    }
    constexpr void clear() noexcept { size_ = 0; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr bool full() const noexcept { return size_ == N; }

private:
    std::array<T, N> cells_{};
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

/// Text of at most N bytes, kept in place.
template <std::size_t N>
class FixedString {
public:
    constexpr FixedString() noexcept = default;
    /// False when the text does not fit; the old text stays then.
    [[nodiscard]] constexpr bool try_assign(std::string_view text) noexcept {
        if (text.size() > N) return false;
        size_ = 0;
        for (const char c : text) cells_[size_++] = c;
        return true;
    }
    [[nodiscard]] constexpr bool try_append(std::string_view text) noexcept {
        if (text.size() > N - size_) return false;
        for (const char c : text) cells_[size_++] = c;
        return true;
    }
    /// Keeps what fits.
    constexpr void assign_cut(std::string_view text) noexcept {
        const bool fits = try_assign(text.substr(0, N));
        HF_ASSERT(fits);
    }
    constexpr void clear() noexcept { size_ = 0; }
    [[nodiscard]] constexpr std::string_view view() const noexcept {
        return {cells_.data(), size_};
    }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return N; }
    constexpr bool operator==(const FixedString& other) const noexcept {
        return view() == other.view();
    }

private:
    std::array<char, N> cells_{};
    std::size_t size_ = 0;
};

}  // namespace holdfast
