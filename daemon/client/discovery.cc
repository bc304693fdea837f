#include "daemon/client/discovery.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/unique_fd.h"
#include "daemon/control/failures.h"
#include "daemon/control/log_drain.h"
#include "daemon/control/spec_builder.h"
#include "initiator/discovery.h"
#include "netpath/io/socket_address.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::daemon {

namespace {

using initiator::DiscoveryResult;
using initiator::Engine;
using initiator::Order;
using initiator::OrderKind;
using initiator::Portal;

constexpr std::size_t kTargetsMax = 65536;
constexpr Duration kPollMax = Duration::from_s(1);

initiator::FreshRandom fresh_random() {
    initiator::FreshRandom random{};
    const ssize_t drawn = ::getrandom(random.data(), random.size(), 0);
    HF_ASSERT(drawn == static_cast<ssize_t>(random.size()));
    return random;
}

/// Collects findings; a target without an address is reached where we asked.
class Collector {
public:
    explicit Collector(const Portal& asked)
        : asked_(to_text(HostPort{.host = std::string{asked.host.view()}, .port = asked.port})) {}

    void take(const initiator::Finding& finding) {
        const std::string name{finding.target.view()};
        auto known = std::ranges::find(targets_, name, &FoundTarget::name);
        if (known == targets_.end()) {
            if (targets_.size() == kTargetsMax) return;
            targets_.push_back({.name = name, .portals = {}});
            known = targets_.end() - 1;
        }
        const std::string portal =
            finding.address
                ? to_text(HostPort{.host = std::string{finding.address->portal.host.view()},
                                   .port = finding.address->portal.port})
                : asked_;
        if (std::ranges::find(known->portals, portal) == known->portals.end())
            known->portals.push_back(portal);
    }
    [[nodiscard]] std::vector<FoundTarget> take_all() { return std::move(targets_); }

private:
    std::string asked_;
    std::vector<FoundTarget> targets_;
};

/// The memory of one discovery session.
class Room {
public:
    Room() : bytes_(std::make_unique<std::byte[]>(planned_bytes() + reserve::kCarveUnitBytes)) {}
    [[nodiscard]] reserve::Region region() {
        void* at = bytes_.get();
        std::size_t left = planned_bytes() + reserve::kCarveUnitBytes;
        HF_ASSERT(std::align(reserve::kCarveUnitBytes, planned_bytes(), at, left) != nullptr);
        return reserve::Region{{static_cast<std::byte*>(at), left}};
    }

private:
    [[nodiscard]] static std::size_t planned_bytes() {
        reserve::MemoryPlan plan;
        initiator::Discovery::add_to_plan(plan);
        return static_cast<std::size_t>(plan.total().raw());
    }
    std::unique_ptr<std::byte[]> bytes_;
};

/// Drives one session at one portal to its end.
class Conversation {
public:
    explicit Conversation(const initiator::SessionConfig& config)
        : region_(room_.region()), session_(config, region_), collector_(config.portals[0]) {}

    [[nodiscard]] DiscoveryResult run() {
        session_.start(monotonic_now());
        follow_orders();
        while (!is_stopped_) {
            send_what_is_due();
            wait();
            session_.wake(monotonic_now());
            follow_orders();
        }
        return session_.result();
    }
    [[nodiscard]] std::vector<FoundTarget> take_targets() { return collector_.take_all(); }
    [[nodiscard]] Failure failure() const {
        if (session_.result() == DiscoveryResult::LoginFailed)
            return failure_of_login(session_.login_failure());
        if (session_.result() == DiscoveryResult::ProtocolError)
            return failure_of_login({.error = initiator::LoginError::NotALoginResponse});
        return failure_of_notices({});
    }

private:
    void follow_orders() {
        while (const auto order = session_.poll_order()) follow(*order);
    }

    void follow(const Order& order) {
        switch (order.kind) {
        case OrderKind::Connect: connect(order.portal); break;
        case OrderKind::Close:
        case OrderKind::Reset: lose(); break;
        case OrderKind::GaveUp:
        case OrderKind::Stopped: is_stopped_ = true; break;
        case OrderKind::DeviceReady:
        case OrderKind::DeviceResized: break;
        }
    }

    void connect(const Portal& portal) {
        is_up_ = false;
        const auto found = resolve_host(portal.host.view());
        const auto address =
            found ? netpath::SocketAddress::from_text(found->view(), portal.port) : std::nullopt;
        if (!address) return lose();
        const int family = address->is_ipv6() ? AF_INET6 : AF_INET;
        socket_ = UniqueFd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        const int done = ::connect(socket_.get(), address->raw(), address->raw_bytes());
        if (done != 0 && errno != EINPROGRESS) lose();
    }

    void lose() {
        socket_.reset();
        is_up_ = false;
        session_.transport_lost(monotonic_now());
    }

    void send_what_is_due() {
        while (is_up_) {
            std::array<std::span<const std::byte>, Engine::kTxSpansMax> room{};
            const auto spans = session_.tx_spans(room);
            if (spans.empty()) return;
            const ssize_t done = ::send(socket_.get(), spans[0].data(), spans[0].size(),
                                        MSG_NOSIGNAL | MSG_DONTWAIT);
            if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
                is_blocked_ = true;
                return;
            }
            if (done < 0) return lose();
            session_.tx_sent(static_cast<std::size_t>(done));
        }
    }

    void wait() {
        if (!socket_ || is_stopped_) return;
        const Instant now = monotonic_now();
        const Instant due = earlier(session_.next_wake(), now + kPollMax);
        const auto wait_ms = static_cast<int>(std::max<std::int64_t>((due - now).ms() + 1, 0));
        const short events = !is_up_ || is_blocked_ ? POLLIN | POLLOUT : POLLIN;
        pollfd one{.fd = socket_.get(), .events = events, .revents = 0};
        if (::poll(&one, 1, wait_ms) <= 0) return;
        is_blocked_ = false;
        if (!is_up_) return finish_connecting();
        receive();
    }

    void finish_connecting() {
        int error = 0;
        socklen_t error_bytes = sizeof(error);
        const int got = ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &error_bytes);
        if (got != 0 || error != 0) return lose();
        is_up_ = true;
        session_.transport_up(monotonic_now(), fresh_random());
    }

    void receive() {
        std::array<std::span<std::byte>, Engine::kRxSpansMax> room{};
        const auto spans = session_.rx_spaces(room);
        if (spans.empty()) return;
        const ssize_t got = ::recv(socket_.get(), spans[0].data(), spans[0].size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) return lose();
        const Instant now = monotonic_now();
        session_.rx_filled(now, static_cast<std::size_t>(got));
        while (const auto finding = session_.poll_finding(now)) collector_.take(*finding);
    }

    Room room_;
    reserve::Region region_;
    initiator::Discovery session_;
    Collector collector_;
    UniqueFd socket_;
    bool is_up_ = false;
    bool is_blocked_ = false;
    bool is_stopped_ = false;
};

}  // namespace

OrFailure<std::vector<FoundTarget>> discover(const initiator::SessionConfig& session) {
    std::optional<Failure> last;
    for (const Portal& portal : session.portals) {
        initiator::SessionConfig config = session;
        config.portals.clear();
        config.portals.push(portal);
        const auto conversation = std::make_unique<Conversation>(config);
        if (conversation->run() == DiscoveryResult::Done) return conversation->take_targets();
        last = conversation->failure();
        if (last->code != ExitCode::Unreachable) break;
    }
    HF_ASSERT(last.has_value());  // The caller resolved at least one portal.
    return std::unexpected{*last};
}

}  // namespace holdfast::daemon
