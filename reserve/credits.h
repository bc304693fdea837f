/// All-or-nothing credits over several kinds of resource (design, invariant 2): a request is
/// admitted only with everything it can need, so nobody waits inside a request for what another
/// request holds. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/assert.h"

namespace holdfast::reserve {

/// Counts of `Kinds` resources, lent out in bundles. Thread: one.
/// Outlives every Grant and never moves.
template <std::size_t Kinds>
class Credits {
public:
    /// How much of each kind, in the order that the owner defines.
    using Bundle = std::array<std::uint32_t, Kinds>;

    /// A bundle on loan. Move-only; the destructor gives it back. Empty means refused.
    class [[nodiscard]] Grant {
    public:
        Grant() noexcept = default;
        Grant(Grant&& other) noexcept
            : credits_(std::exchange(other.credits_, nullptr)), bundle_(other.bundle_) {}
        Grant& operator=(Grant&& other) noexcept {
            if (this != &other) {
                give_back();
                credits_ = std::exchange(other.credits_, nullptr);
                bundle_ = other.bundle_;
            }
            return *this;
        }
        Grant(const Grant&) = delete;
        Grant& operator=(const Grant&) = delete;
        ~Grant() { give_back(); }

        [[nodiscard]] explicit operator bool() const noexcept { return credits_ != nullptr; }
        /// Ends the loan early; the Grant is empty afterwards.
        void give_back() noexcept {
            if (credits_ != nullptr) std::exchange(credits_, nullptr)->give_back(bundle_);
        }

    private:
        friend class Credits;
        Grant(Credits& credits, const Bundle& bundle) noexcept
            : credits_(&credits), bundle_(bundle) {}

        Credits* credits_ = nullptr;
        Bundle bundle_{};
    };

    explicit Credits(const Bundle& total) noexcept
        : total_(total), free_(total), low_water_(total) {}
    Credits(const Credits&) = delete;
    Credits& operator=(const Credits&) = delete;
    ~Credits() { HF_ASSERT(is_whole()); }

    /// Everything that `need` names, or an empty Grant and no change.
    [[nodiscard]] Grant try_take(const Bundle& need) noexcept {
        for (std::size_t i = 0; i < Kinds; ++i) {
            if (need[i] > free_[i]) return {};
        }
        for (std::size_t i = 0; i < Kinds; ++i) {
            free_[i] -= need[i];
            low_water_[i] = std::min(low_water_[i], free_[i]);
        }
        return Grant{*this, need};
    }

    [[nodiscard]] const Bundle& free() const noexcept { return free_; }
    /// The smallest free count of each kind ever seen.
    [[nodiscard]] const Bundle& low_water() const noexcept { return low_water_; }
    /// True when nothing is on loan.
    [[nodiscard]] bool is_whole() const noexcept { return free_ == total_; }

private:
    void give_back(const Bundle& bundle) noexcept {
        for (std::size_t i = 0; i < Kinds; ++i) {
            HF_ASSERT(bundle[i] <= total_[i] - free_[i]);
            free_[i] += bundle[i];
        }
    }

    Bundle total_;
    Bundle free_;
    Bundle low_water_;
};

}  // namespace holdfast::reserve
