#include "initiator/login/chap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <new>
#include <string>
#include <vector>

#include "tests/initiator/login/texts.h"

namespace holdfast::initiator {
namespace {

using testing::bytes_of;
using testing::hex_of;
using testing::pairs_of;
using testing::value_in;

const std::string kSecret{"holdfast-secret\x00\x80\xff", 18};
const std::string kOtherSecret{"another-secret\x00\x81", 16};

std::array<std::byte, kChapRandomBytes> random_bytes(unsigned first = 0x40) {
    std::array<std::byte, kChapRandomBytes> random{};
    for (std::size_t i = 0; i < random.size(); ++i) random[i] = static_cast<std::byte>(first + i);
    return random;
}

std::string counting_challenge(std::size_t count = 16) {
    std::string challenge;
    for (std::size_t i = 1; i <= count; ++i) challenge += static_cast<char>(i);
    return challenge;
}

AuthConfig one_way() {
    AuthConfig auth;
    EXPECT_TRUE(auth.to_target.name.try_assign("initiator"));
    EXPECT_TRUE(auth.to_target.secret.try_assign(kSecret));
    return auth;
}

AuthConfig mutual() {
    AuthConfig auth = one_way();
    EXPECT_TRUE(auth.from_target.name.try_assign("target"));
    EXPECT_TRUE(auth.from_target.secret.try_assign(kOtherSecret));
    return auth;
}

/// An exchange that has been asked; `a` is the algorithm that the target chose.
struct Exchange {
    explicit Exchange(const AuthConfig& config, std::string_view a = "7", bool md5_only = false)
        : auth(config), chap(auth, md5_only, random_bytes()) {
        EXPECT_FALSE(chap.take(KeyId::ChapA, a));
        EXPECT_FALSE(chap.take(KeyId::ChapI, "42"));
        EXPECT_FALSE(chap.take(KeyId::ChapC, hex_of(bytes_of(counting_challenge()))));
        EXPECT_FALSE(chap.answer_challenge(out));
    }
    /// What a target that knows `secret` answers to our challenge.
    std::string answer(ChapAlgorithm algorithm, std::string_view secret) const {
        const std::string sent = value_in(out.view(), "CHAP_C");
        std::string challenge;
        for (std::size_t i = 2; i + 1 < sent.size(); i += 2) {
            challenge += static_cast<char>(std::stoi(sent.substr(i, 2), nullptr, 16));
        }
        const auto identifier = std::stoi(value_in(out.view(), "CHAP_I"));
        return hex_of(chap_response(algorithm, static_cast<std::uint8_t>(identifier), secret,
                                    bytes_of(challenge))
                          .view());
    }
    std::optional<ChapError> judge(std::string_view name, std::string_view response) {
        if (const auto wrong = chap.take(KeyId::ChapN, name)) return wrong;
        if (const auto wrong = chap.take(KeyId::ChapR, response)) return wrong;
        return chap.judge_target();
    }

    AuthConfig auth;
    ChapExchange chap;
    TextOut out;
};

// Goal: responses of the four algorithms, computed elsewhere, over a secret with NUL and high
// bytes. Rows: CHP-01, CHP-02, CHP-13
TEST(ChapResponse, MatchesIndependentVectors) {
    const std::string challenge = counting_challenge();
    const auto response = [&](ChapAlgorithm algorithm) {
        return hex_of(chap_response(algorithm, 0x2a, kSecret, bytes_of(challenge)).view());
    };
    EXPECT_EQ(response(ChapAlgorithm::Md5), "0x169b5f49ab80c9b570dec53a07d82b67");
    EXPECT_EQ(response(ChapAlgorithm::Sha1), "0x7dba137c8fad55d566e1e4c0f6cf116162bef9d6");
    EXPECT_EQ(response(ChapAlgorithm::Sha256),
              "0xe5bba9a77036c9b7f8856cd7c0b1003fadd7d76bd5e4584b66a677199cd91827");
    EXPECT_EQ(response(ChapAlgorithm::Sha3_256),
              "0x4d28f9b9376e21cb0129a78661b2d8f53337e062a8e382b58626bcf2dbdad34c");
}

// Goal: two responses are equal only byte for byte and in length.
// Rows: CHP-06
TEST(ChapDigest, EqualityIsExact) {
    const ChapDigest digest =
        chap_response(ChapAlgorithm::Sha1, 1, kSecret, bytes_of(counting_challenge()));
    std::vector<std::byte> copy{digest.view().begin(), digest.view().end()};
    EXPECT_TRUE(digest.equals(copy));
    for (std::size_t bit = 0; bit < copy.size() * 8; ++bit) {
        auto bad = copy;
        bad[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        EXPECT_FALSE(digest.equals(bad));
    }
    copy.pop_back();
    EXPECT_FALSE(digest.equals(copy));
    EXPECT_FALSE(digest.equals({}));
}

// Goal: the list goes out strongest first with MD5 in it; the retry offers MD5 alone.
// Rows: CHP-02
TEST(ChapExchange, OfferAlwaysHasMd5) {
    AuthConfig auth = one_way();
    TextOut out;
    ChapExchange{auth, false, random_bytes()}.write_algorithms(out);
    EXPECT_EQ(value_in(out.view(), "CHAP_A"), "8,7,6,5");
    out.clear();
    ChapExchange{auth, true, random_bytes()}.write_algorithms(out);
    EXPECT_EQ(value_in(out.view(), "CHAP_A"), "5");
    auth.offer_md5_only = true;
    out.clear();
    ChapExchange{auth, false, random_bytes()}.write_algorithms(out);
    EXPECT_EQ(value_in(out.view(), "CHAP_A"), "5");
}

// Goal: of all numbers up to 300 and some words, exactly the offered algorithms are accepted.
// Rows: CHP-03
TEST(ChapExchange, AlgorithmMustBeOffered) {
    const AuthConfig auth = one_way();
    for (const bool md5_only : {false, true}) {
        for (int number = 0; number < 300; ++number) {
            ChapExchange chap{auth, md5_only, random_bytes()};
            const bool offered = number == 5 || (!md5_only && number >= 6 && number <= 8);
            EXPECT_EQ(!chap.take(KeyId::ChapA, std::to_string(number)), offered) << number;
        }
        for (const std::string_view word : {"", "Reject", "5,7", "MD5", "-5", "05", "5 "}) {
            ChapExchange chap{auth, md5_only, random_bytes()};
            EXPECT_EQ(chap.take(KeyId::ChapA, word), ChapError::AlgorithmNotOffered) << word;
        }
    }
}

// Goal: an identifier is one octet, in decimal or hexadecimal.
// Rows: CHP-05
TEST(ChapExchange, IdentifierIsOneOctet) {
    const AuthConfig auth = one_way();
    for (int number = 0; number < 300; ++number) {
        ChapExchange chap{auth, false, random_bytes()};
        EXPECT_EQ(!chap.take(KeyId::ChapI, std::to_string(number)), number <= 255) << number;
    }
    ChapExchange chap{auth, false, random_bytes()};
    EXPECT_FALSE(chap.take(KeyId::ChapI, "0xff"));
    for (const std::string_view text : {"", "-1", "0x100", "abc", "1.5"}) {
        ChapExchange other{auth, false, random_bytes()};
        EXPECT_EQ(other.take(KeyId::ChapI, text), ChapError::IdentifierMalformed);
    }
}

// Goal: challenges of 1 to 1024 bytes are answered in both encodings, 1025 are refused, and what is
// not binary does no harm.
// Rows: CHP-05, NEG-05
TEST(ChapExchange, ChallengeLengthsAreBounded) {
    const AuthConfig auth = one_way();
    for (const std::size_t bytes : {1U, 16U, 255U, 256U, 1023U, 1024U, 1025U, 4090U}) {
        ChapExchange chap{auth, false, random_bytes()};
        const auto wrong = chap.take(KeyId::ChapC, "0x" + std::string(bytes * 2, '5'));
        EXPECT_EQ(!wrong, bytes <= 1024) << bytes;
    }
    for (const std::string_view text :
         {"", "0x", "0b", "123", "0xzz", "0b!!!!", "x", "0", "NotUnderstood"}) {
        ChapExchange chap{auth, false, random_bytes()};
        EXPECT_EQ(chap.take(KeyId::ChapC, text), ChapError::ChallengeMalformed) << text;
        EXPECT_EQ(chap.take(KeyId::ChapR, text), ChapError::ResponseMalformed) << text;
    }
}

// Goal: hexadecimal, odd hexadecimal and base64 of the same challenge give the same response.
// Rows: CHP-05
TEST(ChapExchange, EncodingDoesNotMatter) {
    const AuthConfig auth = one_way();
    std::vector<std::string> responses;
    for (const std::string_view challenge : {"0x0102", "0x102", "0X0102", "0bAQI="}) {
        ChapExchange chap{auth, false, random_bytes()};
        TextOut out;
        EXPECT_FALSE(chap.take(KeyId::ChapA, "5"));
        EXPECT_FALSE(chap.take(KeyId::ChapI, "1"));
        EXPECT_FALSE(chap.take(KeyId::ChapC, challenge));
        EXPECT_FALSE(chap.answer_challenge(out));
        responses.push_back(value_in(out.view(), "CHAP_R"));
        EXPECT_EQ(responses.back(), responses.front());
    }
}

// Goal: one-way: name and response, nothing else, for every algorithm.
// Rows: CHP-01, CHP-04
TEST(ChapExchange, OneWayAnswersNameAndResponse) {
    const Exchange exchange{one_way(), "7"};
    EXPECT_EQ(pairs_of(exchange.out.view()),
              (std::vector<std::string>{
                  "CHAP_N=initiator",
                  "CHAP_R="
                  "0xe5bba9a77036c9b7f8856cd7c0b1003fadd7d76bd5e4584b66a677199cd91827"}));
}

// Goal: mutual: our challenge is as long as the digest and at least 16 bytes, from the random bytes
// that were handed in, and the right answer convinces us, for every algorithm.
// Rows: CHP-01, CHP-08, CHP-13
TEST(ChapExchange, MutualAcceptsTheTargetThatKnowsItsSecret) {
    for (const int number : {5, 6, 7, 8}) {
        const auto algorithm = static_cast<ChapAlgorithm>(number);
        Exchange exchange{mutual(), std::to_string(number)};
        const std::string challenge = value_in(exchange.out.view(), "CHAP_C");
        EXPECT_EQ(challenge.size(), 2 + 2 * digest_bytes(algorithm));
        EXPECT_GE(digest_bytes(algorithm), 16U);
        EXPECT_EQ(challenge.substr(0, 6), "0x4142");
        EXPECT_EQ(value_in(exchange.out.view(), "CHAP_I"), "64");
        EXPECT_EQ(exchange.judge("target", exchange.answer(algorithm, kOtherSecret)), std::nullopt);
    }
}

// Goal: other random bytes make another challenge.
// Rows: CHP-08
TEST(ChapExchange, ChallengeFollowsTheRandomBytes) {
    const AuthConfig auth = mutual();
    std::vector<std::string> challenges;
    for (unsigned first = 0; first < 8; ++first) {
        ChapExchange chap{auth, false, random_bytes(first * 31)};
        TextOut out;
        EXPECT_FALSE(chap.take(KeyId::ChapA, "5"));
        EXPECT_FALSE(chap.take(KeyId::ChapI, "1"));
        EXPECT_FALSE(chap.take(KeyId::ChapC, "0x01"));
        EXPECT_FALSE(chap.answer_challenge(out));
        for (const std::string& other : challenges) {
            EXPECT_NE(value_in(out.view(), "CHAP_C"), other);
        }
        challenges.push_back(value_in(out.view(), "CHAP_C"));
    }
}

// Goal: a target that does not know its secret, has another name, or answers in the wrong length is
// refused; so is every single flipped bit.
// Rows: CHP-06, CHP-16
TEST(ChapExchange, MutualRefusesEverythingElse) {
    using enum ChapAlgorithm;
    Exchange wrong_secret{mutual()};
    EXPECT_EQ(wrong_secret.judge("target", wrong_secret.answer(Sha256, "guess")),
              ChapError::ResponseWrong);
    Exchange wrong_name{mutual()};
    EXPECT_EQ(wrong_name.judge("other", wrong_name.answer(Sha256, kOtherSecret)),
              ChapError::NameWrong);
    Exchange empty_name{mutual()};
    EXPECT_EQ(empty_name.judge("", empty_name.answer(Sha256, kOtherSecret)), ChapError::NameWrong);
    Exchange other_length{mutual()};
    EXPECT_EQ(other_length.judge("target", other_length.answer(Md5, kOtherSecret)),
              ChapError::ResponseMalformed);
    for (std::size_t digit = 0; digit < 64; ++digit) {
        Exchange flipped{mutual()};
        std::string response = flipped.answer(Sha256, kOtherSecret);
        response[2 + digit] = response[2 + digit] == '0' ? '1' : '0';
        EXPECT_EQ(flipped.judge("target", response), ChapError::ResponseWrong);
    }
}

// Goal: names up to 255 bytes; a target without a name is fine where none is configured.
// Rows: CHP-07
TEST(ChapExchange, NamesAreBoundedAndMayBeEmpty) {
    AuthConfig auth = mutual();
    auth.from_target.name.clear();
    for (const std::size_t length : {0U, 1U, 254U, 255U}) {
        Exchange exchange{auth};
        const std::string response = exchange.answer(ChapAlgorithm::Sha256, kOtherSecret);
        EXPECT_EQ(exchange.judge(std::string(length, 'n'), response), std::nullopt);
    }
    Exchange exchange{auth};
    EXPECT_EQ(exchange.judge(std::string(256, 'n'), "0x00"), ChapError::NameTooLong);
}

// Goal: our own challenge does not come back as the target's, in no encoding.
// Rows: CHP-09
TEST(ChapExchange, ReflectedChallengeIsRefused) {
    const AuthConfig auth = mutual();
    const auto random = random_bytes();
    for (const int number : {5, 6, 7, 8}) {
        const auto algorithm = static_cast<ChapAlgorithm>(number);
        ChapExchange chap{auth, false, random};
        const auto ours = std::span{random}.subspan(1, digest_bytes(algorithm));
        TextOut out;
        EXPECT_FALSE(chap.take(KeyId::ChapA, std::to_string(number)));
        EXPECT_FALSE(chap.take(KeyId::ChapI, "1"));
        EXPECT_FALSE(chap.take(KeyId::ChapC, hex_of(ours)));
        EXPECT_TRUE(chap.is_our_challenge(ours));
        EXPECT_EQ(chap.answer_challenge(out), ChapError::ChallengeReflected);
        EXPECT_TRUE(out.empty()) << "nothing is given away";
    }
}

// Goal: an answer made with our own secret is refused even when it is configured as the target's.
// Rows: CHP-10, CHP-15
TEST(ChapExchange, ReflectedResponseIsRefused) {
    Exchange reflected{mutual()};
    EXPECT_EQ(reflected.judge("target", reflected.answer(ChapAlgorithm::Sha256, kSecret)),
              ChapError::ResponseReflected);
    AuthConfig same = mutual();
    ASSERT_TRUE(same.from_target.secret.try_assign(kSecret));
    Exchange configured{same};
    EXPECT_EQ(configured.judge("target", configured.answer(ChapAlgorithm::Sha256, kSecret)),
              ChapError::ResponseReflected);
}

// Goal: in each step exactly its keys may come: all 32 sets of keys, in both steps.
// Rows: CHP-04, CHP-11
TEST(ChapExchange, StepsTakeExactlyTheirKeys) {
    const std::array keys{KeyId::ChapA, KeyId::ChapI, KeyId::ChapC, KeyId::ChapN, KeyId::ChapR};
    const std::array<std::string_view, 5> values{"7", "1", "0x01", "target", "0x01"};
    for (unsigned set = 0; set < 32; ++set) {
        const AuthConfig auth = mutual();
        ChapExchange first{auth, false, random_bytes()};
        Exchange second{auth};
        for (std::size_t i = 0; i < keys.size(); ++i) {
            if ((set >> i & 1U) == 0) continue;
            EXPECT_FALSE(first.take(keys[i], values[i]));
            EXPECT_FALSE(second.chap.take(keys[i], values[i]));
        }
        TextOut out;
        const auto at_first = first.answer_challenge(out);
        const auto at_second = second.chap.judge_target();
        const auto due = [set](unsigned step) -> std::optional<ChapError> {
            if ((set & ~step) != 0) return ChapError::KeyUnexpected;
            if (set != step) return ChapError::KeyMissing;
            return {};
        };
        EXPECT_EQ(at_first, due(7)) << set;
        EXPECT_EQ(at_second, due(24).value_or(ChapError::ResponseMalformed)) << set;
    }
}

// Goal: secrets leave no trace in the memory that they were computed in.
// Method: objects are made and destroyed in a buffer of ours, which is searched afterwards.
// Rows: CHP-19
TEST(ChapExchange, SecretsAreWiped) {
    const AuthConfig auth = mutual();
    alignas(ChapExchange) std::array<std::byte, sizeof(ChapExchange)> room{};
    auto* chap = new (room.data()) ChapExchange{auth, false, random_bytes()};
    EXPECT_FALSE(chap->take(KeyId::ChapC, "0x" + std::string(64, 'a')));
    chap->~ChapExchange();
    alignas(ChapDigest) std::array<std::byte, sizeof(ChapDigest)> digest_room{};
    auto* digest = new (digest_room.data())
        ChapDigest{chap_response(ChapAlgorithm::Md5, 1, kSecret, bytes_of("challenge"))};
    const std::vector<std::byte> value{digest->view().begin(), digest->view().end()};
    digest->~ChapDigest();
    const auto holds = [](std::span<const std::byte> memory, std::span<const std::byte> secret) {
        return !std::ranges::search(memory, secret).empty();
    };
    const auto random = random_bytes();
    EXPECT_FALSE(holds(room, std::span{random}.subspan(1, 16)));
    EXPECT_FALSE(holds(room, std::vector<std::byte>(8, std::byte{0xaa})));
    EXPECT_FALSE(holds(digest_room, value));
    std::array secret{std::byte{1}, std::byte{2}};
    wipe(secret);
    EXPECT_EQ(secret, (std::array{std::byte{0}, std::byte{0}}));
}

// Goal: a configuration that breaks a rule is told before anything is sent.
// Rows: CHP-14, CHP-15, CHP-13
TEST(ChapConfig, RulesAreChecked) {
    EXPECT_EQ(judge_secrets({}), std::nullopt);
    EXPECT_EQ(judge_secrets(one_way()), std::nullopt);
    EXPECT_EQ(judge_secrets(mutual()), std::nullopt);
    AuthConfig same = mutual();
    ASSERT_TRUE(same.from_target.secret.try_assign(kSecret));
    EXPECT_EQ(judge_secrets(same), ChapConfigError::SameSecretBothWays);
    AuthConfig lonely = mutual();
    lonely.to_target.secret.clear();
    EXPECT_EQ(judge_secrets(lonely), ChapConfigError::MutualWithoutOneWay);
    for (std::size_t length = 1; length <= 16; ++length) {
        AuthConfig auth = one_way();
        ASSERT_TRUE(auth.to_target.secret.try_assign(std::string(length, 's')));
        EXPECT_EQ(judge_secrets(auth).has_value(), length < 12) << length;
    }
    AuthConfig short_back = mutual();
    ASSERT_TRUE(short_back.from_target.secret.try_assign("short"));
    EXPECT_EQ(judge_secrets(short_back), ChapConfigError::SecretTooShort);
}

}  // namespace
}  // namespace holdfast::initiator
