// Driver: a session over the reserved path. Bytes are copied between the frames and the engine's
// spaces; what is sent stays lent until the peer has acknowledged it.
#include <poll.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "daemon/io/driver.h"

namespace holdfast::daemon {

using initiator::ConnIndex;
using initiator::Engine;
using netpath::SocketFact;
using netpath::xdp::XdpPath;

namespace {

/// Copies from the front of the connection's received bytes into `spaces`; how many.
std::size_t fill(XdpPath& path, std::size_t line, Instant now,
                 std::span<const std::span<std::byte>> spaces) noexcept {
    std::size_t filled = 0;
    for (auto space : spaces) {
        while (!space.empty()) {
            const auto front = path.rx_front(line);
            if (front.empty()) return filled;
            const std::size_t part = std::min(front.size(), space.size());
            std::memcpy(space.data(), front.data(), part);
            path.rx_taken(line, now, part);
            space = space.subspan(part);
            filled += part;
        }
    }
    return filled;
}

}  // namespace

OrErrno<void> Driver::open_reserved(const DriverConfig& config, reserve::Region& region) noexcept {
    HF_ASSERT(config.reserved && path_ == nullptr);
    const ReservedPath& wish = *config.reserved;
    path_ = &region.make<XdpPath>(wish.shape, wish.routes.span(), wish.options, region);
    const initiator::FreshRandom random = draw_random();
    netpath::tcp::Secret secret{};
    static_assert(sizeof(secret) <= sizeof(random));
    std::memcpy(&secret, random.data(), sizeof(secret));
    if (auto prepared = path_->prepare({.table_fd = wish.table_fd,
                                        .owner = wish.owner,
                                        .secret = secret,
                                        .demands_zero_copy = wish.demands_zero_copy});
        !prepared)
        return prepared;
    for (std::uint16_t queue = 0; queue < path_->queue_count(); ++queue)
        if (auto set = ring_.set_file(netpath::FileSlot{queue}, path_->descriptor(queue)); !set)
            return set;
    return {};
}

OrErrno<void> Driver::bind_path(int sockets_fd) noexcept {
    HF_ASSERT(path_ != nullptr);
    return path_->bind(sockets_fd);
}

void Driver::send_reserved(Instant now) noexcept {
    if (!path_->is_bound()) return;  // Others use the ring meanwhile.
    for (std::uint8_t i = 0; i < connections_; ++i) lend(ConnIndex{i}, now);
    path_->send_output(now, ring_, netpath::FileSlot{0});
    if (path_->has_input()) return;
    for (std::uint16_t queue = 0; queue < path_->queue_count(); ++queue) {
        if (is_polled_[queue]) continue;
        is_polled_[queue] = true;
        ring_.poll(netpath::FileSlot{queue}, POLLIN,
                   {.owner = kOwner, .kind = kPollKind, .index = queue});
    }
}

/// Until the path takes no more, or there is no more.
void Driver::lend(ConnIndex conn, Instant now) noexcept {
    bool takes_more = path_->is_up(conn.raw());
    while (takes_more) {
        std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
        const auto spans = engine_->tx_spans(conn, now, room);
        std::size_t taken = 0;
        for (const auto span : spans) {
            takes_more = path_->try_send(conn.raw(), span);
            if (!takes_more) break;
            taken += span.size();
        }
        if (taken > 0) engine_->tx_sent(conn, now, taken);
        takes_more = takes_more && taken > 0;
    }
}

void Driver::take_reserved(Instant now) noexcept {
    if (!path_->is_bound()) return;
    path_->take_input(now);
    path_->wake(now);
    for (std::uint8_t i = 0; i < connections_; ++i) {
        const ConnIndex conn{i};
        // In front of the answers, which end requests.
        if (const std::size_t bytes = path_->poll_released(i); bytes > 0)
            engine_->tx_released(conn, bytes);
        receive_reserved(conn, now);
        for (;;) {
            const netpath::SocketReport one = path_->poll_report(i, now);
            if (one.fact == SocketFact::None) break;
            report(conn, one, now);
        }
    }
}

void Driver::receive_reserved(ConnIndex conn, Instant now) noexcept {
    while (!path_->rx_front(conn.raw()).empty()) {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room;
        const auto spaces = engine_->rx_spaces(conn, room);
        if (spaces.empty()) return;
        const std::size_t filled = fill(*path_, conn.raw(), now, spaces);
        HF_ASSERT(filled > 0);
        engine_->rx_filled(conn, now, filled);
    }
}

/// Resets what is open, as far as the interface lets it.
void Driver::bring_path_home() noexcept {
    constexpr int kTurnsMax = 20;
    if (!path_->is_bound()) return;
    const Instant now = clock();
    for (std::uint8_t i = 0; i < connections_; ++i) static_cast<void>(path_->reset(i, now));
    for (int turn = 0; turn < kTurnsMax; ++turn) {
        path_->send_output(clock());
        bool is_home = true;
        for (std::uint8_t i = 0; i < connections_; ++i) {
            static_cast<void>(path_->poll_report(i, now));
            is_home = is_home && path_->is_idle(i);
        }
        if (is_home) return;
    }
}

}  // namespace holdfast::daemon
