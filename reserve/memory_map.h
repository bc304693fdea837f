/// The process's own mappings as the kernel describes them, and sums over them, without
/// allocation. Effectful: reads /proc/self. Thread: any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/strong.h"
#include "reserve/kernel_file.h"

namespace holdfast::reserve {

/// The only page size that is used: huge pages are off (lockdown). Bytes, x86-64.
inline constexpr std::size_t kPageBytes = 4096;

/// One mapping, from /proc/self/smaps.
struct Mapping {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    bool readable = false;
    bool writable = false;
    bool executable = false;
    bool of_file = false;    ///< Has an inode behind it, shared memory included.
    bool locked = false;     ///< VM_LOCKED.
    bool of_kernel = false;  ///< Kernel memory shown to us (rings, vdso): never swapped, never
                             ///< lockable.
    FixedString<63> name;    ///< Path or "[stack]"; cut.
    ByteCount resident;      ///< Rss.
    ByteCount anonymous;     ///< Present pages that are our own copy, not the file's.

    [[nodiscard]] std::size_t bytes() const noexcept { return end - start; }
    [[nodiscard]] bool has_access() const noexcept { return readable || writable || executable; }
    [[nodiscard]] bool is_stack() const noexcept { return name.view() == "[stack]"; }
};

/// Walks the mappings by ascending address. Locking or splitting mappings that were already seen is
/// allowed in between.
class MappingReader {
public:
    [[nodiscard]] OrErrno<void> open() noexcept { return lines_.open("/proc/self/smaps"); }
    /// Empty at the end, or when reading fails: see error().
    [[nodiscard]] std::optional<Mapping> next() noexcept;
    [[nodiscard]] std::optional<Errno> error() const noexcept { return lines_.error(); }

private:
    KernelLines lines_;
};

/// What the kernel says about the process's memory.
struct MemoryFacts {
    ByteCount locked;     ///< VmLck: the sizes of locked mappings.
    ByteCount pinned;     ///< VmPin.
    ByteCount anonymous;  ///< RssAnon.
    ByteCount of_files;   ///< RssFile.
    ByteCount of_shared;  ///< RssShmem.
    ByteCount loose;      ///< Present, but not locked: can be taken away.
    ByteCount absent;     ///< Locked, but not present: will fault.
};

[[nodiscard]] OrErrno<MemoryFacts> measure_memory() noexcept;

/// Addresses from `start` up to, not including, `end`.
struct AddressRange {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    [[nodiscard]] std::size_t bytes() const noexcept { return end - start; }
};
/// Where `bytes` lie.
[[nodiscard]] AddressRange addresses_of(std::span<const std::byte> bytes) noexcept;
/// The part of `range` with the lowest addresses that lies in one of `pieces`, in whole pages.
/// Empty, at the end of `range`, when there is none.
[[nodiscard]] AddressRange first_part_in(
    AddressRange range, std::span<const std::span<const std::byte>> pieces) noexcept;

/// Puts the main stack together from mappings in their order. It is in pieces where a relative had
/// locked some of its pages only; the last of them, at the top, is the one with the name.
class StackRun {
public:
    constexpr void take(const Mapping& mapping) noexcept {
        const bool is_own = mapping.writable && !mapping.of_file;
        const bool goes_on = is_own && range_.end == mapping.start;
        range_ = {.start = goes_on ? range_.start : mapping.start, .end = mapping.end};
        if (!is_own) range_.start = range_.end;
    }
    /// The run that ends with the mapping taken last.
    [[nodiscard]] constexpr AddressRange range() const noexcept { return range_; }

private:
    AddressRange range_;
};

/// Which pages PresentRuns is after.
enum class PagesWanted : std::uint8_t {
    Present,
    Own,  ///< Our own copies, not the file's, be they present or swapped out. Reads /proc.
};

/// Walks the runs of pages of `range` that are present in memory, by ascending address. The bounds
/// of `range` are multiples of kPageBytes, and all of it is mapped.
class PresentRuns {
public:
    explicit PresentRuns(AddressRange range, PagesWanted wanted = PagesWanted::Present) noexcept;
    /// Empty at the end.
    [[nodiscard]] std::optional<AddressRange> next() noexcept;

private:
    [[nodiscard]] bool is_present(std::uintptr_t page) noexcept;
    void look_for_own_pages() noexcept;

    AddressRange left_;
    PagesWanted wanted_;
    UniqueFd pagemap_;
    AddressRange window_;  // What `present_` describes.
    std::array<unsigned char, 256> present_{};
};

}  // namespace holdfast::reserve
