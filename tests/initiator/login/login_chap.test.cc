#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "initiator/login/login.h"
#include "tests/initiator/login/login_bench.h"

namespace holdfast::initiator {
namespace {

using namespace testing;
using Pairs = std::vector<std::string>;

constexpr std::string_view kChallenge = "CHAP_C=0x00112233445566778899aabbccddeeff";

std::string bytes_from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t i = 2; i + 1 < hex.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
    }
    return bytes;
}

/// A bench that waits for CHAP_A, CHAP_I and CHAP_C.
LoginBench asked(bool mutual, const LoginOptions& options = {}) {
    LoginBench bench{chap_config(mutual), options};
    bench.send();
    EXPECT_TRUE(goes_on(bench.answer(kStaySecurity, {"AuthMethod=CHAP"})));
    bench.send();
    return bench;
}

/// A bench whose CHAP_R is out.
LoginBench answered(bool mutual) {
    LoginBench bench = asked(mutual);
    EXPECT_TRUE(goes_on(bench.answer(kStaySecurity, {"CHAP_A=7", "CHAP_I=5", kChallenge})));
    bench.send();
    return bench;
}

std::string target_response(const LoginBench& bench, std::string_view secret) {
    const auto identifier = static_cast<std::uint8_t>(std::stoi(bench.value("CHAP_I")));
    const std::string challenge = bytes_from_hex(bench.value("CHAP_C"));
    return "CHAP_R=" +
           hex_of(chap_response(ChapAlgorithm::Sha256, identifier, secret, bytes_of(challenge))
                      .view());
}

// Goal: one-way CHAP step by step; T is asked for with the response and not before.
// Rows: CHP-01, CHP-02, CHP-04, LOG-12
TEST(LoginChap, OneWay) {
    LoginBench bench{chap_config(false)};
    bench.send();
    EXPECT_EQ(bench.value("AuthMethod"), "CHAP");
    EXPECT_EQ(bench.request().at8(1), 0x00);
    EXPECT_TRUE(
        goes_on(bench.answer(kStaySecurity, {"AuthMethod=CHAP", "TargetPortalGroupTag=1"})));
    bench.send();
    EXPECT_EQ(pairs_of(bench.text()), Pairs{"CHAP_A=8,7,6,5"});
    EXPECT_EQ(bench.request().at8(1), 0x00);
    EXPECT_TRUE(goes_on(bench.answer(kStaySecurity, {"CHAP_A=7", "CHAP_I=5", kChallenge})));
    bench.send();
    EXPECT_EQ(bench.request().at8(1), 0x81);
    EXPECT_EQ(bench.value("CHAP_N"), "user");
    const std::string challenge = bytes_from_hex(kChallenge.substr(7));
    EXPECT_EQ(
        bench.value("CHAP_R"),
        hex_of(
            chap_response(ChapAlgorithm::Sha256, 5, "secret-of-user", bytes_of(challenge)).view()));
    EXPECT_EQ(bench.value("CHAP_C"), "(missing)");
    EXPECT_TRUE(goes_on(bench.answer(kToOperational)));
    bench.send();
    static_cast<void>(done_of(bench.answer(kToFull)));
}

// Goal: mutual CHAP with the target's answer at the transit and one round before it.
// Rows: CHP-01, CHP-08, CHP-16, LOG-14
TEST(LoginChap, Mutual) {
    for (const bool early : {false, true}) {
        LoginBench bench = answered(true);
        EXPECT_EQ(pairs_of(bench.text()).size(), 4U);
        EXPECT_EQ(bench.value("CHAP_I"), "1");
        EXPECT_GE(bench.value("CHAP_C").size(), 2U + 2 * 16);
        const std::string response = target_response(bench, "secret-of-disk");
        EXPECT_TRUE(goes_on(
            bench.answer(early ? kStaySecurity : kToOperational, {"CHAP_N=disk", response})));
        bench.send();
        if (early) {
            EXPECT_TRUE(bench.text().empty());
            EXPECT_TRUE(bench.asks_transit());
            EXPECT_TRUE(goes_on(bench.answer(kToOperational)));
            bench.send();
        }
        static_cast<void>(done_of(bench.answer(kToFull)));
    }
}

// Goal: a discovery session authenticates by the same rules.
// Rows: CHP-18
TEST(LoginChap, DiscoveryAuthenticatesToo) {
    LoginBench bench = asked(true, {.type = SessionType::Discovery});
    EXPECT_TRUE(goes_on(bench.answer(kStaySecurity, {"CHAP_A=7", "CHAP_I=5", kChallenge})));
    bench.send();
    EXPECT_EQ(error_of(bench.answer(kToOperational)), LoginError::Chap);
}

// Goal: who requires authentication does not start without it, even when told to skip the stage.
// Rows: CHP-12, CHP-17, LOG-30
TEST(LoginChap, SecurityStageIsNotSkipped) {
    LoginBench bench{chap_config(false), {.start = LoginStart::Operational}};
    bench.send();
    EXPECT_EQ(bench.request().at8(1), 0x00);
    EXPECT_EQ(bench.value("AuthMethod"), "CHAP");
}

// Goal: with the target's secret alone, which is a mistake of the configuration, no login succeeds
// unproven.
// Rows: CHP-11, CHP-12
TEST(LoginChap, TargetSecretAloneFailsClosed) {
    SessionConfig config = chap_config(true);
    config.auth.to_target.secret.clear();
    LoginBench bench{config};
    bench.send();
    EXPECT_EQ(bench.value("AuthMethod"), "CHAP");
    EXPECT_EQ(error_of(bench.answer(kStaySecurity, {"AuthMethod=None"})),
              LoginError::AuthenticationMissing);
}

// Goal: a target that answers None, another method, Reject, nothing, or jumps ahead, is left.
// Rows: CHP-12, NEG-06, NEG-07
TEST(LoginChap, TargetCannotTalkItAway) {
    struct Case {
        std::uint8_t flags;
        std::string_view pair;
        LoginError error;
    };
    for (const Case c :
         {Case{kStaySecurity, "AuthMethod=None", LoginError::AuthenticationMissing},
          Case{kStaySecurity, "AuthMethod=KRB5", LoginError::AuthenticationRefused},
          Case{kStaySecurity, "AuthMethod=Reject", LoginError::AuthenticationRefused},
          Case{kStaySecurity, "AuthMethod=CHAP,None", LoginError::AuthenticationRefused},
          Case{kStaySecurity, "AuthMethod=NotUnderstood", LoginError::KnownKeyNotUnderstood},
          Case{kStaySecurity, "TargetAlias=a", LoginError::AuthenticationMissing},
          Case{kToOperational, "AuthMethod=CHAP", LoginError::TransitNotAsked},
          Case{kToOperational, "AuthMethod=None", LoginError::TransitNotAsked},
          Case{kSecurityToFull, "AuthMethod=None", LoginError::TransitNotAsked},
          Case{kToFull, "AuthMethod=None", LoginError::WrongStage}}) {
        LoginBench bench{chap_config(false)};
        bench.send();
        EXPECT_EQ(error_of(bench.answer(c.flags, {c.pair})), c.error) << c.pair;
    }
    LoginBench jumps = asked(false);
    EXPECT_EQ(error_of(jumps.answer(kToOperational)), LoginError::TransitNotAsked);
}

// Goal: without credentials a method other than None ends the login.
// Rows: LOG-30, NEG-06
TEST(LoginChap, WithoutCredentialsOnlyNoneIsAccepted) {
    for (const std::string_view pair : {"AuthMethod=CHAP", "AuthMethod=Reject", "AuthMethod="}) {
        LoginBench bench;
        bench.send();
        EXPECT_EQ(error_of(bench.answer(kStaySecurity, {pair})), LoginError::AuthenticationRefused);
    }
    LoginBench bench;
    bench.send();
    const LoginFailure failure = failure_of(bench.answer(kStaySecurity, {"CHAP_A=5"}));
    EXPECT_EQ(failure.chap, ChapError::KeyUnexpected);
}

// Goal: each step takes exactly its keys.
// Rows: CHP-03, CHP-04, CHP-05
TEST(LoginChap, WrongKeysEndTheStep) {
    struct Case {
        std::vector<std::string_view> pairs;
        LoginError error;
        ChapError chap;
    };
    const std::vector<Case> cases{
        {{"CHAP_A=7", "CHAP_I=5"}, LoginError::Chap, ChapError::KeyMissing},
        {{"CHAP_I=5", kChallenge}, LoginError::Chap, ChapError::KeyMissing},
        {{}, LoginError::Chap, ChapError::KeyMissing},
        {{"CHAP_A=9", "CHAP_I=5", kChallenge}, LoginError::Chap, ChapError::AlgorithmNotOffered},
        {{"CHAP_A=Reject"}, LoginError::Chap, ChapError::AlgorithmNotOffered},
        {{"CHAP_A=7", "CHAP_I=256", kChallenge}, LoginError::Chap, ChapError::IdentifierMalformed},
        {{"CHAP_A=7", "CHAP_I=5", "CHAP_C=0x"}, LoginError::Chap, ChapError::ChallengeMalformed},
        {{"CHAP_A=7", "CHAP_I=5", kChallenge, "CHAP_N=disk"},
         LoginError::Chap,
         ChapError::KeyUnexpected},
        {{"CHAP_A=7", "CHAP_A=7"}, LoginError::KeyRepeated, {}},
        {{"AuthMethod=CHAP"}, LoginError::KeyRepeated, {}},
    };
    for (const Case& c : cases) {
        LoginBench bench = asked(false);
        std::string text;
        for (const std::string_view pair : c.pairs) text += text_of({pair});
        const LoginFailure failure =
            failure_of(bench.answer_raw(bench.success(kStaySecurity), text));
        EXPECT_EQ(failure.error, c.error);
        if (c.error == LoginError::Chap) {
            EXPECT_EQ(failure.chap, c.chap);
        }
    }
    LoginBench hasty{chap_config(false)};
    hasty.send();
    const LoginFailure failure = failure_of(
        hasty.answer(kStaySecurity, {"AuthMethod=CHAP", "CHAP_A=7", "CHAP_I=5", kChallenge}));
    EXPECT_EQ(failure.chap, ChapError::KeyUnexpected);
}

// Goal: one-way: a target that answers as if asked is left.
// Rows: CHP-04
TEST(LoginChap, UnaskedResponseIsRefused) {
    for (const std::string_view pair : {"CHAP_N=disk", "CHAP_R=0x01"}) {
        LoginBench bench = answered(false);
        EXPECT_EQ(failure_of(bench.answer(kToOperational, {pair})).chap, ChapError::KeyUnexpected);
    }
}

// Goal: mutual: a target that goes on without proof, or with a wrong one, is left, in both kinds of
// response.
// Rows: CHP-10, CHP-11, CHP-16, CHP-06
TEST(LoginChap, UnprovenTargetIsLeft) {
    for (const std::uint8_t flags : {kStaySecurity, kToOperational}) {
        LoginBench silent = answered(true);
        EXPECT_EQ(failure_of(silent.answer(flags)).chap, ChapError::KeyMissing);
        LoginBench name_only = answered(true);
        EXPECT_EQ(failure_of(name_only.answer(flags, {"CHAP_N=disk"})).chap, ChapError::KeyMissing);
        LoginBench wrong = answered(true);
        EXPECT_EQ(failure_of(wrong.answer(
                                 flags, {"CHAP_N=disk", target_response(wrong, "guessed-secret")}))
                      .chap,
                  ChapError::ResponseWrong);
        LoginBench reflected = answered(true);
        EXPECT_EQ(
            failure_of(reflected.answer(
                           flags, {"CHAP_N=disk", target_response(reflected, "secret-of-user")}))
                .chap,
            ChapError::ResponseReflected);
        LoginBench other = answered(true);
        EXPECT_EQ(failure_of(other.answer(
                                 flags, {"CHAP_N=tape", target_response(other, "secret-of-disk")}))
                      .chap,
                  ChapError::NameWrong);
    }
}

// Goal: the target's challenge is not ours.
// Method: the bench's random bytes are known: 2, 3, 4 and so on.
// Rows: CHP-09
TEST(LoginChap, ReflectedChallengeEndsIt) {
    LoginBench bench = asked(true);
    std::array<std::byte, 32> ours{};
    for (std::size_t i = 0; i < ours.size(); ++i) ours[i] = static_cast<std::byte>(i + 2);
    const std::string challenge = "CHAP_C=" + hex_of(ours);
    const LoginFailure failure =
        failure_of(bench.answer(kStaySecurity, {"CHAP_A=7", "CHAP_I=5", challenge}));
    EXPECT_EQ(failure.chap, ChapError::ChallengeReflected);
    EXPECT_FALSE(failure.retry_with_md5_only);
}

// Goal: the hint to retry with MD5 alone is given exactly while a list is out and unanswered: for
// refusals that blame us, for a rejected or missing choice, for another PDU, for a lost connection.
// Rows: CHP-02, CHP-03
TEST(LoginChap, RetryWithMd5IsHintedWhileTheListIsOut) {
    for (const std::uint16_t status :
         std::to_array<std::uint16_t>({0x0200, 0x0201, 0x0207, 0x020b, 0x0300})) {
        LoginBench bench = asked(false);
        EXPECT_TRUE(bench.machine().on_transport_lost());
        EXPECT_TRUE(failure_of(bench.answer_raw(bench.refusal(status), "")).retry_with_md5_only);
        EXPECT_FALSE(bench.machine().on_transport_lost());
    }
    for (const std::uint16_t status : std::to_array<std::uint16_t>({0x0301, 0x0302})) {
        LoginBench bench = asked(false);
        EXPECT_FALSE(failure_of(bench.answer_raw(bench.refusal(status), "")).retry_with_md5_only);
    }
    LoginBench rejected = asked(false);
    EXPECT_TRUE(failure_of(rejected.answer(kStaySecurity, {"CHAP_A=Reject"})).retry_with_md5_only);
    LoginBench empty = asked(false);
    EXPECT_TRUE(failure_of(empty.answer(kStaySecurity)).retry_with_md5_only);
    LoginBench reject = asked(false);
    EXPECT_TRUE(failure_of(reject.answer_raw(testing::reject().data(0), "")).retry_with_md5_only);

    LoginBench single = asked(false, {.offer_md5_only = true});
    EXPECT_EQ(single.value("CHAP_A"), "5");
    EXPECT_FALSE(single.machine().on_transport_lost());
    EXPECT_FALSE(failure_of(single.answer_raw(single.refusal(0x0201), "")).retry_with_md5_only);
    LoginBench later = answered(false);
    EXPECT_FALSE(later.machine().on_transport_lost());
    EXPECT_FALSE(failure_of(later.answer_raw(later.refusal(0x0201), "")).retry_with_md5_only);
    LoginBench before{chap_config(false)};
    before.send();
    EXPECT_FALSE(before.machine().on_transport_lost());
    EXPECT_FALSE(failure_of(before.answer_raw(before.refusal(0x0201), "")).retry_with_md5_only);
}

// Goal: answers to unknown keys that leave no room for ours end the login, not the program.
// Rows: NEG-21, SEC-01
TEST(LoginChap, FloodBesideTheChallengeIsBounded) {
    LoginBench bench = asked(true);
    std::string text = text_of({"CHAP_A=7", "CHAP_I=5", kChallenge});
    for (int i = 0; i < 450; ++i) text += text_of({"A" + std::to_string(i + 1000) + "="});
    EXPECT_EQ(error_of(bench.answer_raw(bench.success(kStaySecurity), text)),
              LoginError::AnswersTooLong);
    for (int count = 380; count < 450; ++count) {
        LoginBench near = asked(true);
        std::string flood = text_of({"CHAP_A=7", "CHAP_I=5", kChallenge});
        for (int i = 0; i < count; ++i) flood += text_of({"A" + std::to_string(i + 1000) + "="});
        const LoginStep step = near.answer_raw(near.success(kStaySecurity), flood);
        if (goes_on(step)) {
            near.send();
            EXPECT_NE(near.value("CHAP_C"), "(missing)");
        } else {
            EXPECT_EQ(error_of(step), LoginError::AnswersTooLong);
        }
    }
}

}  // namespace
}  // namespace holdfast::initiator
