/// The arena: one anonymous mapping with guard pages on both sides, touched and locked before it is
/// handed out, and carved through one Region. Effectful.
#pragma once

#include <cstddef>
#include <span>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/strong.h"
#include "reserve/region.h"

namespace holdfast::reserve {

/// Owns the mapping; unmaps it when destroyed. Thread: the one that sets up, before arm().
class Arena {
public:
    /// Maps `wanted` bytes, rounded up to whole pages, with small pages only (transparent huge
    /// pages off, so that the figure of the plan stays exact). A forked child does not get them:
    /// the kernel would copy every pinned page for it. ENOMEM and EPERM also mean that
    /// RLIMIT_MEMLOCK is too small and CAP_IPC_LOCK is missing.
    [[nodiscard]] static OrErrno<Arena> map(ByteCount wanted) noexcept;

    Arena(Arena&& other) noexcept;
    Arena& operator=(Arena&& other) noexcept;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena();

    [[nodiscard]] Region& region() noexcept { return region_; }
    /// What to register with io_uring, so that the kernel pins it: locked pages may still be moved
    /// by compaction, pinned ones may not. Pieces of at most 1 GiB, the kernel's limit.
    [[nodiscard]] FixedVector<std::span<std::byte>, 8> registered_spans() const noexcept;
    /// The whole arena without its guard pages.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

private:
    Arena(std::span<std::byte> mapping, std::span<std::byte> bytes) noexcept;
    void unmap() noexcept;

    std::span<std::byte> mapping_;  // With guard pages.
    std::span<std::byte> bytes_;
    Region region_;
};

}  // namespace holdfast::reserve
