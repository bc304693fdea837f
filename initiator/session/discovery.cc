#include "initiator/discovery.h"

#include <array>

#include "base/assert.h"
#include "initiator/login/text_exchange.h"
#include "initiator/session/command_window.h"
#include "initiator/session/framer.h"
#include "initiator/session/portal_choice.h"
#include "initiator/session/status_sequence.h"
#include "initiator/session/transmit_ring.h"

namespace holdfast::initiator {

namespace {

/// What we declare as MaxRecvDataSegmentLength: one part of the answer, bytes.
constexpr std::uint32_t kPartBytes = 32 * 1024;
constexpr std::size_t kStageBytes = 8 * 1024;
constexpr Itt kLoginItt{1};
constexpr Itt kTextItt{2};
constexpr Itt kLogoutItt{3};
constexpr Cid kCid{0};

}  // namespace

/// The stages come in this order; each waits for one thing.
class DiscoverySession {
public:
    DiscoverySession(const SessionConfig& config, reserve::Region& region) noexcept
        : config_(with_part_length(config)),
          part_(region.carve_bytes(kPartBytes, alignof(std::max_align_t))),
          login_text_(region.carve_bytes(kLoginDataBytesMax, alignof(std::max_align_t))),
          framer_(region.carve_bytes(kStageBytes, alignof(std::max_align_t))),
          ring_(region, EngineLimits{}) {
        HF_ASSERT(!config.portals.empty());
    }
    DiscoverySession(const DiscoverySession&) = delete;
    DiscoverySession& operator=(const DiscoverySession&) = delete;

    enum class Stage : std::uint8_t {
        Idle,
        Connecting,
        LoggingIn,
        Asking,   // A Text Response is due, or a request waits to go out.
        Taking,   // Findings are taken out of the last response.
        Leaving,  // The Logout Response is due.
        Closing,  // Reset or Close was ordered.
        Ended,
    };

    void connect(Instant now) noexcept;
    void take_in(Instant now) noexcept;
    [[nodiscard]] std::optional<Finding> take_finding(Instant now) noexcept;
    void on_pdu(Instant now) noexcept;
    void on_login_pdu(Instant now) noexcept;
    void on_text(Instant now) noexcept;
    void on_other(TargetOpcode opcode) noexcept;
    void on_nop_in() noexcept;
    void gather() noexcept;
    void put_text() noexcept;
    void finish(DiscoveryResult result, OrderKind how) noexcept;
    void order(OrderKind kind) noexcept;
    [[nodiscard]] bool has_transport() const noexcept {
        return stage_ != Stage::Idle && stage_ != Stage::Closing && stage_ != Stage::Ended;
    }
    [[nodiscard]] bool take_status() noexcept;
    [[nodiscard]] static SessionConfig with_part_length(SessionConfig config) noexcept {
        config.wish.max_recv_data_segment_bytes = kPartBytes;
        return config;
    }

    const SessionConfig config_;
    std::span<std::byte> part_;
    std::span<std::byte> login_text_;
    Framer framer_;
    TransmitRing ring_;
    StatusSequence status_;
    CommandWindow window_;
    PortalChoice portal_;
    std::optional<LoginMachine> login_;
    TextExchange text_{kTextItt, Delivery::Immediate};
    SendTargetsParser parser_;
    TextOut question_;
    std::span<const std::byte> untaken_{};
    TextStep text_step_ = TextStep::SendNext;
    DigestsInUse digests_{};
    FixedQueue<Order, 4> orders_;
    FixedQueue<Ttt, 8> nop_answers_;
    Stage stage_ = Stage::Idle;
    DiscoveryResult result_ = DiscoveryResult::Running;
    LoginFailure failure_{};
    Instant deadline_ = Instant::never();
    bool is_unsent_ = false;  // The request of this stage waits to go out.
    bool is_first_ask_ = true;
    bool is_md5_only_ = false;
    bool connect_again_ = false;
};

void DiscoverySession::order(OrderKind kind) noexcept {
    Order wanted{.kind = kind, .conn = ConnIndex{0}, .portal = {}};
    if (kind == OrderKind::Connect) wanted.portal = portal_.current(config_);
    orders_.push(wanted);
}

void DiscoverySession::connect(Instant now) noexcept {
    stage_ = Stage::Connecting;
    deadline_ = now + config_.timers.login;
    order(OrderKind::Connect);
}

void DiscoverySession::finish(DiscoveryResult result, OrderKind how) noexcept {
    HF_ASSERT(has_transport());
    if (result_ == DiscoveryResult::Running) result_ = result;
    stage_ = Stage::Closing;
    deadline_ = Instant::never();
    order(how);
}

bool DiscoverySession::take_status() noexcept {
    const TargetNumbers numbers = target_numbers(framer_.header());
    if (status_.order_of(numbers.stat_sn) != StatusOrder::Due) return false;
    status_.advance();
    window_.on_target_numbers(numbers.expected_cmd_sn, numbers.max_cmd_sn);
    return true;
}

void DiscoverySession::on_login_pdu(Instant now) noexcept {
    if (is_unsent_) return finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
    const LoginStep step = login_->on_response(framer_.header(), framer_.placed());
    if (std::holds_alternative<LoginSendNext>(step)) {
        is_unsent_ = true;
    } else if (const auto* done = std::get_if<LoginDone>(&step)) {
        digests_ = done->parameters.digests();
        framer_.agree(digests_, done->parameters.max_recv_ours_bytes);
        status_.start(done->expected_stat_sn);
        window_.on_target_numbers(done->expected_cmd_sn, done->max_cmd_sn);
        stage_ = Stage::Asking;
        is_unsent_ = true;
        deadline_ = now + config_.timers.login;
    } else if (const auto* redirect = std::get_if<LoginRedirect>(&step)) {
        connect_again_ = portal_.on_redirect(redirect->portals[0], redirect->is_permanent);
        if (!connect_again_) result_ = DiscoveryResult::LoginFailed;
        finish(DiscoveryResult::Running, OrderKind::Reset);
    } else if (const auto* failure = std::get_if<LoginFailure>(&step)) {
        failure_ = *failure;
        connect_again_ = failure->retry_with_md5_only && !is_md5_only_;
        is_md5_only_ = true;
        finish(connect_again_ ? DiscoveryResult::Running : DiscoveryResult::LoginFailed,
               OrderKind::Reset);
    }
}

void DiscoverySession::on_pdu(Instant now) noexcept {
    if (stage_ == Stage::LoggingIn) return on_login_pdu(now);
    const auto opcode = opcode_of(framer_.header());
    HF_ASSERT(opcode.has_value());  // The framer has judged it.
    if (*opcode == TargetOpcode::TextResponse) return on_text(now);
    on_other(*opcode);
}

void DiscoverySession::on_text(Instant now) noexcept {
    const auto view = TextResponseView::parse(framer_.header());
    const bool is_due = view && stage_ == Stage::Asking && !is_unsent_ && take_status();
    const auto step =
        is_due ? text_.on_response(*view) : std::unexpected{Violation::TextAnswerUnexpected};
    if (!step) return finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
    text_step_ = *step;
    untaken_ = framer_.placed();
    stage_ = Stage::Taking;
    deadline_ = now + config_.timers.login;
}

void DiscoverySession::on_nop_in() noexcept {
    const auto view = NopInView::parse(framer_.header());
    if (!view || view->is_answer()) {
        return finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
    }
    if (!view->wants_answer()) return;
    if (!nop_answers_.try_push(view->transfer_tag())) {
        finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
    }
}

void DiscoverySession::on_other(TargetOpcode opcode) noexcept {
    if (opcode == TargetOpcode::NopIn) return on_nop_in();
    const bool is_logged_out = opcode == TargetOpcode::LogoutResponse && stage_ == Stage::Leaving;
    // A discovery session may be dropped at any time (7.4.3); whatever was found stays.
    if (!is_logged_out) return finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
    finish(DiscoveryResult::Done, OrderKind::Close);
}

void DiscoverySession::take_in(Instant now) noexcept {
    // While findings are taken, what follows in the stream waits in the framer.
    while (has_transport() && stage_ != Stage::Taking) {
        switch (framer_.next()) {
        case Framed::NeedsBytes: return;
        case Framed::Header: framer_.place_payload(part_.first(framer_.payload_bytes())); break;
        case Framed::Pdu: on_pdu(now); break;
        case Framed::HeaderDigestWrong:
        case Framed::DataDigestWrong:
        case Framed::Violation: return finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
        }
    }
}

std::optional<Finding> DiscoverySession::take_finding(Instant now) noexcept {
    if (stage_ != Stage::Taking) return {};
    if (!untaken_.empty()) {
        if (auto finding = parser_.poll(untaken_)) return finding;
    }
    std::optional<Finding> last;
    if (text_step_ == TextStep::Done) {
        last = parser_.finish();
        stage_ = Stage::Leaving;
    } else {
        stage_ = Stage::Asking;
    }
    is_unsent_ = true;
    deadline_ = now + config_.timers.login;
    if (parser_.error() != SendTargetsError::None) {
        finish(DiscoveryResult::ProtocolError, OrderKind::Reset);
        return last;
    }
    take_in(now);
    return last;
}

void DiscoverySession::put_text() noexcept {
    question_.clear();
    if (is_first_ask_) write_send_targets_all(question_);
    is_first_ask_ = false;
    const auto bytes = question_.bytes();
    text_.next_request(ring_.next_header(), window_.current(), status_.expected(),
                       static_cast<std::uint32_t>(bytes.size()));
    ring_.push(digests_, bytes, TransmitRing::kNobody);
}

void DiscoverySession::gather() noexcept {
    while (!nop_answers_.empty() && ring_.has_room()) {
        write(ring_.next_header(), NopOutHeader{.ttt = nop_answers_.pop(),
                                                .cmd_sn = window_.current(),
                                                .expected_stat_sn = status_.expected()});
        ring_.push(digests_, {}, TransmitRing::kNobody);
    }
    if (!is_unsent_ || !ring_.empty()) return;  // What is lent stays until it was sent.
    is_unsent_ = false;
    if (stage_ == Stage::LoggingIn) {
        const std::size_t bytes = login_->next_request(ring_.next_header(), login_text_);
        ring_.push(digests_, login_text_.first(bytes), TransmitRing::kNobody);
    } else if (stage_ == Stage::Asking) {
        put_text();
    } else if (stage_ == Stage::Leaving) {
        write(ring_.next_header(), LogoutRequestHeader{.itt = kLogoutItt,
                                                       .cid = kCid,
                                                       .cmd_sn = window_.current(),
                                                       .expected_stat_sn = status_.expected()});
        ring_.push(digests_, {}, TransmitRing::kNobody);
    }
}

void Discovery::add_to_plan(reserve::MemoryPlan& plan) noexcept {
    plan.add_objects<DiscoverySession>("discovery session", 1, "state of one discovery");
    TransmitRing::add_to_plan(plan, EngineLimits{});
    plan.add({.name = "text answer",
              .count = 1,
              .each = ByteCount{kPartBytes},
              .reason = "one part at a time"});
    plan.add({.name = "login text",
              .count = 1,
              .each = ByteCount{kLoginDataBytesMax},
              .reason = "one login request at a time"});
    plan.add({.name = "receive stage",
              .count = 1,
              .each = ByteCount{kStageBytes},
              .reason = "headers of one receive"});
}

Discovery::Discovery(const SessionConfig& config, reserve::Region& region) noexcept
    : session_(region.make<DiscoverySession>(config, region)) {}

Discovery::~Discovery() {
    session_.~DiscoverySession();
}

void Discovery::start(Instant now) noexcept {
    HF_ASSERT(session_.stage_ == DiscoverySession::Stage::Idle);
    session_.connect(now);
}

void Discovery::transport_up(Instant, const FreshRandom& random) noexcept {
    DiscoverySession& s = session_;
    if (s.stage_ != DiscoverySession::Stage::Connecting) return;
    s.stage_ = DiscoverySession::Stage::LoggingIn;
    s.framer_.restart();
    s.digests_ = {};
    s.window_.start(CmdSn{s.config_.first_cmd_sn});
    const LoginIdentity identity{.isid = s.config_.isid,
                                 .tsih = {},
                                 .cid = kCid,
                                 .itt = kLoginItt,
                                 .cmd_sn = s.window_.current(),
                                 .expected_stat_sn = {}};
    s.login_.emplace(
        s.config_, identity, random,
        LoginOptions{.type = SessionType::Discovery, .offer_md5_only = s.is_md5_only_});
    s.is_unsent_ = true;
}

void Discovery::transport_lost(Instant now) noexcept {
    DiscoverySession& s = session_;
    if (s.stage_ == DiscoverySession::Stage::Idle || s.stage_ == DiscoverySession::Stage::Ended) {
        return;
    }
    const bool was_login = s.stage_ == DiscoverySession::Stage::LoggingIn;
    if (was_login && s.login_->on_transport_lost() && !s.is_md5_only_) {
        s.is_md5_only_ = true;
        s.connect_again_ = true;
    }
    s.ring_.clear();
    s.is_unsent_ = false;
    if (std::exchange(s.connect_again_, false)) return s.connect(now);
    // A target that closes instead of answering the logout has given its whole answer.
    const bool is_done = s.stage_ == DiscoverySession::Stage::Leaving;
    if (s.result_ == DiscoveryResult::Running) {
        s.result_ = is_done ? DiscoveryResult::Done : DiscoveryResult::ConnectFailed;
    }
    s.stage_ = DiscoverySession::Stage::Ended;
    s.deadline_ = Instant::never();
    s.order(OrderKind::Stopped);
}

std::span<std::span<std::byte>> Discovery::rx_spaces(std::span<std::span<std::byte>> out) noexcept {
    using enum DiscoverySession::Stage;
    const auto stage = session_.stage_;
    if (stage != LoggingIn && stage != Asking && stage != Leaving) return {};
    return session_.framer_.spaces(out);
}

void Discovery::rx_filled(Instant now, std::size_t bytes) noexcept {
    using enum DiscoverySession::Stage;
    if (bytes == 0 || !session_.has_transport() || session_.stage_ == Connecting) return;
    session_.framer_.filled(bytes);
    session_.take_in(now);
}

std::span<std::span<const std::byte>> Discovery::tx_spans(
    std::span<std::span<const std::byte>> out) noexcept {
    if (!session_.has_transport()) return {};
    session_.gather();
    return session_.ring_.spans(out);
}

void Discovery::tx_sent(std::size_t bytes) noexcept {
    if (!session_.has_transport()) return;
    session_.ring_.sent(bytes);
    session_.ring_.released(bytes);  // Discovery has a transport that copies.
    std::uint16_t owner = TransmitRing::kNobody;
    const auto released = session_.ring_.release(owner);
    HF_ASSERT(released == TransmitRing::Release::Done);  // Nobody lends anything here.
}

std::optional<Order> Discovery::poll_order() noexcept {
    if (session_.orders_.empty()) return {};
    return session_.orders_.pop();
}

std::optional<Finding> Discovery::poll_finding(Instant now) noexcept {
    return session_.take_finding(now);
}

Instant Discovery::next_wake() const noexcept {
    return session_.deadline_;
}

void Discovery::wake(Instant now) noexcept {
    if (session_.deadline_ > now || !session_.has_transport()) return;
    session_.finish(DiscoveryResult::TimedOut, OrderKind::Reset);
}

DiscoveryResult Discovery::result() const noexcept {
    return session_.result_;
}

const LoginFailure& Discovery::login_failure() const noexcept {
    return session_.failure_;
}

}  // namespace holdfast::initiator
