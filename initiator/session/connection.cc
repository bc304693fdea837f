#include "initiator/session/connection.h"

#include "base/assert.h"

namespace holdfast::initiator {

void Connection::add_to_plan(reserve::MemoryPlan& plan, const EngineLimits& limits) noexcept {
    plan.add_objects<Connection>("connections", limits.connections, "state of one connection");
    OutQueue::add_to_plan(plan, limits.depth, limits.connections);
    TransmitRing::add_to_plan(plan, limits);
    plan.add({.name = "receive stage",
              .count = limits.connections,
              .each = ByteCount{limits.stage_bytes},
              .reason = "headers and short data of one receive"});
    plan.add({.name = "control payload",
              .count = limits.connections,
              .each = ByteCount{kControlBytes},
              .reason = "login text, sense, rejected headers"});
    plan.add({.name = "login text",
              .count = limits.connections,
              .each = ByteCount{kLoginDataBytesMax},
              .reason = "one login request at a time"});
}

Connection::Connection(reserve::Region& region, const EngineLimits& limits,
                       ConnIndex number) noexcept
    : index(number),
      out_queue(region, limits.depth),
      control(region.carve_bytes(kControlBytes, alignof(std::max_align_t))),
      login_text(region.carve_bytes(kLoginDataBytesMax, alignof(std::max_align_t))),
      framer(region.carve_bytes(limits.stage_bytes, alignof(std::max_align_t))),
      ring(region, limits) {}

void Connection::restart() noexcept {
    HF_ASSERT(ring.empty() && out_queue.empty());
    framer.restart();
    digests = {};
    status.start(StatSn{});
}

void Connection::disarm() noexcept {
    keep_alive.stop();
    is_login_unsent = false;
    is_logout_unsent = false;
    nop_answers.clear();
    repair = {};
    login_by = Instant::never();
    logout_by = Instant::never();
}

void Connection::on_transport_gone() noexcept {
    HF_ASSERT(state == ConnState::Free);
    has_link = false;
    lent_at = Instant::never();
    if (add_at.is_never()) add_at = Instant{};
    is_leaving = false;
    ring.clear();
    out_queue.clear();
    framer.restart();
    receiving.reset();
}

}  // namespace holdfast::initiator
