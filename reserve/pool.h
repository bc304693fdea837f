/// Typed pools: a fixed number of objects, carved once, lent out through move-only handles.
/// Pure. The free list is a Boost.Intrusive singly linked list whose hooks live in the objects'
/// cells, so taking and giving back are a few instructions and need no memory.
#pragma once

#include <boost/intrusive/slist.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::reserve {

template <class T>
class Pool;

/// One object on loan from a Pool. Move-only; the destructor gives the object back.
/// An empty Slot means the pool had none left: the caller must queue or refuse, never wait.
template <class T>
class [[nodiscard]] Slot {
public:
    Slot() noexcept = default;
    Slot(Slot&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), index_(other.index_) {}
    Slot& operator=(Slot&& other) noexcept {
        if (this != &other) {
            give_back();
            pool_ = std::exchange(other.pool_, nullptr);
            index_ = other.index_;
        }
        return *this;
    }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot() { give_back(); }

    [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }
    [[nodiscard]] T& operator*() const noexcept {
        HF_ASSERT(pool_ != nullptr);
        return pool_->object(index_);
    }
    [[nodiscard]] T* operator->() const noexcept { return &**this; }
    /// Which object of the pool this is: 0 .. capacity - 1, stable while on loan.
    [[nodiscard]] std::uint32_t index() const noexcept {
        HF_ASSERT(pool_ != nullptr);
        return index_;
    }
    /// Ends the loan early; the Slot is empty afterwards.
    void give_back() noexcept {
        if (pool_ != nullptr) std::exchange(pool_, nullptr)->give_back(index_);
    }

private:
    friend class Pool<T>;
    Slot(Pool<T>& pool, std::uint32_t index) noexcept : pool_(&pool), index_(index) {}

    Pool<T>* pool_ = nullptr;
    std::uint32_t index_ = 0;
};

/// `count` objects of type T. They are constructed once and keep the state in which the last
/// borrower left them. Thread: one, the thread of the session that owns the pool. A pool outlives
/// every Slot and never moves.
template <class T>
class Pool {
public:
    static void add_to_plan(MemoryPlan& plan, std::string_view name, std::uint64_t count,
                            std::string_view reason) noexcept {
        plan.add_objects<Cell>(name, count, reason);
    }

    Pool(Region& region, std::uint32_t count) noexcept
        : cells_(region.carve<Cell>(count)), free_count_(count), low_water_(count) {
        for (std::uint32_t i = count; i > 0; --i) free_.push_front(cells_[i - 1]);
        for (std::uint32_t i = 0; i < count; ++i) cells_[i].index = i;
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
        HF_ASSERT(is_whole());
        free_.clear();
    }

    /// The object given back last, or an empty Slot.
    [[nodiscard]] Slot<T> try_take() noexcept {
        if (free_.empty()) return {};
        Cell& cell = free_.front();
        free_.pop_front();
        HF_ASSERT(!cell.on_loan && free_count_ > 0);
        cell.on_loan = true;
        --free_count_;
        if (free_count_ < low_water_) low_water_ = free_count_;
        return Slot<T>{*this, cell.index};
    }

    [[nodiscard]] std::uint32_t capacity() const noexcept {
        return static_cast<std::uint32_t>(cells_.size());
    }
    [[nodiscard]] std::uint32_t free_count() const noexcept { return free_count_; }
    /// The smallest free_count() ever seen.
    [[nodiscard]] std::uint32_t low_water() const noexcept { return low_water_; }
    /// True when every object is home.
    [[nodiscard]] bool is_whole() const noexcept { return free_count_ == capacity(); }

private:
    friend class Slot<T>;

    using Hook = boost::intrusive::slist_base_hook<
        boost::intrusive::link_mode<boost::intrusive::normal_link>>;
    struct Cell : Hook {
        static_assert(std::is_nothrow_default_constructible_v<T>);
        Cell() noexcept {}  // The hook's own constructor does not say noexcept.
        T object{};
        std::uint32_t index = 0;
        bool on_loan = false;
    };

    T& object(std::uint32_t index) noexcept {
        HF_ASSERT(cells_[index].on_loan);
        return cells_[index].object;
    }
    void give_back(std::uint32_t index) noexcept {
        Cell& cell = cells_[index];
        HF_ASSERT(cell.on_loan);
        cell.on_loan = false;
        free_.push_front(cell);
        ++free_count_;
        HF_ASSERT(free_count_ <= capacity());
    }

    std::span<Cell> cells_;
    boost::intrusive::slist<Cell, boost::intrusive::constant_time_size<false>> free_;
    std::uint32_t free_count_;
    std::uint32_t low_water_;
};

}  // namespace holdfast::reserve
