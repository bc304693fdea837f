#include "initiator/login/login.h"

#include <algorithm>

#include "base/assert.h"
#include "initiator/login/target_address.h"
#include "initiator/login/value.h"

namespace holdfast::initiator {

namespace {

constexpr std::string_view kMethodChap = "CHAP";
constexpr std::uint16_t kPortalGroupUnknown = 0xffff;

NegotiationKind kind_of(const LoginIdentity& identity) noexcept {
    return identity.tsih == Tsih{} ? NegotiationKind::LeadingLogin : NegotiationKind::AddedLogin;
}

NegotiatedParameters session_of(const LoginOptions& options) noexcept {
    return options.session != nullptr ? *options.session : NegotiatedParameters{};
}

KeyStage key_stage(LoginStage stage) noexcept {
    return stage == LoginStage::Security ? KeyStage::Security : KeyStage::Operational;
}

bool is_chap_key(KeyId id) noexcept {
    return id >= KeyId::ChapA && id <= KeyId::ChapR;
}

}  // namespace

LoginMachine::LoginMachine(const SessionConfig& config, const LoginIdentity& identity,
                           std::span<const std::byte, kChapRandomBytes> random,
                           const LoginOptions& options) noexcept
    : config_(config),
      identity_(identity),
      options_(options),
      expected_stat_sn_(identity.expected_stat_sn),
      negotiation_(config.wish, options.type, kind_of(identity), session_of(options)),
      chap_(config.auth, options.offer_md5_only, random) {
    HF_ASSERT(identity.itt != kIttReserved);
    HF_ASSERT(is_leading() || options.type == SessionType::Normal);
    // What requires authentication does not skip the stage that brings it.
    if (options.start == LoginStart::Operational && !requires_chap()) {
        stage_ = LoginStage::Operational;
    }
}

LoginMachine::~LoginMachine() = default;

LoginStage LoginMachine::wanted_stage() const noexcept {
    return stage_ == LoginStage::Security ? LoginStage::Operational : LoginStage::FullFeature;
}

void LoginMachine::declare(KeyId id, std::string_view value) noexcept {
    out_.pair(spec_of(id).name, value);
    negotiation_.note_declared(id);
}

/// Names come once, in the first request, and never again (section 6.3).
void LoginMachine::write_first_text() noexcept {
    declare(KeyId::InitiatorName, config_.initiator_name.view());
    if (is_leading()) {
        const bool is_discovery = options_.type == SessionType::Discovery;
        declare(KeyId::SessionType, is_discovery ? "Discovery" : "Normal");
        const std::string_view alias = config_.initiator_alias.view();
        if (!alias.empty()) declare(KeyId::InitiatorAlias, alias);
    }
    if (options_.type == SessionType::Normal) {
        declare(KeyId::TargetName, config_.target_name.view());
    }
    if (stage_ == LoginStage::Security) {
        out_.pair(spec_of(KeyId::AuthMethod).name, requires_chap() ? kMethodChap : kNone);
        wants_transit_ = !requires_chap();
    } else {
        negotiation_.offer(out_);
        wants_transit_ = true;
    }
}

std::size_t LoginMachine::next_request(BhsOut header, std::span<std::byte> data) noexcept {
    HF_ASSERT(state_ == State::RequestDue);
    HF_ASSERT(data.size() >= kLoginDataBytesMax);
    HF_ASSERT(requests_ < kLoginExchangesMax);
    if (requests_ == 0) write_first_text();
    const auto text = out_.bytes();
    HF_ASSERT(!out_.overflowed() && text.size() <= kLoginDataBytesMax);
    HF_ASSERT(!is_continuation_due_ || text.empty());
    std::ranges::copy(text, data.begin());
    const auto text_bytes = static_cast<std::uint32_t>(text.size());
    write(header, LoginRequestHeader{.is_transit = wants_transit_,
                                     .current_stage = stage_,
                                     .next_stage = wanted_stage(),
                                     .isid = identity_.isid,
                                     .tsih = identity_.tsih,
                                     .itt = identity_.itt,
                                     .cid = identity_.cid,
                                     .cmd_sn = identity_.cmd_sn,
                                     .expected_stat_sn = expected_stat_sn_,
                                     .data_bytes = text_bytes});
    out_.clear();
    is_continuation_due_ = false;
    ++requests_;
    state_ = State::AwaitingResponse;
    return text_bytes;
}

LoginStep LoginMachine::on_response(Bhs header, std::span<const std::byte> data) noexcept {
    const LoginStep step = judge(header, data);
    const bool goes_on = std::holds_alternative<LoginSendNext>(step);
    state_ = goes_on ? State::RequestDue : State::Over;
    return step;
}

LoginStep LoginMachine::judge(Bhs header, std::span<const std::byte> data) noexcept {
    const auto response = LoginResponseView::parse(header);
    if (!response) {
        const bool is_other = response.error() == Violation::OpcodeUnassigned ||
                              response.error() == Violation::OpcodeUnexpected;
        LoginFailure wrong =
            failure(is_other ? LoginError::NotALoginResponse : LoginError::HeaderMalformed);
        wrong.violation = response.error();
        return wrong;
    }
    if (state_ != State::AwaitingResponse) {
        LoginFailure wrong = failure(LoginError::NotALoginResponse);
        wrong.violation = Violation::PhaseWrong;
        return wrong;
    }
    if (response->data_bytes() > kLoginDataBytesMax) return failure(LoginError::SegmentTooLong);
    HF_ASSERT(data.size() == response->data_bytes());
    if (response->status_class() != LoginStatusClass::Success) return on_refusal(*response, data);
    if (const auto wrong = judge_header(*response)) return failure(*wrong);
    return on_success(*response, data);
}

LoginStep LoginMachine::on_refusal(const LoginResponseView& response,
                                   std::span<const std::byte> data) noexcept {
    constexpr std::uint8_t kMovedPermanently = 2;
    if (response.status_class() == LoginStatusClass::Redirection) {
        return on_redirect(response.status_detail() == kMovedPermanently, data);
    }
    LoginFailure refused = failure(LoginError::RefusedByTarget);
    const auto status_class = static_cast<unsigned>(response.status_class());
    refused.status = static_cast<std::uint16_t>(status_class << 8 | response.status_detail());
    constexpr std::uint16_t kTargetError = 0x0300;
    const bool blames_us = response.status_class() == LoginStatusClass::InitiatorError;
    refused.retry_with_md5_only =
        may_retry_with_md5_only() && (blames_us || refused.status == kTargetError);
    // tgt 1.0.85 picks SHA-256 from the list, has no room for its digest, and calls the answer an
    // error of ours without a name. A wrong password has a name, and is not tried again.
    constexpr std::uint16_t kErrorWithoutName = 0x0200;
    const bool is_digest_out =
        security_ == Security::ResponseSent || security_ == Security::Finished;
    if (refused.status == kErrorWithoutName && stage_ == LoginStage::Security && is_digest_out) {
        refused.retry_with_md5_only = requires_chap() && chap_.offers_list();
    }
    return refused;
}

LoginStep LoginMachine::on_redirect(bool is_permanent, std::span<const std::byte> data) noexcept {
    LoginRedirect redirect{.portals = {}, .is_permanent = is_permanent};
    TextPairs pairs{as_text(data)};
    while (true) {
        const auto next = pairs.try_next();
        if (!next) return failure(next.error());
        const std::optional<TextPair>& pair = *next;
        if (!pair) break;
        if (key_of(pair->key) != KeyId::TargetAddress) continue;
        const auto address = parse_target_address(pair->value);
        if (!address || address->tag) continue;  // Section 13.8: the tag MUST be omitted here.
        if (!redirect.portals.try_push(address->portal)) break;
    }
    if (redirect.portals.empty()) {
        return failure(LoginError::RedirectWithoutAddress, KeyId::TargetAddress);
    }
    return redirect;
}

std::optional<LoginError> LoginMachine::judge_header(
    const LoginResponseView& response) const noexcept {
    if (response.task_tag() != identity_.itt) return LoginError::WrongTaskTag;
    if (response.version_active() != 0) return LoginError::VersionUnsupported;
    if (response.current_stage() != stage_) return LoginError::WrongStage;
    if (!response.is_transit()) return {};
    if (!wants_transit_) return LoginError::TransitNotAsked;
    if (response.next_stage() > wanted_stage()) return LoginError::NextStageTooFar;
    return {};
}

LoginStep LoginMachine::on_success(const LoginResponseView& response,
                                   std::span<const std::byte> data) noexcept {
    expected_stat_sn_ = response.numbers().stat_sn.next();
    if (!received_.try_append(data)) return failure(LoginError::TextTooLong);
    if (response.is_continued()) {
        is_continuation_due_ = true;
        return send_next();
    }
    if (const auto wrong = take_text(received_.view())) return *wrong;
    received_.clear();
    const auto group = negotiation_.target_portal_group();
    const bool is_other_group = group && config_.portal_group != kPortalGroupUnknown &&
                                options_.type == SessionType::Normal &&
                                *group != config_.portal_group;
    if (is_other_group) return failure(LoginError::WrongPortalGroup, KeyId::TargetPortalGroupTag);
    if (stage_ == LoginStage::Security) {
        if (const auto wrong = end_security_step()) return *wrong;
    }
    // Answers to unknown keys may have left no room for ours.
    if (out_.overflowed()) return failure(LoginError::AnswersTooLong);
    if (!response.is_transit()) return send_next();
    if (stage_ == LoginStage::Operational) return on_final(response);
    HF_ASSERT(!requires_chap() || security_ == Security::Finished);
    stage_ = LoginStage::Operational;
    out_.clear();
    negotiation_.offer(out_);
    wants_transit_ = true;
    return send_next();
}

LoginStep LoginMachine::send_next() noexcept {
    if (requests_ >= kLoginExchangesMax) return failure(LoginError::TooManyExchanges);
    return LoginSendNext{};
}

/// The final response. What the target still proposes in it MUST NOT need an answer (section
/// 11.13.6) and has no effect: no answer goes out.
LoginStep LoginMachine::on_final(const LoginResponseView& response) noexcept {
    HF_ASSERT(wants_transit_ && response.next_stage() == LoginStage::FullFeature);
    if (is_leading() && response.tsih() == Tsih{}) {
        return failure(LoginError::NewSessionWithoutHandle);
    }
    if (!is_leading() && response.tsih() != identity_.tsih) {
        return failure(LoginError::OtherSession);
    }
    const auto parameters = negotiation_.conclude();
    if (!parameters) return failure(parameters.error());
    const TargetNumbers numbers = response.numbers();
    return LoginDone{.parameters = *parameters,
                     .tsih = response.tsih(),
                     .expected_stat_sn = expected_stat_sn_,
                     .expected_cmd_sn = numbers.expected_cmd_sn,
                     .max_cmd_sn = numbers.max_cmd_sn};
}

std::optional<LoginFailure> LoginMachine::take_text(std::string_view text) noexcept {
    TextPairs pairs{text};
    while (true) {
        const auto next = pairs.try_next();
        if (!next) return failure(next.error());
        const std::optional<TextPair>& pair = *next;
        if (!pair) return {};
        if (const auto wrong = take_pair(*pair)) return wrong;
    }
}

std::optional<LoginFailure> LoginMachine::take_pair(const TextPair& pair) noexcept {
    const KeyId id = key_of(pair.key);
    const bool is_security = id != KeyId::Unknown && spec_of(id).use == KeyUse::Security;
    if (!is_security) {
        const auto wrong = negotiation_.take(pair, key_stage(stage_), out_);
        if (wrong) return failure(*wrong, id);
        return {};
    }
    if (const auto wrong = negotiation_.admit(id, key_stage(stage_), pair.value)) {
        return failure(*wrong, id);
    }
    if (is_chap_key(id)) {
        if (!requires_chap()) return chap_failure(ChapError::KeyUnexpected, id);
        if (const auto wrong = chap_.take(id, pair.value)) return chap_failure(*wrong, id);
        return {};
    }
    if (const auto wrong = take_auth_method(pair.value)) return failure(*wrong, id);
    return {};
}

std::optional<LoginError> LoginMachine::take_auth_method(std::string_view value) noexcept {
    HF_ASSERT(security_ == Security::MethodOffered);
    if (value == kNotUnderstood) return LoginError::KnownKeyNotUnderstood;
    const std::string_view offered = requires_chap() ? kMethodChap : kNone;
    if (value != offered) {
        return value == kNone ? LoginError::AuthenticationMissing
                              : LoginError::AuthenticationRefused;
    }
    security_ = requires_chap() ? Security::MethodChosen : Security::Finished;
    return {};
}

/// A response with C=0 in the security stage is a whole step of the exchange. Section 12.1.3.
std::optional<LoginFailure> LoginMachine::end_security_step() noexcept {
    if (!requires_chap()) return {};  // None: an answer to AuthMethod may be left out.
    switch (security_) {
    case Security::MethodOffered:
        return failure(LoginError::AuthenticationMissing, KeyId::AuthMethod);
    case Security::MethodChosen:
        if (chap_.has_keys()) return chap_failure(ChapError::KeyUnexpected, KeyId::ChapA);
        chap_.write_algorithms(out_);
        security_ = Security::AlgorithmsOffered;
        return {};
    case Security::AlgorithmsOffered:
        if (const auto wrong = chap_.answer_challenge(out_)) {
            return chap_failure(*wrong, KeyId::ChapC);
        }
        security_ = chap_.is_mutual() ? Security::ResponseSent : Security::Finished;
        wants_transit_ = true;
        return {};
    case Security::ResponseSent:
        if (const auto wrong = chap_.judge_target()) return chap_failure(*wrong, KeyId::ChapR);
        security_ = Security::Finished;
        return {};
    case Security::Finished:
        if (chap_.has_keys()) return chap_failure(ChapError::KeyUnexpected, KeyId::ChapR);
        return {};
    }
    return {};
}

/// While the target has our list of algorithms and has not chosen one.
bool LoginMachine::may_retry_with_md5_only() const noexcept {
    return state_ == State::AwaitingResponse && security_ == Security::AlgorithmsOffered &&
           chap_.offers_list();
}

LoginFailure LoginMachine::failure(LoginError error, KeyId key) const noexcept {
    LoginFailure result{.error = error, .key = key};
    result.retry_with_md5_only =
        error == LoginError::NotALoginResponse && may_retry_with_md5_only();
    return result;
}

LoginFailure LoginMachine::chap_failure(ChapError error, KeyId key) const noexcept {
    LoginFailure result = failure(LoginError::Chap, key);
    result.chap = error;
    const bool is_old_target =
        error == ChapError::AlgorithmNotOffered || error == ChapError::KeyMissing;
    result.retry_with_md5_only = is_old_target && may_retry_with_md5_only();
    return result;
}

}  // namespace holdfast::initiator
