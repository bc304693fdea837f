/// The packet memory of one interface: equal frames in memory that is registered with the kernel,
/// and an account of which of them are free. No system call, no timers.
///
/// A frame is in one place at a time: free, with the kernel to be filled or sent, or held by a
/// stream. A frame that is given back twice, or that never existed, is our bug and stops the
/// process.
///
/// The frame that came home last is taken last. In copy mode some drivers (virtio_net) send out of
/// our frames all the same, and one that comes home before the card has read it must not be written
/// again at once. With a stack a guest of Linux 6.12 swapped nothing over this path, with a queue
/// it does; that this is why is concluded from the driver's source, not observed on the wire.
///
/// Limits: the count and size of frames, fixed when it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/assert.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::netpath::xdp {

/// A frame's number; its address in the UMEM is number * frame_bytes.
using FrameNumber = std::uint32_t;

struct UmemShape {
    std::uint32_t frames = 0;
    std::uint32_t frame_bytes = 2048;  ///< 2048 or 4096: what the kernel calls a chunk.
};

/// Thread: one.
class Umem {
public:
    static void add_to_plan(reserve::MemoryPlan& plan, const UmemShape& shape) noexcept;
    Umem(const UmemShape& shape, reserve::Region& region) noexcept;
    Umem(const Umem&) = delete;
    Umem& operator=(const Umem&) = delete;

    /// Empty when every frame is in use.
    [[nodiscard]] std::optional<FrameNumber> try_take() noexcept {
        if (free_count_ == 0) return {};
        const FrameNumber number = free_[first_];
        first_ = first_ + 1 == shape_.frames ? 0 : first_ + 1;
        --free_count_;
        is_free_[number] = 0;
        return number;
    }
    void give_back(FrameNumber number) noexcept {
        HF_ASSERT(number < shape_.frames && is_free_[number] == 0);
        is_free_[number] = 1;
        const std::uint64_t place = std::uint64_t{first_} + free_count_++;
        free_[place >= shape_.frames ? place - shape_.frames : place] = number;
    }

    [[nodiscard]] std::span<std::byte> frame(FrameNumber number) noexcept {
        HF_ASSERT(number < shape_.frames);
        return bytes_.subspan(std::size_t{number} * shape_.frame_bytes, shape_.frame_bytes);
    }
    [[nodiscard]] std::uint64_t address_of(FrameNumber number) const noexcept {
        return std::uint64_t{number} * shape_.frame_bytes;
    }
    /// The frame that an address of the kernel's lies in.
    [[nodiscard]] FrameNumber number_of(std::uint64_t address) const noexcept {
        HF_ASSERT(address < bytes_.size());
        return static_cast<FrameNumber>(address / shape_.frame_bytes);
    }
    /// Everything, page-aligned, to be registered.
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return bytes_; }
    [[nodiscard]] const UmemShape& shape() const noexcept { return shape_; }
    [[nodiscard]] std::uint32_t free_count() const noexcept { return free_count_; }

private:
    UmemShape shape_;
    std::span<std::byte> bytes_;
    std::span<FrameNumber> free_;  // A queue that begins at first_.
    std::span<std::uint8_t> is_free_;
    std::uint32_t first_ = 0;
    std::uint32_t free_count_ = 0;
};

}  // namespace holdfast::netpath::xdp
