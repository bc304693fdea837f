/// What a disk has promised about each block: which generation may be there after a power cut, and
/// which must. Pure.
///
/// A write is promised by its own acknowledgement when it was sent with FUA, otherwise by the
/// acknowledgement of a flush that was sent after the write had been acknowledged. A block that was
/// overwritten later may show any generation from the promised one to the last one sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace holdfast::stress {

/// How the block on the disk stands to what the disk had promised.
enum class AfterCut : std::uint8_t {
    Newest,      // the last generation that was sent
    RolledBack,  // an older one, but nothing promised is missing: a cache may do that
    Lost,        // older than what was promised: the disk lied
    Unsent,      // newer than anything that was sent: not ours
};

/// One thread's own. At most one write of a block is in flight at a time.
class Ledger {
public:
    explicit Ledger(std::size_t block_count) : blocks_(block_count) {}

    /// A write of `block` is about to be sent. Returns the generation it carries, from 1 on.
    std::uint64_t write_sent(std::size_t block) noexcept;
    /// The write of `block` has been acknowledged; `fua`: the acknowledgement is a promise.
    void write_acknowledged(std::size_t block, bool fua) noexcept;
    /// A flush is about to be sent: it covers what has been acknowledged by now.
    void flush_sent();
    /// The last flush that was sent has been acknowledged.
    void flush_acknowledged() noexcept;

    /// Judges block `block` after the cut. `generation` 0: the disk shows it as never written.
    [[nodiscard]] AfterCut judge(std::size_t block, std::uint64_t generation) const noexcept;
    /// The last generation that was sent for `block`; 0 for none.
    [[nodiscard]] std::uint64_t newest(std::size_t block) const noexcept;
    /// Blocks about which there is a promise.
    [[nodiscard]] std::size_t promised_count() const noexcept;
    [[nodiscard]] std::size_t block_count() const noexcept { return blocks_.size(); }

private:
    struct Block {
        std::uint64_t sent = 0;
        std::uint64_t acknowledged = 0;
        std::uint64_t promised = 0;
    };
    struct Covered {
        std::size_t block = 0;
        std::uint64_t generation = 0;
    };
    std::vector<Block> blocks_;
    std::vector<std::size_t> unflushed_;  // acknowledged without FUA since the last flush was sent
    std::vector<Covered> covered_;        // by the flush in flight
};

}  // namespace holdfast::stress
