#include "reserve/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/assert.h"
#include "reserve/memory_map.h"

namespace holdfast::reserve {

namespace {

constexpr std::size_t kRegisteredBytesMax = 1024U * 1024 * 1024;  // io_uring: one buffer, 1 GiB.

/// Small pages, present and locked.
bool settle(std::span<std::byte> bytes) noexcept {
    if (::mprotect(bytes.data(), bytes.size(), PROT_READ | PROT_WRITE) != 0) return false;
    // EINVAL: a kernel without huge pages, which is what is wanted.
    if (::madvise(bytes.data(), bytes.size(), MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
        return false;
    if (::madvise(bytes.data(), bytes.size(), MADV_DONTFORK) != 0) return false;
    // mlock faults every page in, for writing.
    return ::mlock(bytes.data(), bytes.size()) == 0;
}

}  // namespace

OrErrno<Arena> Arena::map(ByteCount wanted) noexcept {
    HF_ASSERT(wanted.raw() > 0 && wanted.raw() <= SIZE_MAX - 3 * kPageBytes);
    HF_ASSERT(::sysconf(_SC_PAGESIZE) == kPageBytes);
    const std::size_t inner =
        (static_cast<std::size_t>(wanted.raw()) + kPageBytes - 1) / kPageBytes * kPageBytes;
    const std::size_t outer = inner + 2 * kPageBytes;
    void* const start = ::mmap(nullptr, outer, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return std::unexpected(Errno::last());
    const std::span<std::byte> mapping{static_cast<std::byte*>(start), outer};
    Arena arena{mapping, mapping.subspan(kPageBytes, inner)};
    if (!settle(arena.bytes_)) return std::unexpected(Errno::last());
    return arena;
}

Arena::Arena(std::span<std::byte> mapping, std::span<std::byte> bytes) noexcept
    : mapping_(mapping), bytes_(bytes), region_(bytes) {}

Arena::Arena(Arena&& other) noexcept
    : mapping_(std::exchange(other.mapping_, {})),
      bytes_(std::exchange(other.bytes_, {})),
      region_(std::exchange(other.region_, Region{{}})) {}

Arena& Arena::operator=(Arena&& other) noexcept {
    if (this != &other) {
        unmap();
        mapping_ = std::exchange(other.mapping_, {});
        bytes_ = std::exchange(other.bytes_, {});
        region_ = std::exchange(other.region_, Region{{}});
    }
    return *this;
}

Arena::~Arena() {
    unmap();
}

FixedVector<std::span<std::byte>, 8> Arena::registered_spans() const noexcept {
    FixedVector<std::span<std::byte>, 8> spans;
    for (auto rest = bytes_; !rest.empty();) {
        spans.push(rest.first(std::min(rest.size(), kRegisteredBytesMax)));
        rest = rest.subspan(spans[spans.size() - 1].size());
    }
    return spans;
}

void Arena::unmap() noexcept {
    if (mapping_.empty()) return;
    const int refused = ::munmap(mapping_.data(), mapping_.size());
    HF_ASSERT(refused == 0);
    mapping_ = {};
}

}  // namespace holdfast::reserve
