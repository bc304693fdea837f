/// The one shared memory object of an attachment: status block and log ring, in a sealed memfd.
///
/// The supervisor makes it, the I/O process writes it, control maps it from a descriptor. The size
/// is sealed, so that no process can shrink it under another one's feet (SIGBUS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/shared/log_ring.h"
#include "daemon/shared/status_block.h"

namespace holdfast::daemon {

/// The layout. Zero-filled memory with the two head words set is a fresh area.
struct SharedArea {
    static constexpr std::uint64_t kMagic = 0x68'6f'6c'64'66'61'73'74;  // "holdfast"

    std::uint64_t magic = kMagic;
    std::uint64_t version = StatusBlock::kVersion;
    StatusBlock status;
    LogRing log;
};
static_assert(std::is_standard_layout_v<SharedArea>);
static_assert(sizeof(SharedArea) < 64 * 1024, "locked memory of every attachment");

/// Owns one mapping of an area. Move-only. Mapped memory stays valid after the descriptor is
/// closed.
class SharedMapping {
public:
    SharedMapping() noexcept = default;
    SharedMapping(SharedMapping&& other) noexcept;
    SharedMapping& operator=(SharedMapping&& other) noexcept;
    SharedMapping(const SharedMapping&) = delete;
    SharedMapping& operator=(const SharedMapping&) = delete;
    ~SharedMapping();

    /// Maps an area that another process made. EPROTO when it is not one of this release, or its
    /// size is not sealed.
    [[nodiscard]] static OrErrno<SharedMapping> map(int fd) noexcept;

    [[nodiscard]] bool is_mapped() const noexcept { return area_ != nullptr; }
    [[nodiscard]] SharedArea& area() const noexcept;

private:
    explicit SharedMapping(SharedArea* area) noexcept : area_(area) {}
    friend OrErrno<UniqueFd> make_shared_area() noexcept;
    [[nodiscard]] static OrErrno<SharedMapping> map_any(int fd) noexcept;

    SharedArea* area_ = nullptr;
};

/// A fresh area in a memfd, sized, formatted and sealed. Close-on-exec.
[[nodiscard]] OrErrno<UniqueFd> make_shared_area() noexcept;

}  // namespace holdfast::daemon
