/// What makes a unit visible on this machine: a ublk device or an NBD socket.
#pragma once

#include <array>
#include <cstdint>

#include "base/errno.h"
#include "base/time.h"
#include "daemon/io/driver.h"
#include "daemon/shared/latency_histogram.h"
#include "daemon/shared/status_block.h"
#include "initiator/request.h"

namespace holdfast::daemon {

/// Token owners of one I/O process; Driver::kOwner is 1.
enum class RingOwner : std::uint8_t { Ublk = 2, Nbd = 3, Command = 4, Order = 5 };

/// How an export stands.
enum class ExportPhase : std::uint8_t {
    Making,    ///< The kernel is at work; the loop must serve.
    Serving,   ///< Visible.
    Stopping,  ///< Requests drain.
    Stopped,   ///< No request is outstanding, none will come.
    Failed,    ///< It could not be made; error() says why.
};

/// How long requests took, from the export's side.
class RequestMeter {
public:
    void on_submitted(const initiator::Request& request, Instant now) noexcept {
        Started& started = started_[request.tag];
        started = {.at = now, .kind = request.kind};
    }
    void on_done(std::uint16_t tag, Instant now) noexcept {
        const Started& started = started_[tag];
        const Duration took = now - started.at;
        if (started.kind == initiator::RequestKind::Read) read.add(took);
        if (started.kind == initiator::RequestKind::Write) write.add(took);
        if (started.kind == initiator::RequestKind::Flush) flush.add(took);
    }

    LatencyHistogram read;
    LatencyHistogram write;
    LatencyHistogram flush;

private:
    struct Started {
        Instant at;
        initiator::RequestKind kind = initiator::RequestKind::Read;
    };
    std::array<Started, 256> started_{};
};

/// See the file comment. Thread: the loop's.
class Exporter : public ForeignCompletions {
public:
    /// Takes a request's end. The tag is free for the engine again.
    virtual void on_request_done(const initiator::Completion& completion, Instant now) noexcept = 0;
    /// Every completion of this turn was handed in.
    virtual void on_turn_end(Instant now) noexcept = 0;
    /// When on_turn_end() has something to do even if nothing happens.
    [[nodiscard]] virtual Instant next_wake() const noexcept { return Instant::never(); }
    /// The unit's capacity changed.
    virtual void on_resized() noexcept = 0;
    /// Stops taking requests; phase() becomes Stopped when those that were taken are answered.
    virtual void stop(Instant now) noexcept = 0;
    [[nodiscard]] virtual ExportPhase phase() const noexcept = 0;
    /// Failed: an errno.
    [[nodiscard]] virtual int error() const noexcept = 0;
    virtual void describe(ExportState& state) const noexcept = 0;

protected:
    ~Exporter() = default;
};

}  // namespace holdfast::daemon
