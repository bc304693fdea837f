/// The four rings that an AF_XDP socket shares with the kernel, as views of their mappings: one
/// side writes entries and moves `producer`, the other reads them and moves `consumer`. Nothing
/// here makes a system call; no timers.
///
/// Limits: a ring has a power of two of entries. The kernel is trusted with its own index.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/assert.h"

namespace holdfast::netpath::xdp {

/// Where the parts of a ring lie in its mapping, as the kernel says.
struct RingLayout {
    std::size_t producer = 0;
    std::size_t consumer = 0;
    std::size_t flags = 0;
    std::size_t entries = 0;
};

/// What both directions have in common. The mapping outlives it.
template <class Entry>
class SharedRing {
public:
    SharedRing() noexcept = default;
    SharedRing(std::span<std::byte> mapping, const RingLayout& layout,
               std::uint32_t count) noexcept {
        HF_ASSERT(std::has_single_bit(count));
        HF_ASSERT(layout.entries + count * sizeof(Entry) <= mapping.size());
        producer_ = word_at(mapping, layout.producer);
        consumer_ = word_at(mapping, layout.consumer);
        flags_ = word_at(mapping, layout.flags);
        const auto bytes = mapping.subspan(layout.entries, count * sizeof(Entry));
        // The kernel lays them out so: whole entries on their own alignment.
        void* const first = bytes.data();
        entries_ = {static_cast<Entry*>(first), count};
    }

    /// The kernel sleeps and must be called to look at the ring: XDP_RING_NEED_WAKEUP.
    [[nodiscard]] bool needs_wakeup() const noexcept {
        constexpr std::uint32_t kNeedWakeup = 1;
        return (std::atomic_ref{*flags_}.load(std::memory_order_acquire) & kNeedWakeup) != 0;
    }
    [[nodiscard]] std::uint32_t capacity() const noexcept {
        return static_cast<std::uint32_t>(entries_.size());
    }

protected:
    [[nodiscard]] static std::uint32_t* word_at(std::span<std::byte> mapping,
                                                std::size_t offset) noexcept {
        void* const word = mapping.subspan(offset, sizeof(std::uint32_t)).data();
        return static_cast<std::uint32_t*>(word);
    }
    [[nodiscard]] Entry& entry(std::uint32_t index) noexcept {
        return entries_[index & (entries_.size() - 1)];
    }
    [[nodiscard]] static std::uint32_t load(std::uint32_t* word) noexcept {
        return std::atomic_ref{*word}.load(std::memory_order_acquire);
    }
    static void store(std::uint32_t* word, std::uint32_t value) noexcept {
        std::atomic_ref{*word}.store(value, std::memory_order_release);
    }

    std::uint32_t* producer_ = nullptr;
    std::uint32_t* consumer_ = nullptr;
    std::uint32_t* flags_ = nullptr;
    std::span<Entry> entries_;
};

/// We write: the fill ring and the transmit ring.
template <class Entry>
class ProducerRing : public SharedRing<Entry> {
public:
    using SharedRing<Entry>::SharedRing;

    /// The kernel moves its index late, after a batch: so there may be no room although it has
    /// taken enough.
    [[nodiscard]] bool has_room(std::uint32_t count = 1) noexcept {
        if (next_ - known_consumer_ + count <= this->capacity()) return true;
        known_consumer_ = this->load(this->consumer_);
        return next_ - known_consumer_ + count <= this->capacity();
    }
    /// False when the ring is full.
    [[nodiscard]] bool try_push(const Entry& entry) noexcept {
        if (!has_room()) return false;
        this->entry(next_++) = entry;
        return true;
    }
    /// Shows the kernel what was pushed. True: there was something new.
    bool publish() noexcept {
        if (published_ == next_) return false;
        published_ = next_;
        this->store(this->producer_, next_);
        return true;
    }
    /// Pushed, and not yet taken by the kernel.
    [[nodiscard]] std::uint32_t pending() noexcept {
        known_consumer_ = this->load(this->consumer_);
        return next_ - known_consumer_;
    }

private:
    std::uint32_t next_ = 0;
    std::uint32_t published_ = 0;
    std::uint32_t known_consumer_ = 0;
};

/// The kernel writes: the completion ring and the receive ring.
template <class Entry>
class ConsumerRing : public SharedRing<Entry> {
public:
    using SharedRing<Entry>::SharedRing;

    /// The next entry, which stays the kernel's to overwrite only after release().
    [[nodiscard]] std::optional<Entry> try_pop() noexcept {
        if (next_ == known_producer_) {
            known_producer_ = this->load(this->producer_);
            if (next_ == known_producer_) return {};
        }
        return this->entry(next_++);
    }
    /// Gives the places of what was popped back.
    void release() noexcept {
        if (released_ == next_) return;
        released_ = next_;
        this->store(this->consumer_, next_);
    }
    [[nodiscard]] bool empty() noexcept {
        if (next_ != known_producer_) return false;
        known_producer_ = this->load(this->producer_);
        return next_ == known_producer_;
    }

private:
    std::uint32_t next_ = 0;
    std::uint32_t released_ = 0;
    std::uint32_t known_producer_ = 0;
};

}  // namespace holdfast::netpath::xdp
