/// The operational negotiation of one login: what we offered, what the target sent, what is active.
/// RFC 7143 sections 6.2 and 13.
///
/// Values take effect together, when conclude() hands them out at the end (NEG-18). No implicit
/// agreement: what was offered and not answered stays at its default (NEG-10).
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "initiator/login/key.h"
#include "initiator/login/login_error.h"
#include "initiator/login/parameters.h"
#include "initiator/login/text.h"
#include "initiator/pdu/target_pdu.h"
#include "initiator/session_config.h"

namespace holdfast::initiator {

/// Section 13.21.
enum class SessionType : std::uint8_t { Normal, Discovery };

/// How the target dealt with a key, for notices and for the rules of section 6.2.
enum class KeyAnswer : std::uint8_t {
    None,           ///< Nothing came.
    Value,          ///< A declaration, or an answer to our offer.
    Proposed,       ///< The target proposed, we answered.
    Rejected,       ///< Reject: stays at its default.
    Irrelevant,     ///< Stays at its default.
    NotUnderstood,  ///< Stays at its default; only for keys newer than RFC 3720.
};

/// The one merge function: the active value of a key when one side offered `offered` and the other
/// selected `selected`, or why that selection is a protocol error. Booleans are 0 and 1; of a list
/// `offered` is the set of offered choices as bits, `selected` the number of one choice.
[[nodiscard]] std::expected<std::uint32_t, LoginError> merge(const KeySpec& spec,
                                                             std::uint32_t offered,
                                                             std::uint32_t selected) noexcept;

/// Choices of HeaderDigest and DataDigest.
inline constexpr std::uint32_t kDigestNone = 0;
inline constexpr std::uint32_t kDigestCrc32c = 1;

/// Where a negotiation stands: it decides which keys may come. Section 13.
enum class NegotiationStage : std::uint8_t { Security, Operational, FullFeature };

/// See the file comment.
class Negotiation {
public:
    /// `leading`: the first connection of a session; on others LO keys are neither offered nor
    /// taken. `session`: what the session agreed, when not leading; else the defaults apply.
    Negotiation(const OperationalWish& wish, SessionType type, bool leading,
                const NegotiatedParameters* session) noexcept;

    /// Writes all offers and declarations of the operational stage. Once.
    void offer(TextOut& out) noexcept;

    /// Judges what does not depend on the value: stage, sender, repetition. For the keys of the
    /// security exchange too, whose values are taken elsewhere.
    [[nodiscard]] std::optional<LoginError> admit(KeyId id, NegotiationStage stage) noexcept;

    /// Takes one admitted pair; an answer that is due is written to `out`.
    [[nodiscard]] std::optional<LoginError> take(KeyId id, const TextPair& pair,
                                                 TextOut& out) noexcept;

    /// The end: checks what holds between keys, and hands out all values.
    [[nodiscard]] std::expected<NegotiatedParameters, LoginError> conclude() const noexcept;

    [[nodiscard]] KeyAnswer answer_of(KeyId id) const noexcept { return at(id).answer; }
    /// The portal group tag, as soon as it came.
    [[nodiscard]] std::optional<std::uint16_t> target_portal_group() const noexcept {
        return target_portal_group_;
    }

private:
    /// One key: offered by us, received, active.
    struct KeyState {
        bool is_offered = false;
        bool is_received = false;
        KeyAnswer answer = KeyAnswer::None;
        std::uint32_t offered = 0;
        std::uint32_t active = 0;
    };

    [[nodiscard]] KeyState& at(KeyId id) noexcept { return keys_[static_cast<std::size_t>(id)]; }
    [[nodiscard]] const KeyState& at(KeyId id) const noexcept {
        return keys_[static_cast<std::size_t>(id)];
    }
    [[nodiscard]] std::uint32_t wished(KeyId id) const noexcept;
    [[nodiscard]] bool is_offerable(const KeySpec& spec) const noexcept;
    void write_offer(const KeySpec& spec, TextOut& out) noexcept;
    [[nodiscard]] std::optional<LoginError> take_answer(const KeySpec& spec,
                                                        std::string_view value) noexcept;
    [[nodiscard]] std::optional<LoginError> take_proposal(const KeySpec& spec,
                                                          std::string_view value,
                                                          TextOut& out) noexcept;
    [[nodiscard]] std::optional<LoginError> take_declaration(const KeySpec& spec,
                                                             std::string_view value) noexcept;
    [[nodiscard]] bool is_on(KeyId id) const noexcept { return at(id).active != 0; }

    const OperationalWish wish_;
    const SessionType type_;
    const bool leading_;
    const NegotiatedParameters base_;
    std::array<KeyState, kKeyCount> keys_{};
    std::optional<std::uint16_t> target_portal_group_;
    FixedString<255> target_alias_;
};

}  // namespace holdfast::initiator
