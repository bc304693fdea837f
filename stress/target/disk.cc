#include "stress/target/disk.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::target {

Disk::Disk(Storage storage, std::uint32_t block_bytes, bool cache)
    : storage_(std::move(storage)),
      block_bytes_(block_bytes),
      cache_(cache),
      block_count_(storage_.bytes().size() / block_bytes) {
    HF_ASSERT(block_bytes != 0);
    HF_ASSERT(block_count_ != 0);
}

std::span<std::byte> Disk::range(std::uint64_t lba, std::uint64_t blocks) {
    return storage_.bytes().subspan(lba * block_bytes_, blocks * block_bytes_);
}

Bytes Disk::view(std::uint64_t lba, std::uint64_t blocks) {
    return range(lba, blocks);
}

void Disk::keep_durable_content(std::uint64_t lba, std::uint64_t blocks) {
    for (std::uint64_t block = lba; block < lba + blocks; ++block) {
        const auto [kept, is_new] = undo_.try_emplace(block);
        if (!is_new) continue;
        const auto content = range(block, 1);
        kept->second.assign(content.begin(), content.end());
    }
}

void Disk::write(std::uint64_t lba, Bytes data, bool fua) {
    const std::uint64_t blocks = data.size() / block_bytes_;
    HF_ASSERT(data.size() % block_bytes_ == 0);
    if (cache_ && !fua) keep_durable_content(lba, blocks);
    std::ranges::copy(data, range(lba, blocks).begin());
    if (fua) flush(lba, blocks);
}

void Disk::discard(std::uint64_t lba, std::uint64_t blocks) {
    storage_.punch(lba * block_bytes_, blocks * block_bytes_);
    flush(lba, blocks);
}

void Disk::flush(std::uint64_t lba, std::uint64_t blocks) {
    if (undo_.empty()) return;
    if (blocks > undo_.size()) {
        std::erase_if(undo_, [&](const auto& kept) {
            return kept.first >= lba && kept.first - lba < blocks;
        });
        return;
    }
    for (std::uint64_t block = lba; block < lba + blocks; ++block) undo_.erase(block);
}

void Disk::flush_all() {
    undo_.clear();
}

std::uint64_t Disk::power_cut(CutStyle style, SplitMix64& random) {
    // In order of address, so that the same seed loses the same blocks everywhere.
    std::vector<std::uint64_t> unflushed;
    unflushed.reserve(undo_.size());
    for (const auto& kept : undo_) unflushed.push_back(kept.first);
    std::ranges::sort(unflushed);
    std::uint64_t lost = 0;
    for (const std::uint64_t block : unflushed) {
        if (style == CutStyle::RandomSubset && random.one_in(2)) continue;
        std::ranges::copy(undo_.at(block), range(block, 1).begin());
        ++lost;
    }
    undo_.clear();
    return lost;
}

void Disk::resize(std::uint64_t blocks) {
    block_count_ = std::min(blocks, std::uint64_t{storage_.bytes().size() / block_bytes_});
}

}  // namespace holdfast::target
