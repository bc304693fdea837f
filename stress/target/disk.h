/// The blocks of one LUN, with a volatile write cache when asked for.
/// The cache is an undo log: writes land in place, and the last durable content of each block that
/// has not been flushed is kept beside it. A power cut puts it back.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "stress/target/storage.h"
#include "stress/target/wire.h"

namespace holdfast::target {

/// What a power cut takes away of the unflushed blocks. Never a part of a block.
enum class CutStyle : std::uint8_t { All, RandomSubset };

class Disk {
public:
    /// `block_bytes` divides the size of the storage.
    Disk(Storage storage, std::uint32_t block_bytes, bool cache);

    [[nodiscard]] std::uint64_t block_count() const noexcept { return block_count_; }
    [[nodiscard]] std::uint32_t block_bytes() const noexcept { return block_bytes_; }
    [[nodiscard]] bool cache() const noexcept { return cache_; }
    [[nodiscard]] std::uint64_t unflushed_blocks() const noexcept { return undo_.size(); }

    /// The present content. The range lies within the disk, here and below. Borrows.
    [[nodiscard]] Bytes view(std::uint64_t lba, std::uint64_t blocks);
    /// `data` is whole blocks. With `fua` they are durable on return.
    void write(std::uint64_t lba, Bytes data, bool fua);
    /// Zeros, durable at once: a cache may also lose no write.
    void discard(std::uint64_t lba, std::uint64_t blocks);
    void flush(std::uint64_t lba, std::uint64_t blocks);
    void flush_all();
    /// Returns how many blocks went back to older content.
    std::uint64_t power_cut(CutStyle style, SplitMix64& random);
    /// Shrinks or grows the visible size, within what the storage holds.
    void resize(std::uint64_t blocks);

private:
    [[nodiscard]] std::span<std::byte> range(std::uint64_t lba, std::uint64_t blocks);
    void keep_durable_content(std::uint64_t lba, std::uint64_t blocks);

    Storage storage_;
    std::uint32_t block_bytes_;
    bool cache_;
    std::uint64_t block_count_;
    std::unordered_map<std::uint64_t, std::vector<std::byte>> undo_;
};

}  // namespace holdfast::target
