#include "stress/squeeze/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/unique_fd.h"

namespace holdfast::stress {

OrErrno<Mapping> Mapping::map(int fd, int flags, std::size_t page_count) noexcept {
    HF_ASSERT(page_count > 0);
    const std::size_t bytes = page_count * kPageBytes;
    void* const start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (start == MAP_FAILED) return std::unexpected{Errno::last()};
    // Huge pages would be swapped and read back as one: the point here is many single pages.
    (void)::madvise(start, bytes, MADV_NOHUGEPAGE);
    return Mapping{std::span{static_cast<std::uint64_t*>(start), page_count * kPageWords}};
}

OrErrno<Mapping> Mapping::anonymous(std::size_t page_count) noexcept {
    return map(-1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, page_count);
}

OrErrno<Mapping> Mapping::of_file(const char* path, std::size_t page_count) noexcept {
    const UniqueFd fd{::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!fd) return std::unexpected{Errno::last()};
    // Blocks are taken now: a full disk must not look like memory that went bad.
    const int code = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(page_count * kPageBytes));
    if (code != 0) return std::unexpected{Errno{code}};
    return map(fd.get(), MAP_SHARED, page_count);
}

Mapping::~Mapping() {
    if (!words_.empty()) ::munmap(words_.data(), words_.size_bytes());
}

}  // namespace holdfast::stress
