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

std::size_t bytes_of(initiator::RecorderShape shape) noexcept {
    return sizeof(SharedArea) + shape.cells() * sizeof(initiator::RecordCell);
}

}  // namespace

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : area_(std::exchange(other.area_, nullptr)), shape_(other.shape_) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
    std::swap(area_, other.area_);
    std::swap(shape_, other.shape_);
    return *this;
}

SharedMapping::~SharedMapping() {
    if (area_ != nullptr) ::munmap(area_, bytes_of(shape_));
}

SharedArea& SharedMapping::area() const noexcept {
    HF_ASSERT(area_ != nullptr);
    return *area_;
}

void SharedMapping::keep_from_children() const noexcept {
    HF_ASSERT(area_ != nullptr);
    const int kept = ::madvise(area_, bytes_of(shape_), MADV_DONTFORK);
    HF_ASSERT(kept == 0);
}

initiator::RecorderMemory SharedMapping::flight() const noexcept {
    HF_ASSERT(area_ != nullptr);
    // The length is that of the mapping, which is sealed.
    const std::span bytes{static_cast<std::byte*>(static_cast<void*>(area_)), bytes_of(shape_)};
    void* const cells = bytes.subspan(sizeof(SharedArea)).data();
    return {.cells = {static_cast<initiator::RecordCell*>(cells), shape_.cells()}, .shape = shape_};
}

OrErrno<SharedMapping> SharedMapping::map_any(int fd, initiator::RecorderShape shape) noexcept {
    void* at = ::mmap(nullptr, bytes_of(shape), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return std::unexpected{Errno::last()};
    return SharedMapping{static_cast<SharedArea*>(at), shape};
}

OrErrno<SharedMapping> SharedMapping::map(int fd) noexcept {
    struct stat facts{};
    if (::fstat(fd, &facts) != 0) return std::unexpected{Errno::last()};
    if (facts.st_size < static_cast<off_t>(sizeof(SharedArea)))
        return std::unexpected{Errno{EPROTO}};
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return std::unexpected{Errno{EPROTO}};
    const OrErrno<SharedMapping> head = map_any(fd, {});
    if (!head) return std::unexpected{head.error()};
    const SharedArea& area = head->area();
    if (area.magic != SharedArea::kMagic || area.version != StatusBlock::kVersion)
        return std::unexpected{Errno{EPROTO}};
    const initiator::RecorderShape shape = area.flight;
    if (!shape.is_sound() || facts.st_size != static_cast<off_t>(bytes_of(shape)))
        return std::unexpected{Errno{EPROTO}};
    return map_any(fd, shape);
}

OrErrno<UniqueFd> make_shared_area(initiator::RecorderShape shape) noexcept {
    HF_ASSERT(shape.is_sound());
    UniqueFd fd{::memfd_create("holdfast-status", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!fd) return std::unexpected{Errno::last()};
    if (::ftruncate(fd.get(), static_cast<off_t>(bytes_of(shape))) != 0)
        return std::unexpected{Errno::last()};
    OrErrno<SharedMapping> mapping = SharedMapping::map_any(fd.get(), shape);
    if (!mapping) return std::unexpected{mapping.error()};
    SharedArea* const made = new (&mapping->area()) SharedArea{};
    made->flight = shape;
    for (initiator::RecordCell& cell : mapping->flight().cells) new (&cell) initiator::RecordCell{};
    if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return std::unexpected{Errno::last()};
    return fd;
}

}  // namespace holdfast::daemon
