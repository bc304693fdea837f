#include "daemon/shared/shared_area.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <new>
#include <utility>

#include "base/assert.h"

namespace holdfast::daemon {

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : area_(std::exchange(other.area_, nullptr)) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
    std::swap(area_, other.area_);
    return *this;
}

SharedMapping::~SharedMapping() {
    if (area_ != nullptr) ::munmap(area_, sizeof(SharedArea));
}

SharedArea& SharedMapping::area() const noexcept {
    HF_ASSERT(area_ != nullptr);
    return *area_;
}

OrErrno<SharedMapping> SharedMapping::map_any(int fd) noexcept {
    void* at = ::mmap(nullptr, sizeof(SharedArea), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return std::unexpected{Errno::last()};
    return SharedMapping{static_cast<SharedArea*>(at)};
}

OrErrno<SharedMapping> SharedMapping::map(int fd) noexcept {
    struct stat facts{};
    if (::fstat(fd, &facts) != 0) return std::unexpected{Errno::last()};
    if (facts.st_size != static_cast<off_t>(sizeof(SharedArea)))
        return std::unexpected{Errno{EPROTO}};
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return std::unexpected{Errno{EPROTO}};
    OrErrno<SharedMapping> mapping = map_any(fd);
    if (!mapping) return mapping;
    const SharedArea& area = mapping->area();
    if (area.magic != SharedArea::kMagic || area.version != StatusBlock::kVersion)
        return std::unexpected{Errno{EPROTO}};
    return mapping;
}

OrErrno<UniqueFd> make_shared_area() noexcept {
    UniqueFd fd{::memfd_create("holdfast-status", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!fd) return std::unexpected{Errno::last()};
    if (::ftruncate(fd.get(), static_cast<off_t>(sizeof(SharedArea))) != 0)
        return std::unexpected{Errno::last()};
    OrErrno<SharedMapping> mapping = SharedMapping::map_any(fd.get());
    if (!mapping) return std::unexpected{mapping.error()};
    new (&mapping->area()) SharedArea{};
    if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return std::unexpected{Errno::last()};
    return fd;
}

}  // namespace holdfast::daemon
