#include "daemon/io/driver.h"

#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "base/assert.h"
#include "daemon/io/crc_choice.h"
#include "netpath/io/socket_address.h"
#include "reserve/memory_map.h"

namespace holdfast::daemon {

using initiator::ConnIndex;
using initiator::Engine;
using netpath::SocketFact;
using netpath::SocketReport;
using netpath::TcpSocket;

namespace {

using reserve::kPageBytes;
// A send of up to this many bytes finds room in the socket and ends while it is submitted.
constexpr std::size_t kQuickSendBytes = 16 * 1024;
// Should it not: how long other completions may wait for it. Longer than a tick, because arming a
// timer that is due before the next tick costs more than the system call that it saves.
constexpr Duration kQuickWait = Duration::from_ms(10);
// With more outstanding a socket may be full, and gathering saves more anyway.
constexpr std::uint32_t kQuickInFlightMax = 4;

std::uint64_t buffer_bytes(const DriverConfig& config) noexcept {
    return std::uint64_t{config.limits.depth} * config.limits.request_bytes_max;
}

std::size_t total_bytes(std::span<const std::span<const std::byte>> spans) noexcept {
    std::size_t bytes = 0;
    for (const auto& span : spans) bytes += span.size();
    return bytes;
}

}  // namespace

Driver::Driver() noexcept = default;

initiator::FreshRandom Driver::draw_random() noexcept {
    initiator::FreshRandom random{};
    std::size_t drawn = 0;
    while (drawn < random.size()) {
        const auto rest = std::span{random}.subspan(drawn);
        const ssize_t got = ::getrandom(rest.data(), rest.size(), 0);
        if (got > 0) drawn += static_cast<std::size_t>(got);
        HF_ASSERT(got > 0 || errno == EINTR);
    }
    return random;
}

Driver::~Driver() {
    bring_sockets_home();
    if (engine_ != nullptr) std::destroy_at(engine_);
    for (TcpSocket& socket : sockets_) std::destroy_at(&socket);
    if (path_ != nullptr) std::destroy_at(path_);
}

/// The kernel must hold no reference to the buffers when they go.
void Driver::bring_sockets_home() noexcept {
    constexpr int kTurnsMax = 20;
    if (path_ != nullptr) bring_path_home();
    const auto is_busy = [](const TcpSocket& socket) { return !socket.is_idle(); };
    for (TcpSocket& socket : sockets_) static_cast<void>(socket.reset());
    for (int turn = 0; turn < kTurnsMax && std::ranges::any_of(sockets_, is_busy); ++turn) {
        ring_.submit_and_wait(Duration::from_ms(50));
        while (const auto completed = ring_.poll_completed())
            if (completed->token.owner == kOwner)
                static_cast<void>(sockets_[completed->token.index].on_completed(*completed));
    }
    ring_.close_ring();
}

Instant Driver::clock() noexcept {
    timespec now{};
    const int result = ::clock_gettime(CLOCK_MONOTONIC, &now);
    HF_ASSERT(result == 0);
    return Instant::from_ns(now.tv_sec * 1'000'000'000 + now.tv_nsec);
}

void Driver::add_to_plan(reserve::MemoryPlan& plan, const DriverConfig& config) noexcept {
    Engine::add_to_plan(plan, config.limits);
    plan.add_objects<Engine>("engine", 1, "one session to one logical unit");
    if (config.reserved) {
        netpath::xdp::XdpPath::add_to_plan(plan, config.reserved->shape);
    } else {
        plan.add_objects<TcpSocket>("sockets", config.limits.connections,
                                    "one for each connection of the session");
    }
    plan.add({.name = "request buffers",
              .count = config.limits.depth,
              .each = ByteCount{config.limits.request_bytes_max},
              .reason = "one for each tag, owned from start to end",
              .alignment = kPageBytes});
}

OrErrno<void> Driver::open(const DriverConfig& config) noexcept {
    reserve::MemoryPlan plan;
    add_to_plan(plan, config);
    if (auto mapped = reserve::Arena::map(plan.total())) {
        arena_.emplace(std::move(*mapped));
        return open_in(config, arena_->region(), arena_->bytes());
    } else if (config.must_lock) {
        return std::unexpected(mapped.error());
    }
    // Not allowed to lock: plain memory does for a tool that promises nothing.
    const std::size_t bytes = plan.total().raw() + reserve::kCarveUnitBytes + kPageBytes;
    unlocked_.reset(new (std::nothrow) std::byte[bytes]);
    if (!unlocked_) return std::unexpected(Errno{ENOMEM});
    plain_region_.emplace(std::span{unlocked_.get(), bytes});
    return open_in(config, *plain_region_, {});
}

OrErrno<void> Driver::open_in(const DriverConfig& config, reserve::Region& region,
                              std::span<const std::byte> pinned) noexcept {
    if (auto prepared = prepare_in(config, region, pinned); !prepared) return prepared;
    if (config.reserved)
        if (auto bound = bind_path(config.reserved->sockets_fd); !bound) return bound;
    make_engine_in(config, region);
    return {};
}

OrErrno<void> Driver::prepare_in(const DriverConfig& config, reserve::Region& region,
                                 std::span<const std::byte> pinned) noexcept {
    HF_ASSERT(engine_ == nullptr && buffers_.empty());
    HF_ASSERT(config.limits.connections >= 1 && config.limits.connections <= kConnectionsMax);
    connections_ = config.limits.connections;
    const std::uint32_t queues = config.reserved ? config.reserved->shape.queues : 0;
    // A poll for each queue; and the kicks of a turn that fail complete, too, and need room.
    const std::uint32_t operations = config.reserved ? queues + config.reserved->shape.kicks_max()
                                                     : connections_ * TcpSocket::kOperations;
    const std::uint32_t files = config.reserved ? queues : connections_ * TcpSocket::kFiles;
    const netpath::RingOptions options{
        .operations = operations + config.extra_operations,
        .files = static_cast<std::uint16_t>(files + config.extra_files),
        .with_commands = config.with_commands,
        .with_accept = config.with_accept};
    if (auto opened = ring_.open(options, pinned); !opened) return opened;
    first_extra_file_ = netpath::FileSlot{static_cast<std::uint16_t>(files)};
    auto opened = config.reserved ? open_reserved(config, region) : open_sockets(config, region);
    if (!opened) return opened;
    request_bytes_max_ = config.limits.request_bytes_max;
    buffers_ = region.carve_bytes(buffer_bytes(config), kPageBytes);
    initiator::use_crc_method(quicker_crc_method());
    return {};
}

OrErrno<void> Driver::open_sockets(const DriverConfig& config, reserve::Region& region) noexcept {
    sockets_ = region.carve<TcpSocket>(connections_);
    std::uint16_t file = 0;
    for (std::uint16_t i = 0; TcpSocket & socket : sockets_) {
        if (auto made = socket.open(ring_, netpath::FileSlot{file}, kOwner, i++, config.tcp); !made)
            return made;
        file = static_cast<std::uint16_t>(file + TcpSocket::kFiles);
    }
    return {};
}

void Driver::make_engine_in(const DriverConfig& config, reserve::Region& region) noexcept {
    HF_ASSERT(engine_ == nullptr && !buffers_.empty());
    engine_ = &region.make<Engine>(config.session, config.limits, region, config.flight);
}

void Driver::start() noexcept {
    HF_ASSERT(engine_ != nullptr);
    const Instant now = clock();
    engine_->start(now);
    follow_orders(now);
}

void Driver::stop() noexcept {
    HF_ASSERT(engine_ != nullptr);
    const Instant now = clock();
    engine_->stop(now);
    follow_orders(now);
}

std::span<std::byte> Driver::buffer(std::uint16_t tag) noexcept {
    return buffers_.subspan(std::size_t{tag} * request_bytes_max_, request_bytes_max_);
}

initiator::Submitted Driver::submit(const initiator::Request& request) noexcept {
    HF_ASSERT(engine_ != nullptr);
    return engine_->submit(clock(), request);
}

std::optional<initiator::Completion> Driver::poll_completion() noexcept {
    return engine_->poll_completion();
}

std::optional<initiator::Notice> Driver::poll_notice() noexcept {
    return engine_->poll_notice();
}

const initiator::DeviceFacts& Driver::facts() const noexcept {
    return engine_->facts();
}

const initiator::EngineCounters& Driver::engine_counters() const noexcept {
    return engine_->counters();
}

initiator::SessionPhase Driver::phase() const noexcept {
    return engine_->phase();
}

bool Driver::take_resized() noexcept {
    return std::exchange(resized_, false);
}

void Driver::run_once(Duration wait_max, ForeignCompletions* foreign) noexcept {
    HF_ASSERT(engine_ != nullptr);
    Instant now = clock();
    issue_io(now);
    const Instant asked = engine_->next_wake();
    sleep(now, wait_max);

    now = clock();
    handle_completions(now, foreign);
    if (path_ != nullptr) take_reserved(now);
    for (TcpSocket& socket : sockets_) socket.wake(now);
    settle_hosts(now);
    const Duration late = !asked.is_never() && now > asked ? now - asked : Duration{};
    engine_->wake(now, late);
    follow_orders(now);

    const initiator::EngineCounters& engine = engine_->counters();
    const std::uint64_t ended = engine.requests_done + engine.requests_failed;
    gathering_.on_turn(now, ended - std::exchange(ended_before_, ended), engine.requests_in_flight);
    ++counters_.turns;
    counters_.late_last_ns = static_cast<std::uint64_t>(late.ns());
    counters_.late_max_ns = std::max(counters_.late_max_ns, counters_.late_last_ns);
}

void Driver::sleep(Instant now, Duration wait_max) noexcept {
    const bool has_input = path_ != nullptr && path_->has_input();
    const Duration limit = has_input ? Duration{} : sleep_limit(now, wait_max);
    const std::uint32_t in_flight = engine_->counters().requests_in_flight;
    const Duration gather = gathering_.time_for(in_flight);
    if (ring_.has_completed()) return ring_.submit_and_wait(limit);
    // The completions of quick sends alone are no reason to wake up.
    if (quick_sends_ > 0 && in_flight <= kQuickInFlightMax && limit > kQuickWait)
        return ring_.submit_and_gather(kQuickWait, quick_sends_ + 1);
    if (gather <= Duration{} || gather >= limit) return ring_.submit_and_wait(limit);
    ring_.submit_and_gather(gather, in_flight);
    if (!ring_.has_completed()) ring_.submit_and_wait(limit - gather);
}

Duration Driver::sleep_limit(Instant now, Duration wait_max) const noexcept {
    Instant until = earlier(engine_->next_wake(), now + wait_max);
    for (const TcpSocket& socket : sockets_) until = earlier(until, socket.next_wake());
    until = earlier(until, hosts_.next_wake());
    if (path_ != nullptr) until = earlier(until, path_->next_wake());
    if (until.is_never()) return Duration::max();
    return until > now ? until - now : Duration{};
}

void Driver::issue_io(Instant now) noexcept {
    quick_sends_ = 0;
    if (path_ != nullptr) return send_reserved(now);
    for (std::size_t i = 0; i < sockets_.size(); ++i)
        issue_io_of(ConnIndex{static_cast<std::uint8_t>(i)}, now);
}

void Driver::issue_io_of(ConnIndex conn, Instant now) noexcept {
    TcpSocket& socket = sockets_[conn.raw()];
    if (socket.can_send()) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        const auto spans = engine_->tx_spans(conn, now, room);
        if (!spans.empty()) {
            socket.send(spans);
            if (total_bytes(spans) <= kQuickSendBytes) ++quick_sends_;
        }
    }
    if (socket.can_receive()) {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spans = engine_->rx_spaces(conn, room);
        if (!spans.empty()) socket.receive(spans);
    }
}

void Driver::handle_completions(Instant now, ForeignCompletions* foreign) noexcept {
    while (const auto completed = ring_.poll_completed()) {
        const std::uint16_t index = completed->token.index;
        if (completed->token.owner == netpath::Ring::kKickOwner) {
            continue;  // The path sees what was left.
        } else if (completed->token.owner == kOwner && completed->token.kind == kPollKind) {
            is_polled_[index] = false;
        } else if (completed->token.owner == kOwner) {
            report(ConnIndex{static_cast<std::uint8_t>(index)},
                   sockets_[index].on_completed(*completed), now);
        } else {
            HF_ASSERT(foreign != nullptr);
            foreign->on_completed(*completed, now);
        }
    }
}

void Driver::report(ConnIndex conn, const SocketReport& report, Instant now) noexcept {
    switch (report.fact) {
    case SocketFact::None: return;
    case SocketFact::Up: return engine_->transport_up(conn, now, draw_random());
    case SocketFact::Received: return engine_->rx_filled(conn, now, report.bytes);
    case SocketFact::Sent:
        engine_->tx_sent(conn, now, report.bytes);
        // The kernel has copied what it took.
        return engine_->tx_released(conn, report.bytes);
    case SocketFact::Lost:
        // A Reset may have been ordered for a connection that has gone by itself meanwhile.
        if (std::exchange(owes_lost_[conn.raw()], false)) engine_->transport_lost(conn, now);
        return;
    }
}

void Driver::follow_orders(Instant now) noexcept {
    while (const auto order = engine_->poll_order()) follow(*order, now);
}

void Driver::follow(const initiator::Order& order, Instant now) noexcept {
    using enum initiator::OrderKind;
    HF_ASSERT(order.conn.raw() < connections_);
    switch (order.kind) {
    case Connect: return connect(order, now);
    case Close: hosts_.cancel(order.conn); return report(order.conn, close(order.conn, now), now);
    case Reset: hosts_.cancel(order.conn); return report(order.conn, reset(order.conn, now), now);
    case DeviceReady: state_ = DriverState::Ready; return;
    case DeviceResized: resized_ = true; return;
    case GaveUp: state_ = DriverState::GaveUp; return;
    case Stopped: state_ = DriverState::Stopped; return;
    }
}

void Driver::connect(const initiator::Order& order, Instant now) noexcept {
    last_portal_ = order.portal;
    owes_lost_[order.conn.raw()] = true;
    const auto address =
        netpath::SocketAddress::from_text(order.portal.host.view(), order.portal.port);
    if (!address) return hosts_.begin(order.conn, order.portal, now);
    report(order.conn, connect_to(order.conn, *address, now), now);
}

SocketReport Driver::connect_to(ConnIndex conn, const netpath::SocketAddress& address,
                                Instant now) noexcept {
    if (path_ != nullptr) return path_->connect(conn.raw(), now, address);
    return sockets_[conn.raw()].connect(address);
}

SocketReport Driver::close(ConnIndex conn, Instant now) noexcept {
    return path_ != nullptr ? path_->close(conn.raw(), now) : sockets_[conn.raw()].close(now);
}

SocketReport Driver::reset(ConnIndex conn, Instant now) noexcept {
    return path_ != nullptr ? path_->reset(conn.raw(), now) : sockets_[conn.raw()].reset();
}

void Driver::answer_host(std::string_view host,
                         const std::optional<HostAddress>& address) noexcept {
    hosts_.on_answer(host, address);
    const Instant now = clock();
    settle_hosts(now);
    follow_orders(now);
}

void Driver::settle_hosts(Instant now) noexcept {
    while (const auto settled = hosts_.poll_settled(now)) {
        const auto address = settled->address ? netpath::SocketAddress::from_text(
                                                    settled->address->view(), settled->port)
                                              : std::nullopt;
        const auto fact = address ? connect_to(settled->conn, *address, now)
                                  : SocketReport{.fact = SocketFact::Lost};
        report(settled->conn, fact, now);
    }
}

}  // namespace holdfast::daemon
