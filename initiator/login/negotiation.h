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

/// Which negotiation this is: it decides which keys may come and what holds before it. Section 13.
enum class NegotiationKind : std::uint8_t {
    LeadingLogin,  ///< Of the first connection of a session: everything starts at its default.
    AddedLogin,    ///< Of a further connection: LO keys are neither offered nor taken.
    FullFeature,   ///< A text sequence afterwards: LO and IO keys are refused.
};

/// The part of the login that a key came in. Section 12.
enum class KeyStage : std::uint8_t { Security, Operational };

/// See the file comment. One object serves one login, or one text sequence.
class Negotiation {
public:
    /// `session`: what holds already, for AddedLogin and FullFeature. Copied.
    Negotiation(const OperationalWish& wish, SessionType type, NegotiationKind kind,
                const NegotiatedParameters& session) noexcept;

    /// Writes all offers and declarations of the operational stage, for a login. Once.
    void offer(TextOut& out) noexcept;

    /// Notes a declaration that the caller has sent itself (names, session type, alias): the target
    /// may answer one, though it may not send the key.
    void note_declared(KeyId id) noexcept { at(id).is_offered = true; }

    /// Judges a pair of the security exchange as far as its value does not matter: stage and
    /// repetition. The value is the caller's.
    [[nodiscard]] std::optional<LoginError> admit(KeyId id, KeyStage stage,
                                                  std::string_view value) noexcept;

    /// Takes one pair; an answer that is due is written to `out`.
    [[nodiscard]] std::optional<LoginError> take(const TextPair& pair, KeyStage stage,
                                                 TextOut& out) noexcept;

    /// The end: checks what holds between keys, and hands out all values together.
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
    [[nodiscard]] std::optional<std::string_view> refusal_of(const KeySpec& spec) const noexcept;
    void set_active_from(const NegotiatedParameters& session) noexcept;
    [[nodiscard]] std::optional<LoginError> take_word(const KeySpec& spec, KeyAnswer word) noexcept;
    [[nodiscard]] std::optional<LoginError> take_answer(const KeySpec& spec,
                                                        std::string_view value) noexcept;
    [[nodiscard]] std::optional<LoginError> take_proposal(const KeySpec& spec,
                                                          std::string_view value,
                                                          TextOut& out) noexcept;
    [[nodiscard]] std::optional<LoginError> take_declaration(const KeySpec& spec,
                                                             std::string_view value) noexcept;
    [[nodiscard]] bool is_on(KeyId id) const noexcept { return active(id) != 0; }
    [[nodiscard]] std::uint32_t active(KeyId id) const noexcept;

    const OperationalWish wish_;
    const SessionType type_;
    const NegotiationKind kind_;
    NegotiatedParameters base_;
    std::array<KeyState, kKeyCount> keys_{};
    std::optional<std::uint16_t> target_portal_group_;
    FixedString<255> target_alias_;
};

}  // namespace holdfast::initiator
