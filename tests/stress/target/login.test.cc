#include "stress/target/login.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

constexpr std::string_view kIdentity =
    "InitiatorName=iqn.2026-01.net.example:initiator\nTargetName=iqn.2026-01.net.holdfast:ram";
constexpr std::uint8_t kSecurityToOperational = 0x81;
constexpr std::uint8_t kSecurityStay = 0x00;
constexpr std::uint8_t kOperationalToFull = 0x87;

std::string value_of(const Seen& seen, std::string_view key) {
    for (const auto& pair : parse_text(seen.text()).value_or(std::vector<KeyValue>{})) {
        if (pair.key == key) return pair.value;
    }
    return "(absent)";
}

TargetConfig chap_config() {
    TargetConfig config = small_config();
    config.auth.initiators = {{"user", "a secret of enough length"}};
    config.auth.mutual = {"target", "another secret of enough length"};
    return config;
}

/// Goes through CHAP with `algorithm`; returns the answer to CHAP_R.
Seen run_chap(PlayedInitiator& initiator, int algorithm, std::string_view secret,
              std::string_view more = {}) {
    initiator.login_step(std::string{kIdentity} + "\nAuthMethod=CHAP,None", kSecurityStay);
    const Seen asked = initiator.login_step("CHAP_A=" + std::to_string(algorithm), kSecurityStay);
    const auto identifier = parse_number(value_of(asked, "CHAP_I"));
    const auto challenge = parse_binary(value_of(asked, "CHAP_C"));
    if (!identifier || !challenge) return asked;
    const auto response =
        chap_response(algorithm, static_cast<std::uint8_t>(*identifier), secret, *challenge);
    return initiator.login_step("CHAP_N=user\nCHAP_R=" + hex_text(*response) + std::string{more},
                                kSecurityToOperational);
}

// Goal: a login straight into the operational stage ends in full feature phase with a TSIH.
TEST(TargetLogin, OperationalStageLeadsToFullFeature) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    const Seen answer = initiator.login("MaxBurstLength=16384\nInitialR2T=Yes\nImmediateData=Yes");
    EXPECT_EQ(answer.login_status(), 0);
    EXPECT_EQ(answer.flags(), kOperationalToFull);
    EXPECT_NE(initiator.tsih, 0);
    EXPECT_EQ(value_of(answer, "MaxBurstLength"), "16384");
    EXPECT_EQ(value_of(answer, "InitialR2T"), "Yes");
    EXPECT_EQ(value_of(answer, "TargetPortalGroupTag"), "1");
    EXPECT_EQ(value_of(answer, "MaxRecvDataSegmentLength"), "262144");
}

// Goal: each key gets the answer that its kind of negotiation demands.
TEST(TargetLogin, AnswersEveryKeyByItsKind) {
    struct Case {
        std::string_view offer;
        std::string_view answer;
    };
    constexpr std::array kCases{
        Case{"HeaderDigest=CRC32C,None", "CRC32C"},
        Case{"HeaderDigest=None,CRC32C", "None"},
        Case{"DataDigest=None", "None"},
        Case{"DataDigest=MD7", "Reject"},
        Case{"FirstBurstLength=512", "512"},
        Case{"FirstBurstLength=511", "Reject"},
        Case{"MaxOutstandingR2T=100", "8"},
        Case{"MaxOutstandingR2T=0", "Reject"},
        Case{"DefaultTime2Wait=0", "2"},
        Case{"DefaultTime2Retain=30", "0"},
        Case{"ErrorRecoveryLevel=2", "0"},
        Case{"MaxConnections=8", "1"},
        Case{"ImmediateData=No", "No"},
        Case{"InitialR2T=Maybe", "Reject"},
        Case{"DataPDUInOrder=No", "Yes"},
        Case{"IFMarker=Yes", "No"},
        Case{"IFMarkInt=1~2", "Reject"},
        Case{"RDMAExtensions=Yes", "No"},
        Case{"X-com.example.key=1", "NotUnderstood"},
        Case{"TaskReporting=RFC3720", "RFC3720"},
        Case{"iSCSIProtocolLevel=2", "1"},
        Case{"MaxBurstLength=Reject", "(absent)"},
    };
    for (const Case& c : kCases) {
        World world{small_config()};
        PlayedInitiator initiator{world};
        const Seen answer = initiator.login(c.offer);
        EXPECT_EQ(answer.login_status(), 0) << c.offer;
        EXPECT_EQ(value_of(answer, c.offer.substr(0, c.offer.find('='))), c.answer) << c.offer;
    }
}

// Goal: CHAP with each algorithm lets in who knows the secret, and proves the target when asked.
TEST(TargetLogin, ChapOneWayAndMutual) {
    for (const int algorithm : {5, 6, 7, 8}) {
        World world{chap_config()};
        PlayedInitiator initiator{world};
        const Octets challenge(16, 0x42);
        const Seen answer = run_chap(initiator, algorithm, "a secret of enough length",
                                     "\nCHAP_I=9\nCHAP_C=" + hex_text(challenge));
        EXPECT_EQ(answer.login_status(), 0) << algorithm;
        EXPECT_EQ(value_of(answer, "CHAP_N"), "target");
        const auto proof =
            chap_response(algorithm, 9, "another secret of enough length", challenge);
        EXPECT_EQ(value_of(answer, "CHAP_R"), hex_text(*proof));
        EXPECT_EQ(initiator.login_step("MaxBurstLength=4096", kOperationalToFull).login_status(),
                  0);
        EXPECT_EQ(world.counters().logins, 1U);
    }
}

// Goal: a wrong secret, an unknown user and an unknown algorithm are refused with 0201.
TEST(TargetLogin, ChapRefusesTheWrongSecret) {
    for (const auto& [algorithm, secret] : {std::pair{5, "wrong"}, std::pair{7, "wrong"},
                                            std::pair{9, "a secret of enough length"}}) {
        World world{chap_config()};
        PlayedInitiator initiator{world};
        EXPECT_EQ(run_chap(initiator, algorithm, secret).login_status(), 0x0201);
        EXPECT_EQ(initiator.wish(), LinkWish::Close);
        EXPECT_EQ(world.counters().logins_refused, 1U);
    }
}

// Goal: nobody passes around authentication.
TEST(TargetLogin, AuthenticationCannotBeSkipped) {
    World world{chap_config()};
    PlayedInitiator operational{world};
    EXPECT_EQ(operational.login().login_status(), 0x0201);
    PlayedInitiator none{world};
    EXPECT_EQ(none.login_step(std::string{kIdentity} + "\nAuthMethod=None", 0x83).login_status(),
              0x0201);
    PlayedInitiator silent{world};
    EXPECT_EQ(silent.login_step(kIdentity, 0x83).login_status(), 0x0201);
    EXPECT_EQ(world.counters().logins, 0U);
}

// Goal: our own challenge sent back to us is a reflection, and refused.
TEST(TargetLogin, ReflectedChallengeIsRefused) {
    World world{chap_config()};
    PlayedInitiator initiator{world};
    initiator.login_step(std::string{kIdentity} + "\nAuthMethod=CHAP", kSecurityStay);
    const Seen asked = initiator.login_step("CHAP_A=5", kSecurityStay);
    const auto challenge = value_of(asked, "CHAP_C");
    const auto response =
        chap_response(5, static_cast<std::uint8_t>(*parse_number(value_of(asked, "CHAP_I"))),
                      "a secret of enough length", *parse_binary(challenge));
    const Seen answer = initiator.login_step(
        "CHAP_N=user\nCHAP_R=" + hex_text(*response) + "\nCHAP_I=1\nCHAP_C=" + challenge,
        kSecurityToOperational);
    EXPECT_EQ(answer.login_status(), 0x0201);
}

// Goal: text may be split over PDUs with the C bit, at any byte.
TEST(TargetLogin, TextMaySpanRequests) {
    const std::string keys = PlayedInitiator::text_of(kIdentity);
    World world{small_config()};
    for (std::size_t split = 1; split < keys.size(); ++split) {
        PlayedInitiator initiator{world};
        initiator.isid += split;
        Header header = start_header(Opcode::Login);
        put_u8<at::kOpcode>(std::span{header}, 0x43);
        put_u8<at::kFlags>(std::span{header}, 0x44);  // C, operational
        put_be32<at::kCmdSn>(std::span{header}, 1);
        initiator.send(header, std::as_bytes(std::span{keys}).first(split));
        EXPECT_EQ(initiator.next().data.size(), 0U);
        put_u8<at::kFlags>(std::span{header}, kOperationalToFull);
        initiator.send(header, std::as_bytes(std::span{keys}).subspan(split));
        EXPECT_EQ(initiator.next().flags(), kOperationalToFull) << split;
    }
}

// Goal: each kind of bad login ends with its own status and a closed connection.
TEST(TargetLogin, BadLoginsAreRefusedEachInItsWay) {
    struct Case {
        std::string_view keys;
        std::uint8_t flags;
        std::uint16_t status;
    };
    constexpr std::array kCases{
        Case{"TargetName=iqn.2026-01.net.holdfast:ram", kOperationalToFull, 0x0207},
        Case{"InitiatorName=iqn.x", kOperationalToFull, 0x0207},
        Case{"InitiatorName=iqn.x\nTargetName=iqn.none", kOperationalToFull, 0x0203},
        Case{"InitiatorName=iqn.x\nSessionType=Odd", kOperationalToFull, 0x0209},
        Case{"InitiatorName=iqn.x\nInitiatorName=iqn.y", kOperationalToFull, 0x0200},
        Case{"novalue", kOperationalToFull, 0x0200},
        Case{kIdentity, 0x8e, 0x020b},  // next stage 2 does not exist
        Case{kIdentity, 0x85, 0x020b},  // backwards
        Case{kIdentity, 0xc7, 0x0200},  // T with C
    };
    for (const Case& c : kCases) {
        World world{small_config()};
        PlayedInitiator initiator{world};
        EXPECT_EQ(initiator.login_step(c.keys, c.flags).login_status(), c.status) << c.keys;
        EXPECT_EQ(initiator.wish(), LinkWish::Close);
    }
}

// Goal: endless login ends.
TEST(TargetLogin, EndlessLoginIsCutOff) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login_step(kIdentity, 0x04);
    int rounds = 0;
    while (initiator.login_step("", 0x04).login_status() == 0) ASSERT_LT(++rounds, 100);
}

// Goal: a redirect carries its address and status, and does not touch discovery.
TEST(TargetLogin, RedirectCarriesTheAddress) {
    TargetConfig config = small_config();
    config.redirect = "192.0.2.9:3261";
    for (const bool permanent : {false, true}) {
        config.redirect_permanent = permanent;
        World world{config};
        PlayedInitiator initiator{world};
        const Seen answer = initiator.login();
        EXPECT_EQ(answer.login_status(), permanent ? 0x0102 : 0x0101);
        EXPECT_EQ(value_of(answer, "TargetAddress"), "192.0.2.9:3261");
        PlayedInitiator discovery{world};
        EXPECT_EQ(
            discovery.login_step("InitiatorName=iqn.x\nSessionType=Discovery", kOperationalToFull)
                .login_status(),
            0);
    }
}

// Goal: a proposal of the target costs a round; its answer is not answered.
TEST(TargetLogin, ProposalOfTheTargetIsTaken) {
    TargetConfig config = small_config();
    config.operational.proposals = {"FirstBurstLength=65536"};
    World world{config};
    PlayedInitiator initiator{world};
    const Seen first = initiator.login();
    EXPECT_EQ(first.flags() & bit::kTransit, 0);
    EXPECT_EQ(value_of(first, "FirstBurstLength"), "65536");
    const Seen second = initiator.login_step("FirstBurstLength=4096", kOperationalToFull);
    EXPECT_EQ(second.flags(), kOperationalToFull);
    EXPECT_EQ(second.data.size(), 0U);
}

// Goal: anything but a Login Request before the login resets the connection.
TEST(TargetLogin, OtherPdusBeforeLoginResetTheConnection) {
    for (const Opcode opcode :
         {Opcode::ScsiCommand, Opcode::NopOut, Opcode::Text, Opcode::DataIn}) {
        World world{small_config()};
        PlayedInitiator initiator{world};
        initiator.send(start_header(opcode), {});
        EXPECT_EQ(initiator.wish(), LinkWish::Reset);
    }
}

}  // namespace
}  // namespace holdfast::target
