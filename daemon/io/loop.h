/// The loop of one I/O process: turns the driver, carries requests between export and engine,
/// publishes status, fills the log ring and takes commands. It never waits anywhere else.
///
/// Timers: kPublishInterval, between two publications while something happens; kIdleWait, the
/// longest sleep, so that the heartbeat shows life.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/time.h"
#include "daemon/io/driver.h"
#include "daemon/io/exporter.h"
#include "daemon/io/flow_guard.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/io_event.h"
#include "daemon/shared/log_ring.h"
#include "daemon/shared/shared_area.h"
#include "daemon/shared/status_block.h"

namespace holdfast::daemon {

/// See the file comment. Thread: the driver's.
class IoLoop final : public ForeignCompletions {
public:
    static constexpr Duration kPublishInterval = Duration::from_ms(250);
    static constexpr Duration kIdleWait = Duration::from_ms(250);
    static constexpr Duration kLateWorthALine = Duration::from_ms(100);
    /// What DriverConfig needs on top.
    static constexpr std::uint32_t kOperations = 2;
    static constexpr std::uint16_t kFiles = 1;
    static constexpr std::size_t kTellingsMax = 4;

    /// `facts`: what is known before the first turn.
    IoLoop(Driver& driver, SharedArea& area, const StatusFacts& facts) noexcept;

    /// Takes commands for `attachment` from a seqpacket socket that stands at `slot` of the ring's
    /// file table.
    void watch_commands(netpath::FileSlot slot, AttachmentId attachment) noexcept;
    /// Renewed and told about portals once a turn.
    void guard_with(FlowGuard& guard) noexcept { guard_ = &guard; }
    void set_exporter(Exporter& exporter) noexcept { exporter_ = &exporter; }

    /// One turn, and everything that follows from it.
    void turn() noexcept;

    /// What to publish; the loop keeps counters, device, session and export up to date by itself.
    [[nodiscard]] StatusFacts& facts() noexcept { return facts_; }
    [[nodiscard]] RequestMeter& meter() noexcept { return meter_; }
    void enter(IoPhase phase) noexcept;
    /// For a caller that waits for something without turning the loop.
    void show_life() noexcept { status_.beat(); }
    void say(LogLevel level, IoEvent event, std::uint64_t a = 0, std::uint64_t b = 0) noexcept;
    /// Tells control, in order; dropped when it does not listen and kTellingsMax wait.
    void tell(const ControlMessage& message) noexcept;
    /// True when nothing that was told still waits to be sent.
    [[nodiscard]] bool has_told() const noexcept { return tellings_.empty(); }

    /// A detach was asked for; 2: hurried.
    enum class Detach : std::uint8_t { No, Asked, Hurried };
    [[nodiscard]] Detach detach() const noexcept { return detach_; }
    void ask_detach(Detach how) noexcept;
    /// The last word of the engine, for Failed.
    [[nodiscard]] const initiator::Notice& last_notice() const noexcept { return last_notice_; }

    void on_completed(const netpath::Completed& completed, Instant now) noexcept override;

private:
    enum class Kind : std::uint8_t { Receive, Send };

    void listen() noexcept;
    void on_command(std::size_t bytes) noexcept;
    void on_host_found(const ControlMessage& message) noexcept;
    void ask_for_hosts() noexcept;
    void send_telling() noexcept;
    void drain_notices(Instant now) noexcept;
    void keep(const TimedNotice& notice) noexcept;
    void judge_lateness() noexcept;
    void publish(Instant now) noexcept;

    Driver& driver_;
    StatusWriter status_;
    LogProducer log_;
    StatusFacts facts_;
    RequestMeter meter_;
    Exporter* exporter_ = nullptr;
    FlowGuard* guard_ = nullptr;
    std::optional<netpath::FileSlot> commands_;
    AttachmentId attachment_{};
    std::array<std::byte, sizeof(ControlMessage)> command_room_{};
    FixedQueue<ControlMessage, kTellingsMax> tellings_;  // The front one is being sent.
    Detach detach_ = Detach::No;
    LogLevel log_level_ = LogLevel::Info;
    initiator::Notice last_notice_{};
    Instant next_publish_;
    std::uint64_t late_told_ns_ = 0;
};

}  // namespace holdfast::daemon
