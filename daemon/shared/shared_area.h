/// The one shared memory object of an attachment: status block, log ring, what the watchdog says,
/// and the cells of the flight recorder, in a sealed memfd.
///
/// The supervisor makes it, the I/O process writes it, control maps it from a descriptor. The size
/// is sealed, so that no process can shrink it under another one's feet (SIGBUS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/shared/log_ring.h"
#include "daemon/shared/status_block.h"
#include "initiator/recorder.h"
#include "watchdog/watch_block.h"

namespace holdfast::daemon {

/// The layout. Zero-filled memory with the head set is a fresh area. Behind it stand as many
/// initiator::RecordCell as `flight` says.
struct SharedArea {
    static constexpr std::uint64_t kMagic = 0x68'6f'6c'64'66'61'73'74;  // "holdfast"

    std::uint64_t magic = kMagic;
    std::uint64_t version = StatusBlock::kVersion;
    initiator::RecorderShape flight{};
    StatusBlock status;
    LogRing log;
    watchdog::WatchBlock watch;
};
static_assert(std::is_standard_layout_v<SharedArea>);
static_assert(sizeof(SharedArea) < 64 * 1024, "locked memory of every attachment");
static_assert(sizeof(SharedArea) % alignof(initiator::RecordCell) == 0);

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

    /// Maps an area that another process made. EPROTO when it is not one of this release, its size
    /// is not what its head says, or is not sealed.
    [[nodiscard]] static OrErrno<SharedMapping> map(int fd) noexcept;

    /// Children that are forked from now on do not inherit the mapping.
    void keep_from_children() const noexcept;

    [[nodiscard]] bool is_mapped() const noexcept { return area_ != nullptr; }
    [[nodiscard]] SharedArea& area() const noexcept;
    /// Memory of the flight recorder, by the shape that was true when the area was mapped.
    [[nodiscard]] initiator::RecorderMemory flight() const noexcept;

private:
    SharedMapping(SharedArea* area, initiator::RecorderShape shape) noexcept
        : area_(area), shape_(shape) {}
    friend OrErrno<UniqueFd> make_shared_area(initiator::RecorderShape shape) noexcept;
    [[nodiscard]] static OrErrno<SharedMapping> map_any(int fd,
                                                        initiator::RecorderShape shape) noexcept;

    SharedArea* area_ = nullptr;
    initiator::RecorderShape shape_{};
};

/// A fresh area in a memfd, sized, formatted and sealed. Close-on-exec. `shape` must be sound.
[[nodiscard]] OrErrno<UniqueFd> make_shared_area(initiator::RecorderShape shape = {}) noexcept;

}  // namespace holdfast::daemon
