#include "stress/target/storage.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/unique_fd.h"

namespace holdfast::target {
namespace {

constexpr std::uint64_t kPageBytes = 4096;

OrErrno<std::span<std::byte>> map(std::uint64_t size_bytes, int flags, int fd) {
    void* memory = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED) return std::unexpected{Errno::last()};
    return std::span{static_cast<std::byte*>(memory), size_bytes};
}

}  // namespace

OrErrno<Storage> Storage::anonymous(std::uint64_t size_bytes) {
    auto bytes = map(size_bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!bytes) return std::unexpected{bytes.error()};
    return Storage{*bytes, false};
}

OrErrno<Storage> Storage::shared_file(const std::string& path, std::uint64_t size_bytes) {
    const UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!file) return std::unexpected{Errno::last()};
    const off_t size = ::lseek(file.get(), 0, SEEK_END);
    if (size < 0) return std::unexpected{Errno::last()};
    if (static_cast<std::uint64_t>(size) < size_bytes &&
        ::ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0)
        return std::unexpected{Errno::last()};
    auto bytes = map(size_bytes, MAP_SHARED | MAP_NORESERVE, file.get());
    if (!bytes) return std::unexpected{bytes.error()};
    return Storage{*bytes, true};
}

Storage::~Storage() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

void Storage::punch(std::uint64_t offset, std::uint64_t length) {
    const auto range = bytes_.subspan(offset, length);
    const std::uint64_t lead = std::min((kPageBytes - offset % kPageBytes) % kPageBytes, length);
    const std::uint64_t pages = (length - lead) / kPageBytes * kPageBytes;
    std::ranges::fill(range.first(lead), std::byte{0});
    std::ranges::fill(range.subspan(lead + pages), std::byte{0});
    const auto middle = range.subspan(lead, pages);
    if (middle.empty()) return;
    if (::madvise(middle.data(), middle.size(), shared_ ? MADV_REMOVE : MADV_DONTNEED) != 0)
        std::ranges::fill(middle, std::byte{0});
}

}  // namespace holdfast::target
