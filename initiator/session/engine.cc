#include "initiator/engine.h"

#include "base/assert.h"
#include "initiator/session/session.h"

namespace holdfast::initiator {

static_assert(Engine::kRxSpansMax >= Framer::kSpansMax);
static_assert(Engine::kTxSpansMax >= TransmitRing::kPiecesOfPdu);

void Engine::add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept {
    Session::add_to_plan(plan, limits);
}

/// See engine.h.
class Engine::Recording {
public:
    Recording(Engine& engine, Instant now) noexcept : engine_(engine) {
        engine.recorder_.set_time(now);
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    ~Recording() {
        engine_.recorder_.on_phase(static_cast<std::uint8_t>(engine_.session_.phase()));
    }

private:
    Engine& engine_;
};

Engine::Engine(const SessionConfig& config, const EngineLimits& limits, reserve::Region& region,
               RecorderMemory memory) noexcept
    : recorder_(memory), session_(region.make<Session>(config, limits, region, recorder_)) {}

Engine::~Engine() {
    session_.~Session();
}

void Engine::start(Instant now) noexcept {
    const Recording recording{*this, now};
    session_.start(now);
}

void Engine::stop(Instant now) noexcept {
    const Recording recording{*this, now};
    session_.stop(now);
}

void Engine::transport_up(ConnIndex conn, Instant now, const FreshRandom& random) noexcept {
    const Recording recording{*this, now};
    session_.transport_up(session_.connection(conn), now, random);
}

void Engine::transport_lost(ConnIndex conn, Instant now) noexcept {
    const Recording recording{*this, now};
    session_.transport_lost(session_.connection(conn), now);
}

std::span<std::span<std::byte>> Engine::rx_spaces(ConnIndex conn,
                                                  std::span<std::span<std::byte>> out) noexcept {
    return session_.rx_spaces(session_.connection(conn), out);
}

void Engine::rx_filled(ConnIndex conn, Instant now, std::size_t bytes) noexcept {
    const Recording recording{*this, now};
    session_.rx_filled(session_.connection(conn), now, bytes);
}

std::span<std::span<const std::byte>> Engine::tx_spans(
    ConnIndex conn, Instant now, std::span<std::span<const std::byte>> out) noexcept {
    const Recording recording{*this, now};
    return session_.tx_spans(session_.connection(conn), now, out);
}

void Engine::tx_sent(ConnIndex conn, Instant now, std::size_t bytes) noexcept {
    const Recording recording{*this, now};
    session_.tx_sent(session_.connection(conn), now, bytes);
}

void Engine::tx_released(ConnIndex conn, std::size_t bytes) noexcept {
    session_.tx_released(session_.connection(conn), bytes);
}

Submitted Engine::submit(Instant now, const Request& request) noexcept {
    return session_.submit(now, request);
}

std::optional<Completion> Engine::poll_completion() noexcept {
    return session_.poll_completion();
}

std::optional<Order> Engine::poll_order() noexcept {
    return session_.poll_order();
}

std::optional<Notice> Engine::poll_notice() noexcept {
    return session_.poll_notice();
}

Instant Engine::next_wake() const noexcept {
    return session_.next_wake();
}

void Engine::wake(Instant now, Duration late) noexcept {
    const Recording recording{*this, now};
    session_.wake(now, late);
}

SessionPhase Engine::phase() const noexcept {
    return session_.phase();
}

const DeviceFacts& Engine::facts() const noexcept {
    return session_.facts();
}

const EngineCounters& Engine::counters() const noexcept {
    return session_.counters();
}

}  // namespace holdfast::initiator
