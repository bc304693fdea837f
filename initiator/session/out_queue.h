/// The data that targets have asked for, or that we owe them unasked, in the order in which it goes
/// out. RFC 7143 sections 4.2.5.2, 11.7 and 11.8.
///
/// Pure; no timers. Limit: for each task kR2tsMax R2Ts and one unsolicited burst, so it never fills
/// up: commands go out only while it is empty, hence no slot starts anew with old entries left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "initiator/pdu/types.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::initiator {

/// Most R2Ts that one task may have outstanding; MaxOutstandingR2T is never offered above it.
inline constexpr std::uint16_t kR2tsMax = OperationalWish::kOutstandingR2tMax;

/// One sequence of Data-Out. Stale when its task has ended.
struct OutSequence {
    Itt itt{};
    Ttt ttt = kTttReserved;  ///< Reserved: unsolicited.
    std::uint32_t offset = 0;
    std::uint32_t left_bytes = 0;
    DataSn data_sn{};
};

class OutQueue {
public:
    /// For `count` queues.
    static void add_to_plan(reserve::MemoryPlan& plan, std::uint16_t depth,
                            std::uint8_t count) noexcept {
        const std::size_t bytes = places(depth) * sizeof(OutSequence);
        const std::size_t units = (bytes + reserve::kCarveUnitBytes - 1) / reserve::kCarveUnitBytes;
        plan.add({.name = "Data-Out sequences",
                  .count = count,
                  .each = ByteCount{units * reserve::kCarveUnitBytes},
                  .reason = "every R2T and one burst a tag"});
    }
    OutQueue(reserve::Region& region, std::uint16_t depth) noexcept
        : cells_(region.carve<OutSequence>(places(depth))) {}

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] OutSequence& front() noexcept {
        HF_ASSERT(size_ > 0);
        return cells_[head_];
    }
    void pop() noexcept {
        HF_ASSERT(size_ > 0);
        head_ = head_ + 1 == cells_.size() ? 0 : head_ + 1;
        --size_;
    }
    void push(const OutSequence& sequence) noexcept {
        HF_ASSERT(size_ < cells_.size());
        cells_[(head_ + size_) % cells_.size()] = sequence;
        ++size_;
    }
    void clear() noexcept { size_ = 0; }

private:
    [[nodiscard]] static constexpr std::size_t places(std::uint16_t depth) noexcept {
        return std::size_t{depth} * (kR2tsMax + 1);
    }
    std::span<OutSequence> cells_;
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

}  // namespace holdfast::initiator
