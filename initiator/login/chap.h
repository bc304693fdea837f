/// CHAP, one-way and mutual. RFC 7143 sections 9.2.1 and 12.1.3, RFC 1994.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/fixed_vector.h"
#include "initiator/login/key.h"
#include "initiator/login/text.h"
#include "initiator/session_config.h"

namespace holdfast::initiator {

/// CHAP_A: numbers of the IANA registry "PPP Authentication Algorithms".
enum class ChapAlgorithm : std::uint8_t { Md5 = 5, Sha1 = 6, Sha256 = 7, Sha3_256 = 8 };

/// Challenge and response, decoded. Section 12.1.3.
inline constexpr std::size_t kChapBinaryBytesMax = 1024;
/// The longest digest of an algorithm above.
inline constexpr std::size_t kChapDigestBytesMax = 32;
/// Fresh random bytes for one login.
inline constexpr std::size_t kChapRandomBytes = 64;
/// Shorter secrets fall to a dictionary. Section 9.2.1: 96 bits.
inline constexpr std::size_t kChapSecretBytesMin = 12;

/// Why an authentication failed.
enum class ChapError : std::uint8_t {
    KeyMissing,           // 12.1.3: a key of this step did not come.
    KeyUnexpected,        // 9.2: a key that does not belong to this step.
    AlgorithmNotOffered,  // 12.1.3: CHAP_A is none of ours, or Reject.
    IdentifierMalformed,  // RFC 1994 section 4.1: CHAP_I is one octet.
    ChallengeMalformed,   // 12.1.3: not binary, empty, or above 1024 bytes.
    ChallengeReflected,   // 9.2.1: the target's challenge is our own.
    ResponseMalformed,    // 12.1.3: not binary, or not as long as the digest.
    ResponseWrong,        // 12.1.3: the target does not know its secret.
    ResponseReflected,    // 9.2.1: what we would have answered ourselves.
    NameTooLong,          // Our limit: 255 bytes.
    NameWrong,            // 9.2: not the identity configured for this target.
};

/// What is wrong with a configuration, worst first. Section 9.2.1.
enum class ChapConfigError : std::uint8_t {
    SameSecretBothWays,   ///< MUST NOT: refuse.
    MutualWithoutOneWay,  ///< Nothing to hang it on: refuse.
    SecretTooShort,       ///< Below 96 bits and no IPsec: warn or refuse.
};

/// Nothing when the configuration keeps the rules.
[[nodiscard]] std::optional<ChapConfigError> judge_secrets(const AuthConfig& auth) noexcept;

/// A digest on the stack, wiped when it goes.
class ChapDigest {
public:
    ChapDigest() noexcept = default;
    ChapDigest(const ChapDigest&) = default;
    ChapDigest& operator=(const ChapDigest&) = default;
    ~ChapDigest();
    [[nodiscard]] std::span<const std::byte> view() const noexcept {
        return std::span{cells_}.first(size_);
    }
    /// In time that depends on the lengths only.
    [[nodiscard]] bool equals(std::span<const std::byte> other) const noexcept;

private:
    friend ChapDigest chap_response(ChapAlgorithm algorithm, std::uint8_t identifier,
                                    std::string_view secret,
                                    std::span<const std::byte> challenge) noexcept;
    std::array<std::byte, kChapDigestBytesMax> cells_{};
    std::size_t size_ = 0;
};

[[nodiscard]] std::size_t digest_bytes(ChapAlgorithm algorithm) noexcept;

/// The response to a challenge: digest of identifier, secret, challenge. RFC 1994 section 4.1.
[[nodiscard]] ChapDigest chap_response(ChapAlgorithm algorithm, std::uint8_t identifier,
                                       std::string_view secret,
                                       std::span<const std::byte> challenge) noexcept;

/// Overwrites bytes in a way that is not optimised away. For secrets that are no longer needed.
void wipe(std::span<std::byte> secret) noexcept;

/// The exchange of one login. Borrows the configuration. Everything secret in it is wiped when it
/// goes.
class ChapExchange {
public:
    ChapExchange(const AuthConfig& auth, bool offer_md5_only,
                 std::span<const std::byte, kChapRandomBytes> random) noexcept;
    ChapExchange(const ChapExchange&) = delete;
    ChapExchange& operator=(const ChapExchange&) = delete;
    ~ChapExchange();

    [[nodiscard]] bool is_mutual() const noexcept { return auth_.from_target.is_set(); }
    [[nodiscard]] bool offers_list() const noexcept { return !md5_only_; }

    /// First step: CHAP_A, strongest first; MD5 is always among them.
    void write_algorithms(TextOut& out) const noexcept;

    /// Keeps one key of the current step; its value is judged here, the step at its end.
    [[nodiscard]] std::optional<ChapError> take(KeyId id, std::string_view value) noexcept;

    /// End of the step with CHAP_A, CHAP_I, CHAP_C: writes CHAP_N and CHAP_R, and, when mutual, our
    /// CHAP_I and CHAP_C.
    [[nodiscard]] std::optional<ChapError> answer_challenge(TextOut& out) noexcept;

    /// End of the step with CHAP_N and CHAP_R: judges the target.
    [[nodiscard]] std::optional<ChapError> judge_target() noexcept;

    /// True when a key of any step waits that no step has used.
    [[nodiscard]] bool has_keys() const noexcept { return seen_ != 0; }

    /// True when `challenge` is the one that we send in this exchange: another connection that is
    /// challenged with it is being reflected (section 9.2.1).
    [[nodiscard]] bool is_our_challenge(std::span<const std::byte> challenge) const noexcept;

private:
    [[nodiscard]] bool is_offered(std::uint64_t algorithm) const noexcept;
    [[nodiscard]] std::span<const std::byte> our_challenge() const noexcept;

    const AuthConfig& auth_;
    const bool md5_only_;
    ChapAlgorithm algorithm_ = ChapAlgorithm::Md5;
    std::uint8_t seen_ = 0;  ///< Bits of the keys that this step has brought.
    std::uint8_t their_identifier_ = 0;
    std::uint8_t our_identifier_ = 0;
    std::array<std::byte, kChapDigestBytesMax> our_random_{};
    FixedString<255> their_name_;
    std::array<std::byte, kChapBinaryBytesMax> their_binary_{};  ///< Challenge, later response.
    std::size_t their_binary_size_ = 0;
};

}  // namespace holdfast::initiator
