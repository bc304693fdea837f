#include "initiator/login/negotiation.h"

#include <algorithm>

#include "base/assert.h"
#include "initiator/login/name.h"
#include "initiator/login/value.h"

namespace holdfast::initiator {

namespace {

/// The choices of a list key, by number.
std::span<const std::string_view> choices_of(KeyId id) noexcept {
    static constexpr std::array<std::string_view, 2> kDigests{"None", "CRC32C"};
    static constexpr std::array<std::string_view, 3> kReporting{"RFC3720", "ResponseFence",
                                                                "FastAbort"};
    static_assert(kDigests[kDigestNone] == "None" && kDigests[kDigestCrc32c] == "CRC32C");
    if (id == KeyId::HeaderDigest || id == KeyId::DataDigest) return kDigests;
    if (id == KeyId::TaskReporting) return kReporting;
    return {};
}

std::optional<std::uint32_t> choice_number(KeyId id, std::string_view item) noexcept {
    const auto choices = choices_of(id);
    const auto found = std::ranges::find(choices, item);
    if (found == choices.end()) return {};
    return static_cast<std::uint32_t>(std::distance(choices.begin(), found));
}

/// The word as an answer; None when it is an ordinary value.
KeyAnswer reserved_word(std::string_view value) noexcept {
    if (value == kReject) return KeyAnswer::Rejected;
    if (value == kIrrelevant) return KeyAnswer::Irrelevant;
    if (value == kNotUnderstood) return KeyAnswer::NotUnderstood;
    return KeyAnswer::None;
}

/// The value in the form that merge() takes. Its range is judged there.
std::expected<std::uint32_t, LoginError> parse_value(const KeySpec& spec,
                                                     std::string_view value) noexcept {
    if (spec.kind == KeyKind::Boolean) {
        const auto flag = parse_boolean(value);
        if (!flag) return std::unexpected{LoginError::ValueMalformed};
        return *flag ? 1U : 0U;
    }
    if (spec.kind == KeyKind::List) {
        const auto choice = choice_number(spec.id, value);
        if (!choice) return std::unexpected{LoginError::ValueNotOffered};
        return *choice;
    }
    const auto number = spec.kind == KeyKind::Tag ? parse_small_binary(value) : parse_number(value);
    if (!number) return std::unexpected{LoginError::ValueMalformed};
    if (*number > 0xffff'ffffU) return std::unexpected{LoginError::ValueOutOfRange};
    return static_cast<std::uint32_t>(*number);
}

/// What we select from a proposal of the target. Section 13, result functions.
std::uint32_t select(ResultFunction result, std::uint32_t proposed, std::uint32_t wished) noexcept {
    switch (result) {
    case ResultFunction::Minimum:
    case ResultFunction::And: return std::min(proposed, wished);
    case ResultFunction::Maximum:
    case ResultFunction::Or: return std::max(proposed, wished);
    case ResultFunction::Declared:
    case ResultFunction::FirstSupported: break;
    }
    return wished;
}

std::uint32_t digest_bits(DigestWish wish) noexcept {
    switch (wish) {
    case DigestWish::Prefer: return (1U << kDigestCrc32c) | (1U << kDigestNone);
    case DigestWish::Require: return 1U << kDigestCrc32c;
    case DigestWish::Never: break;
    }
    return 1U << kDigestNone;
}

/// Our lists name the choice with the highest number first: it is the one we prefer.
void write_list(const KeySpec& spec, std::uint32_t bits, TextOut& out) noexcept {
    FixedString<64> list;
    const auto choices = choices_of(spec.id);
    for (std::uint32_t i = static_cast<std::uint32_t>(choices.size()); i-- > 0;) {
        if ((bits & (1U << i)) == 0) continue;
        const bool fits = (list.empty() || list.try_append(",")) && list.try_append(choices[i]);
        HF_ASSERT(fits);
    }
    out.pair(spec.name, list.view());
}

void write_value(const KeySpec& spec, std::uint32_t value, TextOut& out) noexcept {
    if (spec.kind == KeyKind::Boolean) {
        out.boolean(spec.name, value != 0);
    } else {
        HF_ASSERT(value >= spec.least && value <= spec.most);
        out.number(spec.name, value);
    }
}

/// For display only: what a terminal could take for a command is replaced.
FixedString<255> displayable(std::string_view text) noexcept {
    FixedString<255> shown;
    const bool keeps_unicode = is_utf8(text) && text.size() <= shown.capacity();
    for (const char c : text.substr(0, shown.capacity())) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_plain = (byte >= 0x20 && byte < 0x7f) || (byte >= 0x80 && keeps_unicode);
        const char kept = is_plain ? c : '?';
        const bool fits = shown.try_append(std::string_view{&kept, 1});
        HF_ASSERT(fits);
    }
    return shown;
}

std::uint32_t as_number(bool flag) noexcept {
    return flag ? 1U : 0U;
}

}  // namespace

std::expected<std::uint32_t, LoginError> merge(const KeySpec& spec, std::uint32_t offered,
                                               std::uint32_t selected) noexcept {
    const bool has_range = spec.kind == KeyKind::Number || spec.kind == KeyKind::Tag;
    if (has_range && (selected < spec.least || selected > spec.most)) {
        return std::unexpected{LoginError::ValueOutOfRange};
    }
    bool allowed = true;
    switch (spec.result) {
    case ResultFunction::Declared: break;
    case ResultFunction::Minimum:
    case ResultFunction::And: allowed = selected <= offered; break;
    case ResultFunction::Maximum:
    case ResultFunction::Or: allowed = selected >= offered; break;
    case ResultFunction::FirstSupported:
        if (selected >= 32 || (offered & (1U << selected)) == 0) {
            return std::unexpected{LoginError::ValueNotOffered};
        }
        break;
    }
    if (!allowed) return std::unexpected{LoginError::ResultNotAllowed};
    return selected;
}

Negotiation::Negotiation(const OperationalWish& wish, SessionType type, NegotiationKind kind,
                         const NegotiatedParameters& session) noexcept
    : wish_(wish), type_(type), kind_(kind), base_(session) {
    if (kind == NegotiationKind::LeadingLogin) base_ = NegotiatedParameters{};
    if (kind == NegotiationKind::AddedLogin) {
        const NegotiatedParameters standard;
        base_.header_digest = standard.header_digest;
        base_.data_digest = standard.data_digest;
        base_.max_recv_ours_bytes = standard.max_recv_ours_bytes;
        base_.max_recv_theirs_bytes = standard.max_recv_theirs_bytes;
    }
    target_portal_group_ = base_.target_portal_group;
    target_alias_ = base_.target_alias;
    set_active_from(base_);
}

void Negotiation::set_active_from(const NegotiatedParameters& session) noexcept {
    for (const KeySpec& spec : all_keys()) at(spec.id).active = spec.standard;
    at(KeyId::HeaderDigest).active = as_number(session.header_digest);
    at(KeyId::DataDigest).active = as_number(session.data_digest);
    at(KeyId::MaxRecvDataSegmentLength).active = session.max_recv_theirs_bytes;
    at(KeyId::MaxConnections).active = session.max_connections;
    at(KeyId::InitialR2T).active = as_number(session.initial_r2t);
    at(KeyId::ImmediateData).active = as_number(session.immediate_data);
    at(KeyId::MaxBurstLength).active = session.max_burst_bytes;
    at(KeyId::FirstBurstLength).active = session.first_burst_bytes;
    at(KeyId::MaxOutstandingR2T).active = session.max_outstanding_r2t;
    at(KeyId::DefaultTime2Wait).active = session.time2wait_s;
    at(KeyId::DefaultTime2Retain).active = session.time2retain_s;
    at(KeyId::DataPDUInOrder).active = as_number(session.data_pdu_in_order);
    at(KeyId::DataSequenceInOrder).active = as_number(session.data_sequence_in_order);
    at(KeyId::ErrorRecoveryLevel).active = session.error_recovery_level;
    at(KeyId::ProtocolLevel).active = session.protocol_level;
}

std::uint32_t Negotiation::wished(KeyId id) const noexcept {
    const KeySpec& spec = spec_of(id);
    const auto bounded = [&spec](std::uint32_t value) {
        return std::clamp(value, spec.least, spec.most);
    };
    const bool recovers = type_ == SessionType::Normal && wish_.error_recovery_level > 0;
    // The table's own default stands for every key that the operator cannot choose.
    if (id == KeyId::HeaderDigest) return digest_bits(wish_.header_digest);
    if (id == KeyId::DataDigest) return digest_bits(wish_.data_digest);
    if (id == KeyId::TaskReporting) return 1U << 0;  // RFC3720: no fence is relied upon.
    if (id == KeyId::MaxRecvDataSegmentLength) return bounded(wish_.max_recv_data_segment_bytes);
    if (id == KeyId::MaxConnections) {
        return type_ == SessionType::Normal ? bounded(wish_.max_connections) : spec.standard;
    }
    if (id == KeyId::InitialR2T) return as_number(wish_.initial_r2t);
    if (id == KeyId::ImmediateData) return as_number(wish_.immediate_data);
    if (id == KeyId::MaxBurstLength) return bounded(wish_.max_burst_bytes);
    if (id == KeyId::FirstBurstLength) {
        return bounded(std::min(wish_.first_burst_bytes, wished(KeyId::MaxBurstLength)));
    }
    if (id == KeyId::MaxOutstandingR2T) {
        const bool single = recovers && wish_.data_sequence_in_order;  // Section 13.19.
        return single ? 1 : bounded(wish_.max_outstanding_r2t);
    }
    if (id == KeyId::DefaultTime2Wait) return bounded(wish_.time2wait_s);
    if (id == KeyId::DefaultTime2Retain) return bounded(wish_.time2retain_s);
    if (id == KeyId::DataPDUInOrder) return as_number(wish_.data_pdu_in_order);
    if (id == KeyId::DataSequenceInOrder) return as_number(wish_.data_sequence_in_order);
    if (id == KeyId::ErrorRecoveryLevel) return recovers ? bounded(wish_.error_recovery_level) : 0;
    return spec.standard;
}

bool Negotiation::is_offerable(const KeySpec& spec) const noexcept {
    if (spec.id < KeyId::HeaderDigest || spec.id > KeyId::ErrorRecoveryLevel) return false;
    return !refusal_of(spec);
}

/// Why a key has no place in this negotiation, as the word that says so.
std::optional<std::string_view> Negotiation::refusal_of(const KeySpec& spec) const noexcept {
    using enum NegotiationKind;
    if (spec.origin == KeyOrigin::Obsolete) return kReject;  // Section 13.25.
    if (kind_ == FullFeature && spec.use != KeyUse::All) return kReject;
    if (kind_ == AddedLogin && spec.use == KeyUse::LeadingOnly) return kIrrelevant;
    if (type_ == SessionType::Discovery && spec.irrelevant_in_discovery) return kIrrelevant;
    const bool is_for_rdma = spec.id == KeyId::InitiatorRecvDataSegmentLength ||
                             spec.id == KeyId::TargetRecvDataSegmentLength;
    if (is_for_rdma) return kIrrelevant;  // RFC 7145 sections 6.4, 6.5: RDMAExtensions=No.
    return {};
}

void Negotiation::offer(TextOut& out) noexcept {
    HF_ASSERT(kind_ != NegotiationKind::FullFeature);
    for (const KeySpec& spec : all_keys()) {
        KeyState& key = at(spec.id);
        if (!is_offerable(spec) || key.is_received) continue;
        HF_ASSERT(!key.is_offered);
        key.is_offered = true;
        key.offered = wished(spec.id);
        if (spec.kind == KeyKind::List) {
            write_list(spec, key.offered, out);
        } else {
            write_value(spec, key.offered, out);
        }
    }
    HF_ASSERT(!out.overflowed());
}

std::optional<LoginError> Negotiation::admit(KeyId id, KeyStage stage,
                                             std::string_view value) noexcept {
    const KeySpec& spec = spec_of(id);
    KeyState& key = at(id);
    if (spec.sender == KeySender::Initiator) {
        const bool is_answer = key.is_offered && reserved_word(value) != KeyAnswer::None;
        if (!is_answer) return LoginError::KeyWrongSender;
    }
    const bool is_security = spec.use == KeyUse::Security;
    const bool right_stage =
        stage == KeyStage::Security ? is_security || spec.any_stage : !is_security;
    if (!right_stage) return LoginError::KeyWrongStage;
    if (key.is_received && !spec.repeatable) return LoginError::KeyRepeated;
    key.is_received = true;
    return {};
}

std::optional<LoginError> Negotiation::take(const TextPair& pair, KeyStage stage,
                                            TextOut& out) noexcept {
    const KeyId id = key_of(pair.key);
    const KeyAnswer word = reserved_word(pair.value);
    if (id == KeyId::Unknown) {
        if (word != KeyAnswer::None) return LoginError::ReservedWordProposed;
        out.pair(pair.key, kNotUnderstood);
        if (out.overflowed()) return LoginError::AnswersTooLong;
        return {};
    }
    if (const auto wrong = admit(id, stage, pair.value)) return wrong;
    const KeySpec& spec = spec_of(id);
    if (word != KeyAnswer::None) return take_word(spec, word);
    if (spec.result == ResultFunction::Declared && spec.origin != KeyOrigin::Obsolete) {
        return take_declaration(spec, pair.value);
    }
    if (at(id).is_offered) return take_answer(spec, pair.value);
    return take_proposal(spec, pair.value, out);
}

/// Reject, Irrelevant or NotUnderstood. Section 6.2.
std::optional<LoginError> Negotiation::take_word(const KeySpec& spec, KeyAnswer word) noexcept {
    KeyState& key = at(spec.id);
    if (!key.is_offered) return LoginError::ReservedWordProposed;
    key.answer = word;
    if (spec.id == KeyId::InitiatorAlias) return {};  // For display there: nobody's failure.
    if (word == KeyAnswer::NotUnderstood && spec.origin == KeyOrigin::Rfc3720) {
        return LoginError::KnownKeyNotUnderstood;
    }
    if (word == KeyAnswer::Rejected && spec.result == ResultFunction::Declared) {
        return LoginError::DeclarationRejected;  // Section 7.12.
    }
    return {};
}

std::optional<LoginError> Negotiation::take_answer(const KeySpec& spec,
                                                   std::string_view value) noexcept {
    KeyState& key = at(spec.id);
    const auto selected = parse_value(spec, value);
    if (!selected) return selected.error();
    const auto merged = merge(spec, key.offered, *selected);
    if (!merged) return merged.error();
    key.answer = KeyAnswer::Value;
    key.active = *merged;
    return {};
}

std::optional<LoginError> Negotiation::take_declaration(const KeySpec& spec,
                                                        std::string_view value) noexcept {
    KeyState& key = at(spec.id);
    key.answer = KeyAnswer::Value;
    if (spec.id == KeyId::TargetAlias) target_alias_ = displayable(value);
    const bool counts =
        spec.id == KeyId::TargetPortalGroupTag || spec.id == KeyId::MaxRecvDataSegmentLength;
    if (!counts) return {};  // For display, for redirects, or for RDMA.
    const auto declared = parse_value(spec, value);
    if (!declared) return declared.error();
    const auto merged = merge(spec, key.offered, *declared);
    if (!merged) return merged.error();
    key.active = *merged;
    if (spec.id == KeyId::TargetPortalGroupTag) {
        target_portal_group_ = static_cast<std::uint16_t>(*merged);
    }
    return {};
}

std::optional<LoginError> Negotiation::take_proposal(const KeySpec& spec, std::string_view value,
                                                     TextOut& out) noexcept {
    KeyState& key = at(spec.id);
    key.answer = KeyAnswer::Proposed;
    if (const auto word = refusal_of(spec)) {
        out.pair(spec.name, *word);
    } else if (spec.kind == KeyKind::List) {
        ListItems items{value};
        std::optional<std::uint32_t> chosen;
        while (const auto item = items.try_next()) {
            chosen = choice_number(spec.id, *item);
            if (chosen && (wished(spec.id) & (1U << *chosen)) != 0) break;
            chosen.reset();
        }
        if (chosen) key.active = *chosen;
        out.pair(spec.name, chosen ? choices_of(spec.id)[*chosen] : kReject);
    } else {
        const auto proposed = parse_value(spec, value);
        const bool admissible = proposed && merge(spec, *proposed, *proposed);
        if (admissible) {
            const std::uint32_t selected = select(spec.result, *proposed, wished(spec.id));
            HF_ASSERT(merge(spec, *proposed, selected));
            key.active = selected;
            write_value(spec, selected, out);
        } else {
            out.pair(spec.name, kReject);  // Section 6.2.2.
        }
    }
    if (out.overflowed()) return LoginError::AnswersTooLong;
    return {};
}

/// The active value, with the two offers that stand whatever the answer: a No to an AND key, a Yes
/// to an OR key. Section 6.2.2.
std::uint32_t Negotiation::active(KeyId id) const noexcept {
    const KeySpec& spec = spec_of(id);
    const KeyState& key = at(id);
    if (!key.is_offered || key.answer == KeyAnswer::Value) return key.active;
    if (spec.result == ResultFunction::And && key.offered == 0) return 0;
    if (spec.result == ResultFunction::Or && key.offered == 1) return 1;
    return key.active;
}

std::expected<NegotiatedParameters, LoginError> Negotiation::conclude() const noexcept {
    NegotiatedParameters result = base_;
    result.header_digest = is_on(KeyId::HeaderDigest);
    result.data_digest = is_on(KeyId::DataDigest);
    const bool digest_missing =
        (wish_.header_digest == DigestWish::Require && !result.header_digest) ||
        (wish_.data_digest == DigestWish::Require && !result.data_digest);
    if (digest_missing) return std::unexpected{LoginError::DigestMissing};
    const KeyState& segment = at(KeyId::MaxRecvDataSegmentLength);
    if (segment.is_offered) result.max_recv_ours_bytes = segment.offered;
    result.max_recv_theirs_bytes = segment.active;

    result.initial_r2t = is_on(KeyId::InitialR2T);
    result.immediate_data = is_on(KeyId::ImmediateData);
    result.max_burst_bytes = active(KeyId::MaxBurstLength);
    result.first_burst_bytes = active(KeyId::FirstBurstLength);
    if (result.first_burst_bytes > result.max_burst_bytes) {
        if (at(KeyId::FirstBurstLength).answer == KeyAnswer::Value) {
            return std::unexpected{LoginError::BurstsInconsistent};
        }
        result.first_burst_bytes = result.max_burst_bytes;  // A default, never agreed upon.
    }
    result.max_outstanding_r2t = static_cast<std::uint16_t>(active(KeyId::MaxOutstandingR2T));
    result.time2wait_s = static_cast<std::uint16_t>(active(KeyId::DefaultTime2Wait));
    result.time2retain_s = static_cast<std::uint16_t>(active(KeyId::DefaultTime2Retain));
    result.data_pdu_in_order = is_on(KeyId::DataPDUInOrder);
    result.data_sequence_in_order = is_on(KeyId::DataSequenceInOrder);
    result.error_recovery_level = static_cast<std::uint8_t>(active(KeyId::ErrorRecoveryLevel));
    if (result.error_recovery_level > 0 && result.data_sequence_in_order) {
        result.max_outstanding_r2t = 1;  // Section 13.19.
    }
    result.max_connections = static_cast<std::uint16_t>(active(KeyId::MaxConnections));
    result.protocol_level = static_cast<std::uint8_t>(active(KeyId::ProtocolLevel));
    result.target_portal_group = target_portal_group_;
    result.target_alias = target_alias_;
    HF_ASSERT(result.first_burst_bytes <= result.max_burst_bytes);
    return result;
}

}  // namespace holdfast::initiator
