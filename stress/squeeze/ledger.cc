#include "stress/squeeze/ledger.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::stress {

std::uint64_t Ledger::write_sent(std::size_t block) noexcept {
    return ++blocks_[block].sent;
}

void Ledger::write_acknowledged(std::size_t block, bool fua) noexcept {
    Block& it = blocks_[block];
    HF_ASSERT(it.acknowledged < it.sent);
    it.acknowledged = it.sent;
    if (fua)
        it.promised = it.sent;
    else
        unflushed_.push_back(block);
}

void Ledger::flush_sent() {
    covered_.clear();
    for (const std::size_t block : unflushed_)
        covered_.push_back({.block = block, .generation = blocks_[block].acknowledged});
    // They stay on the list until the flush is acknowledged: it may fail.
}

void Ledger::flush_acknowledged() noexcept {
    for (const auto& [block, generation] : covered_) {
        Block& it = blocks_[block];
        HF_ASSERT(generation <= it.acknowledged);
        it.promised = std::max(it.promised, generation);
    }
    HF_ASSERT(covered_.size() <= unflushed_.size());
    unflushed_.erase(unflushed_.begin(),
                     unflushed_.begin() + static_cast<std::ptrdiff_t>(covered_.size()));
    covered_.clear();
}

AfterCut Ledger::judge(std::size_t block, std::uint64_t generation) const noexcept {
    using enum AfterCut;
    const Block& it = blocks_[block];
    if (generation > it.sent) return Unsent;
    if (generation == it.sent) return Newest;
    return generation < it.promised ? Lost : RolledBack;
}

std::uint64_t Ledger::newest(std::size_t block) const noexcept {
    return blocks_[block].sent;
}

std::size_t Ledger::promised_count() const noexcept {
    const auto promised = [](const Block& it) { return it.promised != 0; };
    return static_cast<std::size_t>(std::ranges::count_if(blocks_, promised));
}

}  // namespace holdfast::stress
