#include "initiator/login/chap.h"

#include <nettle/md5.h>
#include <nettle/memops.h>
#include <nettle/nettle-meta.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <nettle/sha3.h>
#include <string.h>

#include <algorithm>

#include "base/assert.h"
#include "initiator/login/value.h"

namespace holdfast::initiator {

namespace {

/// Room for the state of any of the digests, wiped after use.
struct HashState {
    alignas(std::max_align_t) std::array<std::byte, sizeof(sha3_256_ctx)> cells{};
};
static_assert(sizeof(md5_ctx) <= sizeof(sha3_256_ctx) && sizeof(sha1_ctx) <= sizeof(sha3_256_ctx));
static_assert(sizeof(sha256_ctx) <= sizeof(sha3_256_ctx));
static_assert(SHA3_256_DIGEST_SIZE <= kChapDigestBytesMax && SHA256_DIGEST_SIZE <= 32);

const nettle_hash& hash_of(ChapAlgorithm algorithm) noexcept {
    switch (algorithm) {
    case ChapAlgorithm::Md5: return nettle_md5;
    case ChapAlgorithm::Sha1: return nettle_sha1;
    case ChapAlgorithm::Sha256: return nettle_sha256;
    case ChapAlgorithm::Sha3_256: break;
    }
    return nettle_sha3_256;
}

const std::uint8_t* as_nettle(std::span<const std::byte> bytes) noexcept {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

std::uint8_t* as_nettle(std::span<std::byte> bytes) noexcept {
    return reinterpret_cast<std::uint8_t*>(bytes.data());
}

bool equal_in_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) noexcept {
    return a.size() == b.size() && memeql_sec(a.data(), b.data(), a.size()) != 0;
}

// Keys of an exchange, as bits of ChapExchange::seen_.
constexpr std::uint8_t kSeenA = 1;
constexpr std::uint8_t kSeenI = 2;
constexpr std::uint8_t kSeenC = 4;
constexpr std::uint8_t kSeenN = 8;
constexpr std::uint8_t kSeenR = 16;

/// Nothing when exactly the keys of the step came. Section 9.2.
std::optional<ChapError> judge_step(std::uint8_t seen, std::uint8_t due) noexcept {
    if ((seen & ~due) != 0) return ChapError::KeyUnexpected;
    if (seen != due) return ChapError::KeyMissing;
    return {};
}

}  // namespace

std::optional<ChapConfigError> judge_secrets(const AuthConfig& auth) noexcept {
    const bool is_mutual = auth.from_target.is_set();
    if (is_mutual && !auth.to_target.is_set()) return ChapConfigError::MutualWithoutOneWay;
    if (is_mutual && auth.to_target.secret == auth.from_target.secret) {
        return ChapConfigError::SameSecretBothWays;
    }
    const auto is_short = [](const ChapSecret& secret) {
        return secret.is_set() && secret.secret.size() < kChapSecretBytesMin;
    };
    if (is_short(auth.to_target) || is_short(auth.from_target)) {
        return ChapConfigError::SecretTooShort;
    }
    return {};
}

void wipe(std::span<std::byte> secret) noexcept {
    explicit_bzero(secret.data(), secret.size());
}

ChapDigest::~ChapDigest() {
    wipe(cells_);
}

bool ChapDigest::equals(std::span<const std::byte> other) const noexcept {
    return equal_in_constant_time(view(), other);
}

std::size_t digest_bytes(ChapAlgorithm algorithm) noexcept {
    return hash_of(algorithm).digest_size;
}

ChapDigest chap_response(ChapAlgorithm algorithm, std::uint8_t identifier, std::string_view secret,
                         std::span<const std::byte> challenge) noexcept {
    const nettle_hash& hash = hash_of(algorithm);
    const auto secret_bytes = std::as_bytes(std::span{secret});
    HashState state;
    ChapDigest digest;
    hash.init(state.cells.data());
    hash.update(state.cells.data(), 1, &identifier);
    hash.update(state.cells.data(), secret_bytes.size(), as_nettle(secret_bytes));
    hash.update(state.cells.data(), challenge.size(), as_nettle(challenge));
    digest.size_ = hash.digest_size;
    HF_ASSERT(digest.size_ <= digest.cells_.size());
    hash.digest(state.cells.data(), digest.size_, as_nettle(std::span<std::byte>{digest.cells_}));
    wipe(state.cells);
    return digest;
}

ChapExchange::ChapExchange(const AuthConfig& auth, bool offer_md5_only,
                           std::span<const std::byte, kChapRandomBytes> random) noexcept
    : auth_(auth),
      md5_only_(offer_md5_only || auth.offer_md5_only),
      our_identifier_(std::to_integer<std::uint8_t>(random.front())) {
    std::ranges::copy(random.subspan<1, kChapDigestBytesMax>(), our_random_.begin());
}

ChapExchange::~ChapExchange() {
    wipe(our_random_);
    wipe(their_binary_);
}

void ChapExchange::write_algorithms(TextOut& out) const noexcept {
    out.pair(spec_of(KeyId::ChapA).name, md5_only_ ? "5" : "8,7,6,5");
}

bool ChapExchange::is_offered(std::uint64_t algorithm) const noexcept {
    return algorithm == 5 || (!md5_only_ && algorithm >= 6 && algorithm <= 8);
}

std::span<const std::byte> ChapExchange::our_challenge() const noexcept {
    return std::span{our_random_}.first(digest_bytes(algorithm_));
}

bool ChapExchange::is_our_challenge(std::span<const std::byte> challenge) const noexcept {
    return equal_in_constant_time(our_challenge(), challenge);
}

std::optional<ChapError> ChapExchange::take(KeyId id, std::string_view value) noexcept {
    if (id == KeyId::ChapA) {
        seen_ |= kSeenA;
        const auto algorithm = parse_number(value);
        if (!algorithm || !is_offered(*algorithm)) return ChapError::AlgorithmNotOffered;
        algorithm_ = static_cast<ChapAlgorithm>(*algorithm);
        return {};
    }
    if (id == KeyId::ChapI) {
        seen_ |= kSeenI;
        const auto identifier = parse_number(value);
        if (!identifier || *identifier > 0xff) return ChapError::IdentifierMalformed;
        their_identifier_ = static_cast<std::uint8_t>(*identifier);
        return {};
    }
    if (id == KeyId::ChapN) {
        seen_ |= kSeenN;
        if (!their_name_.try_assign(value)) return ChapError::NameTooLong;
        return {};
    }
    HF_ASSERT(id == KeyId::ChapC || id == KeyId::ChapR);
    const bool is_challenge = id == KeyId::ChapC;
    seen_ |= is_challenge ? kSeenC : kSeenR;
    const auto decoded = parse_binary(value, their_binary_);
    if (!decoded || decoded->empty()) {
        return is_challenge ? ChapError::ChallengeMalformed : ChapError::ResponseMalformed;
    }
    their_binary_size_ = decoded->size();
    return {};
}

std::optional<ChapError> ChapExchange::answer_challenge(TextOut& out) noexcept {
    if (const auto wrong = judge_step(seen_, kSeenA | kSeenI | kSeenC)) return wrong;
    seen_ = 0;
    const auto challenge = std::span{their_binary_}.first(their_binary_size_);
    if (is_our_challenge(challenge)) return ChapError::ChallengeReflected;
    const ChapDigest response =
        chap_response(algorithm_, their_identifier_, auth_.to_target.secret.view(), challenge);
    out.pair(spec_of(KeyId::ChapN).name, auth_.to_target.name.view());
    out.binary(spec_of(KeyId::ChapR).name, response.view());
    if (is_mutual()) {
        out.number(spec_of(KeyId::ChapI).name, our_identifier_);
        out.binary(spec_of(KeyId::ChapC).name, our_challenge());
    }
    return {};
}

std::optional<ChapError> ChapExchange::judge_target() noexcept {
    HF_ASSERT(is_mutual());
    if (const auto wrong = judge_step(seen_, kSeenN | kSeenR)) return wrong;
    seen_ = 0;
    const std::string_view name = auth_.from_target.name.view();
    if (!name.empty() && their_name_.view() != name) return ChapError::NameWrong;
    const auto response = std::span{their_binary_}.first(their_binary_size_);
    if (response.size() != digest_bytes(algorithm_)) return ChapError::ResponseMalformed;
    const auto answer_with = [this](const ChapSecret& secret) {
        return chap_response(algorithm_, our_identifier_, secret.secret.view(), our_challenge());
    };
    if (answer_with(auth_.to_target).equals(response)) return ChapError::ResponseReflected;
    if (!answer_with(auth_.from_target).equals(response)) return ChapError::ResponseWrong;
    return {};
}

}  // namespace holdfast::initiator
