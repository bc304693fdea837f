#include "reserve/memory_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "base/assert.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

constexpr std::uint64_t kKib = 1024;

// "55d0-55d1 rw-p 00000000 fe:00 1096  /path", the first line of each mapping. False when the line
// is none.
bool read_head(std::string_view line, Mapping& into) noexcept {
    const auto start = try_take_number<std::uintptr_t>(line, 16);
    if (!start || !line.starts_with('-')) return false;
    line.remove_prefix(1);
    const auto end = try_take_number<std::uintptr_t>(line, 16);
    if (!end || line.size() < 6) return false;
    into.start = *start;
    into.end = *end;
    into.readable = line[1] == 'r';
    into.writable = line[2] == 'w';
    into.executable = line[3] == 'x';
    line.remove_prefix(6);
    for (int skipped = 0; skipped < 2; ++skipped) {  // Offset, device.
        line.remove_prefix(std::min(line.find(' '), line.size()));
        line = without_leading_blanks(line);
    }
    const auto inode = try_take_number<std::uint64_t>(line);
    into.of_file = inode.value_or(0) != 0;
    into.name.assign_cut(without_leading_blanks(line));
    return true;
}

// " rd wr mr mw me lo ac": two letters for each flag, Documentation/filesystems/proc.rst.
void read_flags(std::string_view flags, Mapping& into) noexcept {
    const auto has = [flags](std::string_view flag) {
        return flags.find(flag) != std::string_view::npos;
    };
    into.locked = has(" lo");
    // VM_IO, VM_PFNMAP, VM_MIXEDMAP, VM_DONTEXPAND: the kernel refuses to lock any of these.
    into.of_kernel =
        has(" io") || has(" pf") || has(" mm") || has(" de") || into.name.view().starts_with("[v");
}

std::optional<std::string_view> value_of(std::string_view line, std::string_view key) noexcept {
    if (!line.starts_with(key)) return {};
    return line.substr(key.size());
}

// "     132 kB"
ByteCount kib_in(std::string_view value) noexcept {
    std::string_view number = without_leading_blanks(value);
    return ByteCount{try_take_number<std::uint64_t>(number).value_or(0) * kKib};
}

}  // namespace

std::optional<Mapping> MappingReader::next() noexcept {
    Mapping mapping;
    bool has_head = false;
    while (const auto line = lines_.next()) {
        if (!has_head) {
            has_head = read_head(*line, mapping);
            continue;
        }
        if (const auto rss = value_of(*line, "Rss:")) mapping.resident = kib_in(*rss);
        if (const auto own = value_of(*line, "Anonymous:")) mapping.anonymous = kib_in(*own);
        if (const auto flags = value_of(*line, "VmFlags:")) {
            read_flags(*flags, mapping);
            return mapping;
        }
    }
    return {};
}

OrErrno<MemoryFacts> measure_memory() noexcept {
    MemoryFacts facts;
    struct Field {
        std::string_view key;
        ByteCount* into;
    };
    for (const Field& field :
         {Field{"VmLck", &facts.locked}, Field{"VmPin", &facts.pinned},
          Field{"RssAnon", &facts.anonymous}, Field{"RssFile", &facts.of_files},
          Field{"RssShmem", &facts.of_shared}}) {
        const auto kib = read_kernel_field("/proc/self/status", field.key);
        if (!kib) return std::unexpected(kib.error());
        *field.into = ByteCount{*kib * kKib};
    }
    MappingReader reader;
    if (const auto opened = reader.open(); !opened) return std::unexpected(opened.error());
    while (const auto mapping = reader.next()) {
        if (mapping->of_kernel || !mapping->has_access()) continue;
        if (!mapping->locked) facts.loose += mapping->resident;
        if (mapping->locked) facts.absent += ByteCount{mapping->bytes()} - mapping->resident;
    }
    if (const auto error = reader.error()) return std::unexpected(*error);
    return facts;
}

AddressRange addresses_of(std::span<const std::byte> bytes) noexcept {
    const auto start = std::bit_cast<std::uintptr_t>(bytes.data());
    return {.start = start, .end = start + bytes.size()};
}

AddressRange first_part_in(AddressRange range,
                           std::span<const std::span<const std::byte>> pieces) noexcept {
    AddressRange first{.start = range.end, .end = range.end};
    for (const auto piece : pieces) {
        const AddressRange all = addresses_of(piece);
        const std::uintptr_t start = (all.start + kPageBytes - 1) / kPageBytes * kPageBytes;
        const std::uintptr_t end = all.end / kPageBytes * kPageBytes;
        const AddressRange part{.start = std::max(start, range.start),
                                .end = std::min(end, range.end)};
        if (part.start < part.end && part.start < first.start) first = part;
    }
    return first;
}

PresentRuns::PresentRuns(AddressRange range, PagesWanted wanted) noexcept
    : left_(range), wanted_(wanted), window_{.start = range.start, .end = range.start} {
    HF_ASSERT(range.start <= range.end);
    HF_ASSERT(range.start % kPageBytes == 0 && range.end % kPageBytes == 0);
}

bool PresentRuns::is_present(std::uintptr_t page) noexcept {
    if (page >= window_.end) {
        const std::size_t pages = std::min((left_.end - page) / kPageBytes, present_.size());
        window_ = {.start = page, .end = page + pages * kPageBytes};
        const int refused = ::mincore(std::bit_cast<void*>(page), window_.bytes(), present_.data());
        HF_ASSERT(refused == 0);  // The caller promised that all of it is mapped.
        if (wanted_ == PagesWanted::Own) look_for_own_pages();
    }
    return (present_[(page - window_.start) / kPageBytes] & 1U) != 0;
}

/// Where that cannot be read, what is present counts.
void PresentRuns::look_for_own_pages() noexcept {
    // Documentation/admin-guide/mm/pagemap.rst.
    constexpr std::uint64_t kOfFile = 1ULL << 61;
    constexpr std::uint64_t kSwapped = 1ULL << 62;
    constexpr std::uint64_t kPresent = 1ULL << 63;
    std::array<std::uint64_t, 256> entries{};
    static_assert(std::tuple_size_v<decltype(entries)> == std::tuple_size_v<decltype(present_)>);
    if (!pagemap_) pagemap_ = UniqueFd{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
    const std::size_t pages = window_.bytes() / kPageBytes;
    const std::size_t bytes = pages * sizeof(std::uint64_t);
    const auto at = static_cast<off_t>(window_.start / kPageBytes * sizeof(std::uint64_t));
    if (::pread(pagemap_.get(), entries.data(), bytes, at) != static_cast<ssize_t>(bytes)) return;
    for (std::size_t i = 0; i < pages; ++i) {
        const bool is_there = (entries[i] & (kPresent | kSwapped)) != 0;
        present_[i] = is_there && (entries[i] & kOfFile) == 0 ? 1 : 0;
    }
}

std::optional<AddressRange> PresentRuns::next() noexcept {
    while (left_.start < left_.end && !is_present(left_.start)) left_.start += kPageBytes;
    if (left_.start >= left_.end) return {};
    AddressRange run{.start = left_.start, .end = left_.start};
    while (run.end < left_.end && is_present(run.end)) run.end += kPageBytes;
    left_.start = run.end;
    return run;
}

}  // namespace holdfast::reserve
