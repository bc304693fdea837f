#include "stress/target/login.h"
#include "stress/target/one_of.h"

#include <algorithm>
#include <array>

namespace holdfast::target {
namespace {

constexpr std::uint32_t kRequestsMax = 32;
constexpr std::size_t kChallengeBytes = 16;
/// The portal group that all portals of this target belong to.
constexpr std::uint64_t kPortalGroup = 1;

/// Keys of the first request that declare something and want no answer.
constexpr std::array kIdentityKeys{std::string_view{"InitiatorName"},
                                   std::string_view{"InitiatorAlias"},
                                   std::string_view{"TargetName"}, std::string_view{"SessionType"}};

const std::string* find_key(const std::vector<KeyValue>& keys, std::string_view key) {
    const auto found = std::ranges::find(keys, key, &KeyValue::key);
    return found == keys.end() ? nullptr : &found->value;
}

constexpr std::uint8_t stage_flags(unsigned current, unsigned next) {
    return static_cast<std::uint8_t>((current << 2) | next);
}

LoginAnswer failed(LoginStatus status) {
    return LoginAnswer{.status = status, .flags = 0, .text = {}, .complete = false};
}

}  // namespace

bool Login::authentication_is_required() const {
    if (config_.auth.initiators.empty()) return false;
    return !identity_.discovery || config_.auth.discovery_too;
}

LoginStatus Login::begin(HeaderView header, const std::vector<KeyValue>& keys) {
    std::ranges::copy(header.subspan<at::kIsid, 6>(), identity_.isid.begin());
    identity_.tsih = be16_at<at::kTsih>(header);
    identity_.cid = be16_at<at::kCid>(header);
    const auto* initiator = find_key(keys, "InitiatorName");
    const auto* target = find_key(keys, "TargetName");
    const auto* type = find_key(keys, "SessionType");
    if (initiator == nullptr || initiator->empty()) return LoginStatus::MissingParameter;
    identity_.initiator_name = *initiator;
    identity_.discovery = type != nullptr && *type == "Discovery";
    if (type != nullptr && *type != "Discovery" && *type != "Normal")
        return LoginStatus::SessionTypeNotSupported;
    if (!identity_.discovery) {
        if (target == nullptr) return LoginStatus::MissingParameter;
        identity_.target_name = *target;
        if (!is_one_of(*target, config_.names)) return LoginStatus::NotFound;
    }
    negotiation_.emplace(config_.operational, identity_.discovery);
    stage_ = static_cast<Stage>((flags_of(header) >> 2) & 3U);
    if (stage_ == Stage::Operational && authentication_is_required())
        return LoginStatus::AuthenticationFailure;
    begun_ = true;
    return LoginStatus::Success;
}

LoginAnswer Login::redirect() const {
    TextWriter out;
    out.add("TargetAddress", redirect_.address);
    return LoginAnswer{.status = redirect_.permanent ? LoginStatus::MovedPermanently
                                                     : LoginStatus::MovedTemporarily,
                       .flags = 0,
                       .text = out.take(),
                       .complete = false};
}

LoginStatus Login::choose_method(std::string_view methods, TextWriter& out) {
    const std::string_view wanted = authentication_is_required() ? "CHAP" : "None";
    if (!is_one_of(wanted, split_list(methods))) {
        return LoginStatus::AuthenticationFailure;
    }
    out.add("AuthMethod", wanted);
    chap_step_ = authentication_is_required() ? ChapStep::Algorithm : ChapStep::Proved;
    return LoginStatus::Success;
}

LoginStatus Login::choose_algorithm(std::string_view algorithms, TextWriter& out) {
    for (const auto value : split_list(algorithms)) {
        const auto number = parse_number(value);
        if (!number || *number > 255) continue;
        const int algorithm = static_cast<int>(*number);
        if (!is_one_of(algorithm, config_.auth.algorithms)) continue;
        algorithm_ = algorithm;
        identifier_ = static_cast<std::uint8_t>(random_.below(256));
        challenge_.resize(kChallengeBytes);
        for (auto& octet : challenge_) octet = static_cast<std::uint8_t>(random_.below(256));
        out.add("CHAP_A", *number);
        out.add("CHAP_I", identifier_);
        out.add("CHAP_C", hex_text(challenge_));
        chap_step_ = ChapStep::Response;
        return LoginStatus::Success;
    }
    return LoginStatus::AuthenticationFailure;
}

LoginStatus Login::check_response(const std::vector<KeyValue>& keys, TextWriter& out) {
    const auto* name = find_key(keys, "CHAP_N");
    const auto* response = find_key(keys, "CHAP_R");
    if (name == nullptr || response == nullptr) return LoginStatus::AuthenticationFailure;
    const auto account = std::ranges::find(config_.auth.initiators, *name, &Account::name);
    if (account == config_.auth.initiators.end()) return LoginStatus::AuthenticationFailure;
    const auto expected = chap_response(algorithm_, identifier_, account->secret, challenge_);
    if (!expected || parse_binary(*response) != expected) return LoginStatus::AuthenticationFailure;
    chap_step_ = ChapStep::Proved;
    return prove_ourselves(keys, out);
}

LoginStatus Login::prove_ourselves(const std::vector<KeyValue>& keys, TextWriter& out) {
    const auto* identifier = find_key(keys, "CHAP_I");
    const auto* challenge = find_key(keys, "CHAP_C");
    if (identifier == nullptr && challenge == nullptr) return LoginStatus::Success;
    if (identifier == nullptr || challenge == nullptr || config_.auth.mutual.name.empty())
        return LoginStatus::AuthenticationFailure;
    const auto number = parse_number(*identifier);
    const auto octets = parse_binary(*challenge);
    // Section 9.2.1: a challenge of ours that comes back is a reflection attack.
    if (!number || *number > 255 || !octets || octets->size() > 1024 || *octets == challenge_)
        return LoginStatus::AuthenticationFailure;
    const auto response = chap_response(algorithm_, static_cast<std::uint8_t>(*number),
                                        config_.auth.mutual.secret, *octets);
    if (!response) return LoginStatus::AuthenticationFailure;
    out.add("CHAP_N", config_.auth.mutual.name);
    out.add("CHAP_R", hex_text(*response));
    return LoginStatus::Success;
}

LoginStatus Login::on_security(const std::vector<KeyValue>& keys, TextWriter& out) {
    for (const auto& [key, value] : keys) {
        if (is_one_of(std::string_view{key}, kIdentityKeys)) continue;
        // Section 12: operational keys have no place in this stage.
        if (key != "AuthMethod" && !key.starts_with("CHAP_")) return LoginStatus::InitiatorError;
    }
    switch (chap_step_) {
    case ChapStep::Method: {
        const auto* methods = find_key(keys, "AuthMethod");
        if (methods != nullptr) return choose_method(*methods, out);
        return authentication_is_required() ? LoginStatus::AuthenticationFailure
                                            : LoginStatus::Success;
    }
    case ChapStep::Algorithm: {
        const auto* algorithms = find_key(keys, "CHAP_A");
        // An initiator may still wait for the list to be asked for with an empty request.
        if (algorithms == nullptr) return LoginStatus::AuthenticationFailure;
        return choose_algorithm(*algorithms, out);
    }
    case ChapStep::Response: return check_response(keys, out);
    case ChapStep::Proved: break;
    }
    return LoginStatus::Success;
}

void Login::on_operational(const std::vector<KeyValue>& keys, TextWriter& out) {
    for (const auto& key : keys) {
        if (is_one_of(std::string_view{key.key}, kIdentityKeys)) continue;
        // What answers a proposal of ours is taken, not answered again.
        const bool is_answer = std::ranges::any_of(
            config_.operational.proposals,
            [&](const std::string& ours) { return declared_ && ours.starts_with(key.key + "="); });
        TextWriter unsent;
        negotiation_->answer(key, is_answer ? unsent : out);
    }
    if (declared_) return;
    declared_ = true;
    const auto& policy = config_.operational;
    if (policy.max_recv_data_segment_bytes != 0)
        out.add("MaxRecvDataSegmentLength", policy.max_recv_data_segment_bytes);
    for (const auto& proposal : policy.proposals) {
        const auto equals = proposal.find('=');
        // What the initiator has offered is answered already.
        if (is_one_of(proposal.substr(0, equals), keys_seen_)) continue;
        out.add(proposal.substr(0, equals), proposal.substr(equals + 1));
        extra_round_due_ = true;
    }
}

/// The pairs of the joined text; nothing when it is malformed or repeats a key. Section 6.3.
std::optional<std::vector<KeyValue>> Login::take_keys() {
    auto keys = parse_text(std::exchange(text_, {}));
    if (!keys) return {};
    for (const auto& key : *keys) {
        if (is_one_of(key.key, keys_seen_)) return {};
        keys_seen_.push_back(key.key);
    }
    return keys;
}

LoginAnswer Login::on_request(HeaderView header, Bytes data) {
    const std::uint8_t flags = flags_of(header);
    const auto current = static_cast<std::uint8_t>((flags >> 2) & 3U);
    const auto next = static_cast<std::uint8_t>(flags & 3U);
    const bool transit = (flags & bit::kTransit) != 0;
    if (++requests_ > kRequestsMax) return failed(LoginStatus::InitiatorError);
    if (u8_at<at::kStatus>(header) > 0) return failed(LoginStatus::UnsupportedVersion);
    if (text_.size() + data.size() > kTextBytesMax) return failed(LoginStatus::InitiatorError);
    text_.append(as_text(data));
    if ((flags & bit::kContinue) != 0) {
        if (transit) return failed(LoginStatus::InitiatorError);
        return LoginAnswer{.flags = stage_flags(current, 0)};
    }
    const auto keys = take_keys();
    if (!keys) return failed(LoginStatus::InitiatorError);
    if (current > 1 || (transit && (next == 2 || next <= current)))
        return failed(LoginStatus::InvalidDuringLogin);
    TextWriter out;
    if (!begun_) {
        const LoginStatus status = begin(header, *keys);
        if (status != LoginStatus::Success) return failed(status);
        if (!redirect_.address.empty() && !identity_.discovery) return redirect();
        if (!identity_.discovery && identity_.tsih == 0)
            out.add("TargetPortalGroupTag", kPortalGroup);
    }
    if (current != static_cast<std::uint8_t>(stage_))
        return failed(LoginStatus::InvalidDuringLogin);
    if (stage_ == Stage::Security) {
        const LoginStatus status = on_security(*keys, out);
        if (status != LoginStatus::Success) return failed(status);
    } else {
        on_operational(*keys, out);
    }
    const bool security_open =
        stage_ == Stage::Security && authentication_is_required() && chap_step_ != ChapStep::Proved;
    const bool move_on = transit && !security_open && !std::exchange(extra_round_due_, false);
    if (move_on) stage_ = static_cast<Stage>(next);
    return LoginAnswer{.status = LoginStatus::Success,
                       .flags = static_cast<std::uint8_t>(stage_flags(current, move_on ? next : 0) |
                                                          (move_on ? bit::kTransit : 0)),
                       .text = out.take(),
                       .complete = move_on && stage_ == Stage::FullFeature};
}

}  // namespace holdfast::target
