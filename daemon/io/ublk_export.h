/// The unit as /dev/ublkbN. One queue; every tag owns its buffer, and is the engine's tag too.
///
/// The kernel copies: a write's bytes stand in the tag's buffer before we hear of it, a read's
/// bytes are taken from there when we commit. So nobody changes them under a digest.
///
/// Made with USER_RECOVERY | USER_RECOVERY_REISSUE: when this process dies, the device waits for a
/// successor, which gets every request again that was not answered.
///
/// Timer: kRecoveryPause, between two tries to take over a device whose old process the kernel has
/// not let go of yet. On Linux 6.12 that takes up to 30 s when every tag was in flight.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/unique_fd.h"
#include "daemon/io/exporter.h"
#include "daemon/io/ublk_abi.h"
#include "daemon/io/ublk_control.h"

namespace holdfast::daemon {

struct UblkOptions {
    std::int32_t id_wish = -1;     ///< N of /dev/ublkbN, or -1 for any.
    std::int32_t recover_id = -1;  ///< Take over this device of a dead process instead.
    bool read_only = false;
    std::uint16_t depth = 32;
    std::uint32_t request_bytes_max = 128 * 1024;
};

/// See the file comment.
class UblkExport final : public Exporter {
public:
    static constexpr std::uint16_t kDepthMax = 128;
    static constexpr Duration kRecoveryPause = Duration::from_ms(20);
    /// What DriverConfig needs on top: operations and places in the file table.
    [[nodiscard]] static constexpr std::uint32_t operations_for(std::uint16_t depth) noexcept {
        return depth + 2U;
    }
    static constexpr std::uint16_t kFiles = 2;

    /// `control`: open, or to be opened by begin().
    UblkExport(Driver& driver, RequestMeter& meter, UblkControl& control,
               const UblkOptions& options) noexcept;
    ~UblkExport();

    /// What begin() would do first, ahead of time: opens the control device, and runs one harmless
    /// command, so that the kernel's worker for commands exists. Blocks.
    [[nodiscard]] static OrErrno<void> warm_up(UblkControl& control) noexcept;

    /// Adds the device, fetches every tag and asks for the start. The loop must run until phase()
    /// is Serving, because the kernel reads partitions through us meanwhile. Taking over may begin
    /// before the session is ready: no request moves before it is.
    [[nodiscard]] OrErrno<void> begin() noexcept;

    void on_completed(const netpath::Completed& completed, Instant now) noexcept override;
    void on_request_done(const initiator::Completion& completion, Instant now) noexcept override;
    void on_turn_end(Instant now) noexcept override;
    [[nodiscard]] Instant next_wake() const noexcept override { return recover_at_; }
    void on_resized() noexcept override;
    void stop(Instant now) noexcept override;
    [[nodiscard]] ExportPhase phase() const noexcept override { return phase_; }
    [[nodiscard]] int error() const noexcept override { return error_; }
    void describe(ExportState& state) const noexcept override;

    [[nodiscard]] std::int32_t id() const noexcept { return id_; }
    /// False: this kernel cannot resize a device that is in use.
    [[nodiscard]] bool can_resize() const noexcept {
        return (features_ & ublk::kFlagUpdateSize) != 0;
    }

private:
    enum class Kind : std::uint8_t { Tag, Control };
    enum class Pending : std::uint8_t { None, Recover, Start, Resize, Stop };

    [[nodiscard]] OrErrno<void> add_device() noexcept;
    [[nodiscard]] OrErrno<void> start_serving() noexcept;
    void on_recovery_started(int result) noexcept;
    void adopt_when_ready() noexcept;
    void fail(int error) noexcept;
    [[nodiscard]] OrErrno<void> open_queue() noexcept;
    [[nodiscard]] OrErrno<void> begin_control(Pending pending, std::uint32_t operation,
                                              std::uint64_t data) noexcept;
    [[nodiscard]] netpath::FileSlot control_file() const noexcept;
    void wait_for_control() noexcept;
    void on_control_ready() noexcept;
    void on_control_done(Pending what, int result) noexcept;
    void fetch(std::uint16_t tag) noexcept;
    void commit(std::uint16_t tag, std::int32_t result) noexcept;
    void on_tag(std::uint16_t tag, std::int32_t result, Instant now) noexcept;
    [[nodiscard]] ublk::Descriptor descriptor_of(std::uint16_t tag) const noexcept;
    void take_request(std::uint16_t tag, const ublk::Descriptor& descriptor, Instant now) noexcept;
    [[nodiscard]] std::uint64_t address_of(std::uint16_t tag) noexcept;

    Driver& driver_;
    RequestMeter& meter_;
    UblkOptions options_;
    UblkControl& control_;
    std::array<std::byte, 8> control_word_{};  // The eventfd's count.
    UniqueFd queue_device_;
    std::span<const ublk::Descriptor> descriptors_;
    std::array<std::int32_t, kDepthMax> done_results_{};  // What Done means for the tag's request.
    std::uint64_t features_ = 0;
    std::int32_t id_ = -1;
    std::uint16_t tags_alive_ = 0;
    ExportPhase phase_ = ExportPhase::Making;
    Pending pending_ = Pending::None;
    Instant recover_at_ = Instant::never();  // Next try of START_USER_RECOVERY.
    bool may_adopt_ = false;  // The kernel waits for a successor to fetch; the session is next.
    bool stop_wanted_ = false;
    bool resize_wanted_ = false;
    int error_ = 0;
};

/// Removes a device whose server is gone. Blocks.
[[nodiscard]] OrErrno<void> delete_ublk_device(std::int32_t id) noexcept;

}  // namespace holdfast::daemon
