#include "netpath/tcp/send_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"

namespace holdfast::netpath::tcp {

void SendBuffer::add_to_plan(reserve::MemoryPlan& plan, std::uint32_t count) noexcept {
    plan.add_objects<Record>("TCP send records", count, "one a piece that the sender lends");
}

SendBuffer::SendBuffer(reserve::Region& region, std::uint32_t count) noexcept
    : records_(region.carve<Record>(count)) {
    HF_ASSERT(std::has_single_bit(count));
}

void SendBuffer::start(Seq first) noexcept {
    head_ = size_ = returned_ = 0;
    begin_ = end_ = first;
}

bool SendBuffer::try_push(std::span<const std::byte> bytes, PieceTag tag) noexcept {
    HF_ASSERT(!bytes.empty());
    if (size_ == records_.size()) return false;
    const std::uint32_t held = end_.since(begin_);
    if (bytes.size() > kBytesMax - held) return false;
    records_[(head_ + size_) & static_cast<std::uint32_t>(records_.size() - 1)] = {
        .bytes = bytes, .begin = end_, .tag = tag};
    ++size_;
    end_ = end_.plus(static_cast<std::uint32_t>(bytes.size()));
    return true;
}

/// The index of the record that holds `seq`, among those that are not returned.
std::uint32_t SendBuffer::find(Seq seq) const noexcept {
    std::uint32_t low = returned_;
    std::uint32_t high = size_;
    while (low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (seq.precedes(at(middle).end())) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void SendBuffer::copy(Seq from, std::span<std::byte> to) const noexcept {
    HF_ASSERT(from.since(begin_) + to.size() <= end_.since(begin_));
    for (std::uint32_t i = find(from); !to.empty(); ++i) {
        HF_ASSERT(i < size_);
        const Record& record = at(i);
        const auto rest = record.bytes.subspan(from.since(record.begin));
        const std::size_t count = std::min(rest.size(), to.size());
        std::memcpy(to.data(), rest.data(), count);
        to = to.subspan(count);
        from = from.plus(static_cast<std::uint32_t>(count));
    }
}

void SendBuffer::acknowledge(Seq una) noexcept {
    HF_ASSERT(una.since(begin_) <= end_.since(begin_));
    begin_ = una;
    while (returned_ < size_ && at(returned_).end().precedes_or_is(una)) ++returned_;
}

std::optional<PieceTag> SendBuffer::poll_returned() noexcept {
    if (returned_ == 0) return {};
    const PieceTag tag = at(0).tag;
    head_ = (head_ + 1) & static_cast<std::uint32_t>(records_.size() - 1);
    --size_;
    --returned_;
    return tag;
}

}  // namespace holdfast::netpath::tcp
