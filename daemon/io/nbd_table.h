/// The requests of all NBD clients. Pure.
///
/// A request takes as many tags as its data needs, all at once or none at all, so no request waits
/// inside another one's way. The tags of a request form a chain; the first one speaks for it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "daemon/io/nbd_wire.h"
#include "initiator/request.h"

namespace holdfast::daemon {

/// One tag: a buffer and the state of what it is used for.
struct NbdTask {
    static constexpr std::uint16_t kNone = 0xffff;

    // Of every tag.
    std::uint16_t next = kNone;  ///< Next of the chain, or of the free list.
    std::uint16_t first = kNone;
    std::uint32_t bytes = 0;   ///< Data in this tag's buffer.
    std::uint64_t offset = 0;  ///< On the device, bytes.
    std::uint8_t client = 0;
    // Of the first one.
    nbd::Command command = nbd::Command::Read;
    bool force_unit_access = false;
    bool no_hole = false;
    bool flushing = false;         ///< A bulk request's FUA is under way.
    std::uint16_t open_count = 0;  ///< Pieces that are not done yet.
    std::uint32_t error = 0;       ///< As on the wire.
    std::uint64_t bulk_left = 0;   ///< Trim, WriteZeroes: bytes still to be asked for.
    std::uint16_t next_reply = kNone;
    std::array<std::byte, nbd::kReplyBytes> reply{};
};

/// One piece of work for the engine. Bytes, not blocks.
struct NbdWork {
    std::uint16_t tag = 0;
    initiator::RequestKind kind = initiator::RequestKind::Read;
    bool force_unit_access = false;
    bool may_unmap = true;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
};

/// What the clients are told and held to. Bytes.
struct NbdUnit {
    std::uint64_t size = 0;
    std::uint32_t block = 512;
    std::uint32_t preferred = 4096;
    std::uint32_t piece_max = 0;  ///< Data of one tag.
    std::uint64_t bulk_max = 0;   ///< Of one Trim or WriteZeroes piece.
    bool read_only = false;
    bool rotational = false;
    bool can_trim = false;
    bool can_write_zeroes = false;
    FixedString<32> name;  ///< The export; the empty name means it too.
};

/// The pool of tags and the queue of work. Thread: the loop's.
class NbdTable {
public:
    static constexpr std::uint16_t kTagsMax = 256;

    /// `buffers`: tags * piece_bytes, tag after tag.
    NbdTable(std::uint16_t tags, std::span<std::byte> buffers) noexcept
        : tags_(tags), free_count_(tags), buffers_(buffers) {
        HF_ASSERT(tags > 0 && tags <= kTagsMax && buffers.size() % tags == 0);
        for (std::uint16_t tag = 0; tag < tags; ++tag)
            tasks_[tag].next =
                tag + 1U < tags ? static_cast<std::uint16_t>(tag + 1) : NbdTask::kNone;
    }

    [[nodiscard]] std::uint16_t tags() const noexcept { return tags_; }
    [[nodiscard]] std::uint16_t free_count() const noexcept { return free_count_; }

    /// A chain of `count` fresh tasks; empty when there are not that many.
    [[nodiscard]] std::optional<std::uint16_t> try_take(std::uint16_t count) noexcept {
        HF_ASSERT(count > 0);
        if (count > free_count_) return {};
        const std::uint16_t first = free_;
        std::uint16_t last = first;
        for (std::uint16_t tag = first, i = 0; i < count; ++i) {
            const std::uint16_t next = tasks_[tag].next;
            tasks_[tag] = NbdTask{};
            tasks_[tag].first = first;
            tasks_[tag].next = next;
            last = tag;
            tag = next;
        }
        free_ = tasks_[last].next;
        tasks_[last].next = NbdTask::kNone;
        free_count_ = static_cast<std::uint16_t>(free_count_ - count);
        return first;
    }
    /// Gives a whole chain back; returns its length.
    std::uint16_t give_back(std::uint16_t first) noexcept {
        std::uint16_t count = 0;
        for (std::uint16_t tag = first; tag != NbdTask::kNone;) {
            const std::uint16_t next = tasks_[tag].next;
            HF_ASSERT(tasks_[tag].first == first);
            tasks_[tag].first = NbdTask::kNone;
            tasks_[tag].next = free_;
            free_ = tag;
            ++count;
            tag = next;
        }
        free_count_ = static_cast<std::uint16_t>(free_count_ + count);
        HF_ASSERT(free_count_ <= tags_);
        return count;
    }

    [[nodiscard]] NbdTask& operator[](std::uint16_t tag) noexcept {
        HF_ASSERT(tag < tags_);
        return tasks_[tag];
    }
    [[nodiscard]] std::span<std::byte> buffer(std::uint16_t tag) noexcept {
        HF_ASSERT(tag < tags_);
        const std::size_t each = buffers_.size() / tags_;
        return buffers_.subspan(tag * each, each);
    }

    void push_work(const NbdWork& work) noexcept { work_.push(work); }
    [[nodiscard]] std::optional<NbdWork> poll_work() noexcept {
        if (work_.empty()) return {};
        return work_.pop();
    }

private:
    std::uint16_t tags_;
    std::uint16_t free_ = 0;
    std::uint16_t free_count_;
    std::span<std::byte> buffers_;
    std::array<NbdTask, kTagsMax> tasks_{};
    FixedQueue<NbdWork, kTagsMax> work_;
};

}  // namespace holdfast::daemon
