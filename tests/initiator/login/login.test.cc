#include "initiator/login/login.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/initiator/login/login_bench.h"

namespace holdfast::initiator {
namespace {

using namespace testing;
using Pairs = std::vector<std::string>;

/// A bench whose operational request is out.
LoginBench operational(const SessionConfig& config = plain_config()) {
    LoginBench bench{config};
    bench.send();
    EXPECT_TRUE(goes_on(bench.answer(kToOperational, {"AuthMethod=None"})));
    bench.send();
    return bench;
}

// Goal: the login of a target without authentication, step by step.
// Rows: LOG-03, LOG-06, LOG-08, LOG-10, LOG-11, LOG-21, LOG-30, SID-02, SID-05, SID-07
TEST(Login, TwoStagesWithoutAuthentication) {
    LoginBench bench;
    bench.send();
    EXPECT_EQ(pairs_of(bench.text()),
              (Pairs{"InitiatorName=iqn.2001-04.com.example:host", "SessionType=Normal",
                     "TargetName=iqn.2001-04.com.example:disk", "AuthMethod=None"}));
    EXPECT_EQ(bench.request().at8(0), 0x43);
    EXPECT_EQ(bench.request().at8(1), 0x81);
    EXPECT_EQ(bench.request().at64(8), 0x8000'0102'0304'0000ULL);
    EXPECT_EQ(bench.request().at32(16), kLoginItt);
    EXPECT_EQ(bench.request().at32(20), 0x0001'0000U);
    EXPECT_EQ(bench.request().at32(24), 77U);
    EXPECT_EQ(bench.request().at32(28), 0U);
    EXPECT_TRUE(
        goes_on(bench.answer(kToOperational, {"AuthMethod=None", "TargetPortalGroupTag=1"})));

    bench.send();
    EXPECT_EQ(bench.request().at8(1), 0x87);
    EXPECT_EQ(bench.request().at64(8), 0x8000'0102'0304'0000ULL);
    EXPECT_EQ(bench.request().at32(16), kLoginItt);
    EXPECT_EQ(bench.request().at32(20), 0x0001'0000U);
    EXPECT_EQ(bench.request().at32(24), 77U);
    EXPECT_EQ(bench.request().at32(28), 101U);
    EXPECT_EQ(bench.value("InitiatorName"), "(missing)");
    EXPECT_EQ(bench.value("HeaderDigest"), "CRC32C,None");
    const LoginDone done =
        done_of(bench.answer(kToFull, {"HeaderDigest=CRC32C", "DataDigest=None", "InitialR2T=No",
                                       "MaxRecvDataSegmentLength=65536", "MaxBurstLength=262144",
                                       "FirstBurstLength=65536"}));
    EXPECT_EQ(done.tsih, Tsih{0x5a5a});
    EXPECT_EQ(done.expected_stat_sn, StatSn{102});
    EXPECT_EQ(done.expected_cmd_sn, CmdSn{77});
    EXPECT_EQ(done.max_cmd_sn, CmdSn{108});
    EXPECT_TRUE(done.parameters.header_digest);
    EXPECT_FALSE(done.parameters.data_digest);
    EXPECT_FALSE(done.parameters.initial_r2t);
    EXPECT_EQ(done.parameters.max_recv_theirs_bytes, 65536U);
    EXPECT_EQ(done.parameters.target_portal_group, 1);
}

// Goal: the other style skips security: one stage, names and offers in one request.
// Rows: LOG-30, LOG-10
TEST(Login, OneStageStartsOperational) {
    LoginBench bench{plain_config(), {.start = LoginStart::Operational}};
    bench.send();
    EXPECT_EQ(bench.request().at8(1), 0x87);
    EXPECT_EQ(bench.value("InitiatorName"), "iqn.2001-04.com.example:host");
    EXPECT_EQ(bench.value("TargetName"), "iqn.2001-04.com.example:disk");
    EXPECT_EQ(bench.value("MaxBurstLength"), "1048576");
    EXPECT_EQ(bench.value("AuthMethod"), "(missing)");
    const LoginDone done = done_of(bench.answer(kToFull, {"TargetPortalGroupTag=1"}));
    EXPECT_EQ(done.tsih, Tsih{0x5a5a});

    LoginBench insisting{plain_config(), {.start = LoginStart::Operational}};
    const LoginFailure refused =
        failure_of(insisting.send().answer_raw(insisting.refusal(0x0201), ""));
    EXPECT_EQ(refused.error, LoginError::RefusedByTarget);
    EXPECT_EQ(refused.status, 0x0201);
    EXPECT_FALSE(refused.retry_with_md5_only);
}

// Goal: a discovery login names no target and says what it is.
// Rows: LOG-10, KEY-22, DSC-07
TEST(Login, DiscoveryNamesNoTarget) {
    LoginBench bench{plain_config(), {.type = SessionType::Discovery}};
    bench.send();
    EXPECT_EQ(pairs_of(bench.text()), (Pairs{"InitiatorName=iqn.2001-04.com.example:host",
                                             "SessionType=Discovery", "AuthMethod=None"}));
    EXPECT_TRUE(goes_on(bench.answer(kToOperational, {"AuthMethod=None"})));
    bench.send();
    EXPECT_EQ(bench.value("ErrorRecoveryLevel"), "0");
    EXPECT_EQ(bench.value("MaxConnections"), "(missing)");
    const LoginDone done = done_of(bench.answer(kToFull));
    EXPECT_EQ(done.parameters.max_connections, 1);
    EXPECT_EQ(done.parameters.error_recovery_level, 0);
}

// Goal: an alias goes out once when configured.
// Rows: KEY-08
TEST(Login, AliasGoesOutWhenConfigured) {
    SessionConfig config = plain_config();
    ASSERT_TRUE(config.initiator_alias.try_assign("Web Server 4"));
    LoginBench bench{config};
    bench.send();
    EXPECT_EQ(bench.value("InitiatorAlias"), "Web Server 4");
    EXPECT_TRUE(goes_on(bench.answer(kToOperational, {"InitiatorAlias=NotUnderstood"})));
    EXPECT_EQ(bench.send().value("InitiatorAlias"), "(missing)");
}

// Goal: an added connection carries the session's handle, leaves out what belongs to the leading
// one, and must come back into the same session.
// Rows: SID-04, SID-06, MCS-03, LOG-07, LOG-08
TEST(Login, AddedConnectionJoinsTheSession) {
    NegotiatedParameters session;
    session.max_burst_bytes = 4096;
    session.first_burst_bytes = 4096;
    const SessionConfig config = plain_config();
    LoginIdentity identity = plain_identity(config);
    identity.tsih = Tsih{0x5a5a};
    identity.cid = Cid{2};
    identity.cmd_sn = CmdSn{500};
    identity.expected_stat_sn = StatSn{900};
    for (const std::uint16_t tsih : std::to_array<std::uint16_t>({0x5a5a, 0x5a5b, 0})) {
        LoginBench bench{config, {.session = &session}, identity};
        bench.send();
        EXPECT_EQ(pairs_of(bench.text()),
                  (Pairs{"InitiatorName=iqn.2001-04.com.example:host",
                         "TargetName=iqn.2001-04.com.example:disk", "AuthMethod=None"}));
        EXPECT_EQ(bench.request().at32(12), 0x0304'5a5aU);
        EXPECT_EQ(bench.request().at32(20), 0x0002'0000U);
        EXPECT_EQ(bench.request().at32(24), 500U);
        EXPECT_EQ(bench.request().at32(28), 900U);
        EXPECT_TRUE(goes_on(bench.answer(kToOperational)));
        bench.send();
        EXPECT_EQ(bench.request().at32(12), 0x0304'5a5aU);
        EXPECT_EQ(bench.value("MaxBurstLength"), "(missing)");
        const LoginStep step = bench.answer_raw(bench.success(kToFull).set16(14, tsih), "");
        if (tsih == 0x5a5a) {
            EXPECT_EQ(done_of(step).parameters.max_burst_bytes, 4096U);
        } else {
            EXPECT_EQ(error_of(step), LoginError::OtherSession);
        }
    }
}

// Goal: a new session needs a handle in its final response.
// Rows: SID-05
TEST(Login, NewSessionNeedsAHandle) {
    LoginBench bench = operational();
    EXPECT_EQ(error_of(bench.answer_raw(bench.success(kToFull).set16(14, 0), "")),
              LoginError::NewSessionWithoutHandle);
}

// Goal: any first StatSN is right, and each response is acknowledged by the next request.
// Rows: LOG-09, LOG-08
TEST(Login, AnyInitialStatusNumberIsRight) {
    for (const std::uint32_t first : {0U, 1U, 0x7fff'ffffU, 0x8000'0000U, 0xffff'ffffU}) {
        LoginBench bench;
        bench.set_stat_sn(first);
        bench.send();
        EXPECT_TRUE(goes_on(bench.answer(kToOperational)));
        EXPECT_EQ(bench.send().request().at32(28), first + 1);
        EXPECT_EQ(done_of(bench.answer(kToFull)).expected_stat_sn, StatSn{first + 2});
    }
}

// Goal: any PDU but a Login Response ends the login: every opcode, a Reject with reason 0b too.
// Rows: LOG-02, LOG-28, LOG-29
TEST(Login, OtherPdusEndIt) {
    for (unsigned opcode = 0; opcode < 64; ++opcode) {
        LoginBench bench;
        bench.send();
        Header header{static_cast<std::uint8_t>(opcode), 0x81};
        header.itt(kLoginItt);
        if (opcode == 0x3f) header.set8(2, 0x0b);
        const LoginStep step = bench.answer_raw(header, "");
        EXPECT_EQ(goes_on(step), opcode == 0x23);
        if (opcode != 0x23) {
            EXPECT_EQ(error_of(step), LoginError::NotALoginResponse);
        }
    }
}

// Goal: what a login response's header can have wrong is told apart.
// Rows: LOG-03, LOG-05, LOG-13, PDU-11, PDU-12
TEST(Login, HeaderIsJudged) {
    const auto error_with = [](auto change) {
        LoginBench bench;
        bench.send();
        Header header = bench.success(kToOperational);
        change(header);
        return error_of(bench.machine().on_response(header.bhs(), {}));
    };
    EXPECT_EQ(error_with([](Header& h) { h.itt(1); }), LoginError::WrongTaskTag);
    EXPECT_EQ(error_with([](Header& h) { h.set8(3, 1); }), LoginError::VersionUnsupported);
    EXPECT_EQ(error_with([](Header& h) { h.set8(1, kToFull); }), LoginError::WrongStage);
    EXPECT_EQ(error_with([](Header& h) { h.set8(1, kSecurityToFull); }),
              LoginError::NextStageTooFar);
    EXPECT_EQ(error_with([](Header& h) { h.set8(4, 1); }), LoginError::HeaderMalformed);
    EXPECT_EQ(error_with([](Header& h) { h.set8(1, 0xc1); }), LoginError::HeaderMalformed);
    EXPECT_EQ(error_with([](Header& h) { h.set8(1, 0x82); }), LoginError::HeaderMalformed);
    EXPECT_EQ(error_with([](Header& h) { h.set16(36, 0x0400); }), LoginError::HeaderMalformed);
    EXPECT_EQ(error_with([](Header& h) { h.data(8193); }), LoginError::SegmentTooLong);
    EXPECT_EQ(error_with([](Header& h) { h.data(0xff'ffff); }), LoginError::SegmentTooLong);
    LoginBench bench;
    bench.send();
    const Header wrong = bench.success(0xc1);
    EXPECT_EQ(failure_of(bench.machine().on_response(wrong.bhs(), {})).violation,
              Violation::LoginTransitWithContinue);
}

// Goal: all 256 flag bytes in both stages: only the two legal moves and staying go on.
// Rows: LOG-12, LOG-13, LOG-21
TEST(Login, OnlyLegalStageMovesGoOn) {
    for (unsigned flags = 0; flags < 256; ++flags) {
        const auto byte = static_cast<std::uint8_t>(flags);
        const bool transit = (flags & 0x80U) != 0;
        const bool continued = (flags & 0x40U) != 0;
        const unsigned current = flags >> 2 & 3U;
        const unsigned next = flags & 3U;
        LoginBench security;
        security.send();
        const bool stays = current == 0 && !transit;
        const bool moves = current == 0 && transit && !continued && next == 1;
        EXPECT_EQ(goes_on(security.answer(byte)), stays || moves) << flags;
        LoginBench last = operational();
        const LoginStep step = last.answer(byte);
        EXPECT_EQ(goes_on(step), current == 1 && !transit) << flags;
        EXPECT_EQ(std::holds_alternative<LoginDone>(step),
                  current == 1 && transit && !continued && next == 3)
            << flags;
    }
}

// Goal: a response that comes unasked, or after the end, is refused.
// Rows: LOG-04, LOG-01
TEST(Login, UnaskedResponsesAreRefused) {
    LoginBench unasked;
    EXPECT_EQ(error_of(unasked.answer(kToOperational)), LoginError::NotALoginResponse);
    LoginBench twice;
    twice.send();
    EXPECT_TRUE(goes_on(twice.answer(kToOperational)));
    EXPECT_EQ(error_of(twice.answer(kToOperational)), LoginError::NotALoginResponse);
    LoginBench late = operational();
    static_cast<void>(done_of(late.answer(kToFull)));
    EXPECT_EQ(error_of(late.answer(kToFull)), LoginError::NotALoginResponse);
}

// Goal: a second request before the answer is our own bug.
// Rows: LOG-04
TEST(LoginDeathTest, OneRequestIsOutstanding) {
    LoginBench bench;
    bench.send();
    EXPECT_DEATH(bench.send(), "RequestDue");
}

// Goal: T=1 is repeated, with empty requests, until the target follows; its answers are empty, too.
// Rows: LOG-14, BUG-11
TEST(Login, TransitIsRepeatedUntilFollowed) {
    LoginBench bench;
    bench.send();
    for (int round = 0; round < 3; ++round) {
        EXPECT_TRUE(goes_on(bench.answer(kStaySecurity)));
        bench.send();
        EXPECT_TRUE(bench.asks_transit());
        EXPECT_TRUE(bench.text().empty());
    }
    EXPECT_TRUE(goes_on(bench.answer(kToOperational, {"AuthMethod=None"})));
    bench.send();
    for (int round = 0; round < 3; ++round) {
        const auto step = round == 0 ? bench.answer(kStayOperational,
                                                    {"MaxBurstLength=512", "FirstBurstLength=512"})
                                     : bench.answer(kStayOperational);
        EXPECT_TRUE(goes_on(step));
        bench.send();
        EXPECT_TRUE(bench.asks_transit());
        EXPECT_TRUE(bench.text().empty());
    }
    EXPECT_EQ(done_of(bench.answer(kToFull)).parameters.max_burst_bytes, 512U);
}

// Goal: a target that never comes to an end is left after a bounded number of exchanges, and more
// than six are allowed.
// Rows: LOG-18, LOG-28
TEST(Login, ExchangesAreBounded) {
    for (const std::uint8_t flags : {kStaySecurity, kContinueSecurity}) {
        LoginBench bench;
        std::uint32_t exchanges = 0;
        LoginStep step{LoginSendNext{}};
        while (goes_on(step) && exchanges < 1000) {
            bench.send();
            step = bench.answer(flags);
            ++exchanges;
        }
        EXPECT_EQ(error_of(step), LoginError::TooManyExchanges);
        EXPECT_EQ(exchanges, kLoginExchangesMax);
        EXPECT_GE(exchanges, 6U);
    }
}

// Goal: a text in pieces is answered with empty requests and judged when it is whole.
// Method: the response cut at every byte into two PDUs.
// Rows: LOG-15, LOG-16, PDU-22
TEST(Login, ContinuedTextIsJoined) {
    const std::string text = text_of({"HeaderDigest=CRC32C", "MaxBurstLength=524288",
                                      "TargetAlias=disk", "MaxRecvDataSegmentLength=16384"});
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        LoginBench bench = operational();
        EXPECT_TRUE(
            goes_on(bench.answer_raw(bench.success(kContinueOperational), text.substr(0, cut))));
        bench.send();
        EXPECT_TRUE(bench.text().empty());
        EXPECT_EQ(bench.request().at8(1) & 0x40U, 0U);
        const LoginDone done = done_of(bench.answer_raw(bench.success(kToFull), text.substr(cut)));
        EXPECT_TRUE(done.parameters.header_digest);
        EXPECT_EQ(done.parameters.max_burst_bytes, 524288U);
        EXPECT_EQ(done.parameters.max_recv_theirs_bytes, 16384U);
        EXPECT_EQ(done.parameters.target_alias.view(), "disk");
    }
}

// Goal: a pair left open when C ends is an error, and a pair is not judged before C ends.
// Rows: LOG-16, NEG-21
TEST(Login, TextIsJudgedWhole) {
    LoginBench bench = operational();
    EXPECT_TRUE(goes_on(bench.answer_raw(bench.success(kContinueOperational), "HeaderDigest=CRC")));
    bench.send();
    EXPECT_EQ(error_of(bench.answer_raw(bench.success(kToFull), "32C")),
              LoginError::PairWithoutEnd);
}

// Goal: 8192 bytes of text are taken in a sequence, one more is not.
// Rows: LOG-17
TEST(Login, TextOf8192BytesIsTaken) {
    for (const std::size_t extra : {0U, 1U}) {
        LoginBench bench = operational();
        const std::string stem = "TargetAlias=";
        const std::string text =
            stem + std::string(8192 - stem.size() - 1 + extra, 'a') + std::string(1, '\0');
        EXPECT_TRUE(
            goes_on(bench.answer_raw(bench.success(kContinueOperational), text.substr(0, 4096))));
        bench.send();
        const LoginStep step = bench.answer_raw(bench.success(kToFull), text.substr(4096));
        if (extra == 0) {
            EXPECT_EQ(done_of(step).parameters.target_alias.size(), 255U);
        } else {
            EXPECT_EQ(error_of(step), LoginError::TextTooLong);
        }
    }
}

// Goal: what the target proposes is answered in the next request, and the login ends after it.
// Rows: NEG-14, NEG-16, LOG-14, NEG-23
TEST(Login, ProposalsAreAnsweredBeforeTheEnd) {
    LoginBench bench = operational();
    EXPECT_TRUE(goes_on(
        bench.answer(kStayOperational, {"HeaderDigest=None", "X-com.example.fast=Yes",
                                        "OFMarker=Yes", "TaskReporting=RFC3720,ResponseFence"})));
    bench.send();
    EXPECT_TRUE(bench.asks_transit());
    EXPECT_EQ(pairs_of(bench.text()), (Pairs{"X-com.example.fast=NotUnderstood", "OFMarker=Reject",
                                             "TaskReporting=RFC3720"}));
    static_cast<void>(done_of(bench.answer(kToFull)));
}

// Goal: a proposal in the final response, which no request can answer any more, has no effect.
// Rows: NEG-10, PDU-21
TEST(Login, ProposalInTheFinalResponseHasNoEffect) {
    LoginBench bench = operational();
    const LoginDone done = done_of(bench.answer(kToFull, {"X-com.example.fast=Yes"}));
    EXPECT_EQ(done.parameters.max_burst_bytes, 262144U);
}

// Goal: a key that comes twice ends the login, in one response, in two, and across stages; only
// TargetAddress may come again.
// Rows: LOG-19
TEST(Login, RepeatedKeysEndIt) {
    LoginBench same = operational();
    EXPECT_EQ(error_of(same.answer(kToFull, {"MaxBurstLength=512", "MaxBurstLength=512"})),
              LoginError::KeyRepeated);
    LoginBench later = operational();
    EXPECT_TRUE(goes_on(later.answer(kStayOperational, {"MaxBurstLength=512"})));
    later.send();
    EXPECT_EQ(error_of(later.answer(kToFull, {"MaxBurstLength=512"})), LoginError::KeyRepeated);
    LoginBench stages;
    stages.send();
    EXPECT_TRUE(goes_on(stages.answer(kToOperational, {"TargetAlias=a"})));
    stages.send();
    const LoginFailure failure = failure_of(stages.answer(kToFull, {"TargetAlias=a"}));
    EXPECT_EQ(failure.error, LoginError::KeyRepeated);
    EXPECT_EQ(failure.key, KeyId::TargetAlias);
    LoginBench addresses = operational();
    EXPECT_TRUE(std::holds_alternative<LoginDone>(
        addresses.answer(kToFull, {"TargetAddress=10.0.0.1", "TargetAddress=10.0.0.2"})));
}

// Goal: no key of ours goes out twice in a whole login with two stages and extra rounds.
// Rows: LOG-19, BUG-59
TEST(Login, WeNeverRepeatAKey) {
    LoginBench bench;
    std::vector<std::string> keys;
    const auto collect = [&] {
        bench.send();
        for (const std::string& pair : pairs_of(bench.text())) {
            keys.push_back(pair.substr(0, pair.find('=')));
        }
    };
    collect();
    EXPECT_TRUE(goes_on(bench.answer(kStaySecurity, {"AuthMethod=None"})));
    collect();
    EXPECT_TRUE(goes_on(bench.answer(kToOperational)));
    collect();
    EXPECT_TRUE(goes_on(bench.answer(kStayOperational, {"MaxBurstLength=65536"})));
    collect();
    EXPECT_TRUE(goes_on(bench.answer(kStayOperational, {"TaskReporting=RFC3720"})));
    collect();
    for (std::size_t i = 0; i < keys.size(); ++i) {
        for (std::size_t j = i + 1; j < keys.size(); ++j) EXPECT_NE(keys[i], keys[j]);
    }
    EXPECT_EQ(keys.back(), "TaskReporting");
}

// Goal: keys of another stage, and keys of an initiator, end the login.
// Rows: LOG-20, CHP-20
TEST(Login, MisplacedKeysEndIt) {
    for (const std::string_view pair : {"HeaderDigest=None", "MaxBurstLength=512"}) {
        LoginBench bench;
        bench.send();
        EXPECT_EQ(error_of(bench.answer(kToOperational, {pair})), LoginError::KeyWrongStage);
    }
    for (const std::string_view pair : {"AuthMethod=None", "CHAP_A=5"}) {
        LoginBench bench = operational();
        EXPECT_EQ(error_of(bench.answer(kToFull, {pair})), LoginError::KeyWrongStage);
    }
    for (const std::string_view pair :
         {"InitiatorName=iqn.2001-04.com.example", "SendTargets=All", "SessionType=Normal"}) {
        LoginBench bench = operational();
        EXPECT_EQ(error_of(bench.answer(kToFull, {pair})), LoginError::KeyWrongSender);
    }
}

// Goal: only keys of section 12 go out in the security stage.
// Rows: CHP-20
TEST(Login, SecurityStageHasSecurityKeysOnly) {
    SessionConfig config = chap_config(true);
    ASSERT_TRUE(config.initiator_alias.try_assign("alias"));
    LoginBench bench{config};
    bench.send();
    for (const std::string& pair : pairs_of(bench.text())) {
        const KeySpec& spec = spec_of(key_of(pair.substr(0, pair.find('='))));
        EXPECT_TRUE(spec.any_stage || spec.use == KeyUse::Security) << pair;
    }
}

// Goal: garbage as text fails cleanly at every length.
// Rows: NEG-21, LOG-28, BUG-03
TEST(Login, GarbageFailsCleanly) {
    for (std::size_t length = 1; length <= 64; ++length) {
        LoginBench bench;
        bench.send();
        const std::string garbage(length, '\xee');
        EXPECT_EQ(error_of(bench.answer_raw(bench.success(kToOperational), garbage)),
                  LoginError::PairWithoutEnd);
    }
    LoginBench bench;
    bench.send();
    EXPECT_EQ(error_of(bench.answer(kToOperational, {std::string(8191, 'K')})),
              LoginError::PairWithoutEquals);
}

// Goal: the portal group is the one that discovery promised, when it promised one.
// Rows: SID-09
TEST(Login, PortalGroupIsChecked) {
    SessionConfig config = plain_config();
    config.portal_group = 1;
    for (const std::string_view pair : {"TargetPortalGroupTag=1", "TargetPortalGroupTag=2"}) {
        LoginBench bench{config};
        bench.send();
        const LoginStep step = bench.answer(kToOperational, {pair});
        if (pair.back() == '1') {
            EXPECT_TRUE(goes_on(step));
        } else {
            EXPECT_EQ(error_of(step), LoginError::WrongPortalGroup);
        }
    }
    LoginBench silent{config};
    silent.send();
    EXPECT_TRUE(goes_on(silent.answer(kToOperational)));
    LoginBench zero;
    zero.send();
    EXPECT_TRUE(goes_on(zero.answer(kToOperational, {"TargetPortalGroupTag=0"})));
}

// Goal: every status of classes 2 and 3 comes out as it is, with whatever else in the header.
// Rows: LOG-22, LOG-25, LOG-26
TEST(Login, RefusalsCarryTheirStatus) {
    for (unsigned status = 0x0200; status < 0x0400; ++status) {
        LoginBench bench;
        bench.send();
        Header header = bench.refusal(static_cast<std::uint16_t>(status));
        header.set8(1, 0xff).set8(3, 9).itt(0xffff'ffff);
        const LoginFailure failure = failure_of(bench.answer_raw(header, "garbage"));
        EXPECT_EQ(failure.error, LoginError::RefusedByTarget);
        EXPECT_EQ(failure.status, status);
        EXPECT_FALSE(failure.retry_with_md5_only);
    }
}

// Goal: a redirect is taken in every stage, with all its addresses up to four, and tells whether it
// is permanent.
// Rows: LOG-23, LOG-24, KEY-09, BUG-34
TEST(Login, RedirectsAreTaken) {
    for (const std::uint16_t status : std::to_array<std::uint16_t>({0x0101, 0x0102})) {
        for (const bool late : {false, true}) {
            LoginBench bench;
            bench.send();
            if (late) {
                EXPECT_TRUE(goes_on(bench.answer(kToOperational)));
                bench.send();
            }
            const LoginStep step = bench.answer_raw(
                bench.refusal(status), text_of({"TargetAddress=[1080::8:800:200c:417a]:5003",
                                                "TargetAddress=disk.example"}));
            const auto* redirect = std::get_if<LoginRedirect>(&step);
            ASSERT_NE(redirect, nullptr);
            EXPECT_EQ(redirect->is_permanent, status == 0x0102);
            ASSERT_EQ(redirect->portals.size(), 2U);
            EXPECT_EQ(redirect->portals[0].host.view(), "1080::8:800:200c:417a");
            EXPECT_EQ(redirect->portals[0].port, 5003);
            EXPECT_EQ(redirect->portals[1].host.view(), "disk.example");
            EXPECT_EQ(redirect->portals[1].port, 3260);
        }
    }
    LoginBench many;
    many.send();
    std::string text;
    for (int i = 0; i < 100; ++i) text += text_of({"TargetAddress=10.0.0.1"});
    const LoginStep step = many.answer_raw(many.refusal(0x0101), text);
    ASSERT_NE(std::get_if<LoginRedirect>(&step), nullptr);
    EXPECT_EQ(std::get_if<LoginRedirect>(&step)->portals.size(), 4U);
}

// Goal: a redirect to nowhere, or with a portal group tag, is a failure.
// Rows: LOG-23, KEY-09
TEST(Login, RedirectNeedsAnAddressWithoutTag) {
    for (const std::string& text :
         {std::string{}, text_of({"TargetAlias=a"}), text_of({"TargetAddress=10.0.0.1,1"}),
          text_of({"TargetAddress="}), text_of({"TargetAddress=[::1"}),
          text_of({"TargetAddress=10.0.0.1:0"})}) {
        LoginBench bench;
        bench.send();
        EXPECT_EQ(error_of(bench.answer_raw(bench.refusal(0x0101), text)),
                  LoginError::RedirectWithoutAddress);
    }
    LoginBench mixed;
    mixed.send();
    const LoginStep step = mixed.answer_raw(
        mixed.refusal(0x0101), text_of({"TargetAddress=10.0.0.1,1", "TargetAddress=10.0.0.2"}));
    ASSERT_NE(std::get_if<LoginRedirect>(&step), nullptr);
    EXPECT_EQ(std::get_if<LoginRedirect>(&step)->portals[0].host.view(), "10.0.0.2");
    LoginBench broken;
    broken.send();
    EXPECT_EQ(error_of(broken.answer_raw(broken.refusal(0x0101), "TargetAddress=10.0.0.1")),
              LoginError::PairWithoutEnd);
}

// Goal: the quirk of a target that answers T=0 first and declares its segment length on the extra
// round.
// Rows: LOG-14, KEY-13
TEST(Login, ExtraRoundBringsTheSegmentLength) {
    LoginBench bench = operational();
    EXPECT_TRUE(goes_on(bench.answer(kStayOperational, {"HeaderDigest=None", "DataDigest=None"})));
    bench.send();
    const LoginDone done = done_of(bench.answer(kToFull, {"MaxRecvDataSegmentLength=262144"}));
    EXPECT_EQ(done.parameters.max_recv_theirs_bytes, 262144U);
    EXPECT_EQ(done.parameters.max_recv_ours_bytes, plain_config().wish.max_recv_data_segment_bytes);
}

}  // namespace
}  // namespace holdfast::initiator
