#include "initiator/login/negotiation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/initiator/login/texts.h"

namespace holdfast::initiator {
namespace {

using testing::pairs_of;
using testing::text_of;
using testing::value_in;
using Pairs = std::vector<std::string>;

/// A wish that does not lean on the defaults of the configuration.
OperationalWish plain_wish() {
    OperationalWish wish;
    wish.max_recv_data_segment_bytes = 262144;
    wish.max_burst_bytes = 1048576;
    wish.first_burst_bytes = 262144;
    wish.max_outstanding_r2t = 4;
    wish.time2wait_s = 2;
    wish.time2retain_s = 20;
    wish.error_recovery_level = 0;
    return wish;
}

/// One negotiation in the operational stage, with what it offered and what it answers.
struct Bench {
    explicit Bench(const OperationalWish& wish = plain_wish(),
                   SessionType type = SessionType::Normal,
                   NegotiationKind kind = NegotiationKind::LeadingLogin,
                   const NegotiatedParameters& session = {})
        : negotiation(wish, type, kind, session) {
        if (kind == NegotiationKind::FullFeature) return;
        TextOut out;
        negotiation.offer(out);
        offered = out.view();
    }
    /// The error of taking one pair, or nothing.
    std::optional<LoginError> take(std::string_view key, std::string_view value,
                                   KeyStage stage = KeyStage::Operational) {
        return negotiation.take({key, value}, stage, answers);
    }
    /// The same, when all is well; returns what is now agreed.
    NegotiatedParameters result() {
        const auto concluded = negotiation.conclude();
        EXPECT_TRUE(concluded);
        return concluded.value_or(NegotiatedParameters{});
    }

    Negotiation negotiation;
    TextOut answers;
    std::string offered;
};

// Goal: the default offer names every key of the leading login once, in the standard's notation.
// Rows: NEG-16, DIG-14, KEY-13, KEY-21, NEG-23, NEG-22
TEST(Negotiation, DefaultOfferIsComplete) {
    const Bench bench{plain_wish()};
    EXPECT_EQ(pairs_of(bench.offered),
              (Pairs{"HeaderDigest=CRC32C,None", "DataDigest=CRC32C,None",
                     "MaxRecvDataSegmentLength=262144", "MaxConnections=1", "InitialR2T=No",
                     "ImmediateData=Yes", "MaxBurstLength=1048576", "FirstBurstLength=262144",
                     "MaxOutstandingR2T=4", "DefaultTime2Wait=2", "DefaultTime2Retain=20",
                     "DataPDUInOrder=Yes", "DataSequenceInOrder=Yes", "ErrorRecoveryLevel=0"}));
}

// Goal: a discovery session offers what counts in one, and recovery level 0 whatever the wish.
// Rows: DSC-07, KEY-03
TEST(Negotiation, DiscoveryOffersNoSessionKeys) {
    OperationalWish wish = plain_wish();
    wish.error_recovery_level = 2;
    const Bench bench{wish, SessionType::Discovery};
    EXPECT_EQ(pairs_of(bench.offered),
              (Pairs{"HeaderDigest=CRC32C,None", "DataDigest=CRC32C,None",
                     "MaxRecvDataSegmentLength=262144", "DefaultTime2Wait=2",
                     "DefaultTime2Retain=20", "ErrorRecoveryLevel=0"}));
}

// Goal: an added connection negotiates what belongs to a connection and keeps the session's values.
// Rows: MCS-03, LOG-10
TEST(Negotiation, AddedConnectionOffersConnectionKeysOnly) {
    NegotiatedParameters session;
    session.max_burst_bytes = 4096;
    session.first_burst_bytes = 2048;
    session.initial_r2t = false;
    session.header_digest = true;
    session.max_recv_theirs_bytes = 65536;
    session.target_portal_group = 3;
    Bench bench{plain_wish(), SessionType::Normal, NegotiationKind::AddedLogin, session};
    EXPECT_EQ(pairs_of(bench.offered), (Pairs{"HeaderDigest=CRC32C,None", "DataDigest=CRC32C,None",
                                              "MaxRecvDataSegmentLength=262144"}));
    EXPECT_FALSE(bench.take("MaxBurstLength", "512"));
    EXPECT_EQ(value_in(bench.answers.view(), "MaxBurstLength"), "Irrelevant");
    const NegotiatedParameters result = bench.result();
    EXPECT_EQ(result.max_burst_bytes, 4096U);
    EXPECT_EQ(result.first_burst_bytes, 2048U);
    EXPECT_FALSE(result.initial_r2t);
    EXPECT_FALSE(result.header_digest);
    EXPECT_EQ(result.max_recv_theirs_bytes, 8192U);
    EXPECT_EQ(result.target_portal_group, 3);
}

// Goal: digests are offered by the wish.
// Rows: DIG-01, DIG-14, NEG-07
TEST(Negotiation, DigestWishesBecomeLists) {
    OperationalWish wish = plain_wish();
    wish.header_digest = DigestWish::Require;
    wish.data_digest = DigestWish::Never;
    const Bench bench{wish};
    EXPECT_EQ(value_in(bench.offered, "HeaderDigest"), "CRC32C");
    EXPECT_EQ(value_in(bench.offered, "DataDigest"), "None");
}

// Goal: an absurd wish is brought into the standard's range before it is sent.
// Rows: KEY-13, KEY-14, KEY-15, KEY-16, KEY-18, KEY-21, NEG-19
TEST(Negotiation, OffersStayInRange) {
    OperationalWish wish = plain_wish();
    wish.max_recv_data_segment_bytes = 1;
    wish.max_burst_bytes = ~0U;
    wish.first_burst_bytes = ~0U;
    wish.max_outstanding_r2t = 0;
    wish.time2wait_s = 65535;
    wish.error_recovery_level = 255;
    wish.data_sequence_in_order = false;
    const Bench bench{wish};
    EXPECT_EQ(value_in(bench.offered, "MaxRecvDataSegmentLength"), "512");
    EXPECT_EQ(value_in(bench.offered, "MaxBurstLength"), "16777215");
    EXPECT_EQ(value_in(bench.offered, "FirstBurstLength"), "16777215");
    EXPECT_EQ(value_in(bench.offered, "MaxOutstandingR2T"), "1");
    EXPECT_EQ(value_in(bench.offered, "DefaultTime2Wait"), "3600");
    EXPECT_EQ(value_in(bench.offered, "ErrorRecoveryLevel"), "2");
    wish.max_burst_bytes = 1024;
    EXPECT_EQ(value_in(Bench{wish}.offered, "FirstBurstLength"), "1024");
    wish.max_recv_data_segment_bytes = 1U << 24;
    EXPECT_EQ(value_in(Bench{wish}.offered, "MaxRecvDataSegmentLength"), "16777215");
}

// Goal: nothing is agreed by silence: without any answer all values are the defaults, except that
// a No to ImmediateData and a Yes to an OR key stand by themselves.
// Rows: NEG-10, NEG-09, NEG-18
TEST(Negotiation, SilenceMeansDefaults) {
    OperationalWish wish = plain_wish();
    wish.immediate_data = false;
    Bench bench{wish};
    const NegotiatedParameters result = bench.result();
    const NegotiatedParameters standard;
    EXPECT_FALSE(result.header_digest);
    EXPECT_FALSE(result.data_digest);
    EXPECT_TRUE(result.initial_r2t);
    EXPECT_FALSE(result.immediate_data);
    EXPECT_EQ(result.max_burst_bytes, standard.max_burst_bytes);
    EXPECT_EQ(result.first_burst_bytes, standard.first_burst_bytes);
    EXPECT_EQ(result.max_outstanding_r2t, 1);
    EXPECT_EQ(result.max_recv_theirs_bytes, 8192U);
    EXPECT_EQ(result.max_recv_ours_bytes, 262144U);
    EXPECT_TRUE(Bench{}.result().immediate_data);
}

// Goal: values answered within the rules become active together.
// Rows: NEG-18, KEY-01, KEY-02, KEY-11, KEY-12, KEY-13, KEY-14, KEY-15, KEY-16, KEY-17, KEY-18
TEST(Negotiation, AnswersBecomeActiveAtTheEnd) {
    Bench bench;
    const Pairs answers{"HeaderDigest=CRC32C",     "DataDigest=None",
                        "InitialR2T=No",           "ImmediateData=No",
                        "MaxBurstLength=524288",   "FirstBurstLength=0x10000",
                        "MaxOutstandingR2T=2",     "DefaultTime2Wait=5",
                        "DefaultTime2Retain=0",    "DataPDUInOrder=Yes",
                        "DataSequenceInOrder=Yes", "ErrorRecoveryLevel=0",
                        "MaxConnections=1",        "MaxRecvDataSegmentLength=65536",
                        "TargetPortalGroupTag=0",  "TargetAlias=the disk"};
    for (const std::string& pair : answers) {
        const std::size_t equals = pair.find('=');
        EXPECT_FALSE(bench.take(pair.substr(0, equals), pair.substr(equals + 1))) << pair;
    }
    EXPECT_TRUE(bench.answers.empty());
    const NegotiatedParameters result = bench.result();
    EXPECT_TRUE(result.header_digest);
    EXPECT_FALSE(result.data_digest);
    EXPECT_FALSE(result.initial_r2t);
    EXPECT_FALSE(result.immediate_data);
    EXPECT_EQ(result.max_burst_bytes, 524288U);
    EXPECT_EQ(result.first_burst_bytes, 65536U);
    EXPECT_EQ(result.max_outstanding_r2t, 2);
    EXPECT_EQ(result.time2wait_s, 5);
    EXPECT_EQ(result.time2retain_s, 0);
    EXPECT_EQ(result.max_recv_theirs_bytes, 65536U);
    EXPECT_EQ(result.target_portal_group, 0);
    EXPECT_EQ(result.target_alias.view(), "the disk");
    EXPECT_EQ(bench.negotiation.answer_of(KeyId::MaxBurstLength), KeyAnswer::Value);
}

// Goal: the one merge function, over all small offers and selections of every result function.
// Rows: NEG-06, NEG-07, NEG-08
TEST(Merge, ResultFunctionsAreExact) {
    for (std::uint32_t offered = 0; offered <= 6; ++offered) {
        for (std::uint32_t selected = 0; selected <= 6; ++selected) {
            const auto merged_as = [&](ResultFunction result) {
                KeySpec spec{.name = "Key", .kind = KeyKind::Number, .most = 5};
                spec.result = result;
                return merge(spec, offered, selected);
            };
            const bool in_range = selected <= 5;
            const auto at_most = merged_as(ResultFunction::Minimum);
            EXPECT_EQ(at_most.has_value(), in_range && selected <= offered);
            const auto at_least = merged_as(ResultFunction::Maximum);
            EXPECT_EQ(at_least.has_value(), in_range && selected >= offered);
            EXPECT_EQ(merged_as(ResultFunction::Declared).has_value(), in_range);
            if (at_most) {
                EXPECT_EQ(*at_most, selected);
            }
            const bool is_in_set = (offered >> selected & 1U) != 0;
            EXPECT_EQ(merged_as(ResultFunction::FirstSupported).has_value(), in_range && is_in_set);
        }
    }
    const KeySpec& digest = spec_of(KeyId::HeaderDigest);
    EXPECT_EQ(merge(digest, 1U << kDigestCrc32c, kDigestNone).error(), LoginError::ValueNotOffered);
    EXPECT_EQ(merge(digest, ~0U, 32).error(), LoginError::ValueNotOffered);
}

// Goal: booleans follow AND and OR for all four combinations of offer and answer.
// Rows: NEG-04, NEG-08, NEG-09, KEY-11, KEY-12, KEY-19, KEY-20
TEST(Negotiation, BooleansFollowTheirFunction) {
    for (const bool offer : {false, true}) {
        for (const bool answer : {false, true}) {
            OperationalWish wish = plain_wish();
            wish.initial_r2t = offer;
            wish.immediate_data = offer;
            wish.data_pdu_in_order = offer;
            wish.data_sequence_in_order = offer;
            Bench bench{wish};
            const char* word = answer ? "Yes" : "No";
            for (const char* key : {"InitialR2T", "DataPDUInOrder", "DataSequenceInOrder"}) {
                const auto wrong = bench.take(key, word);
                EXPECT_EQ(wrong.has_value(), offer && !answer) << key;
            }
            EXPECT_EQ(bench.take("ImmediateData", word).has_value(), !offer && answer);
            if (offer != answer) continue;
            const NegotiatedParameters result = bench.result();
            EXPECT_EQ(result.initial_r2t, answer);
            EXPECT_EQ(result.immediate_data, answer);
            EXPECT_EQ(result.data_pdu_in_order, answer);
            EXPECT_EQ(result.data_sequence_in_order, answer);
        }
    }
}

// Goal: for every numeric key the values around its limits and around our offer are judged right.
// Rows: NEG-03, NEG-08, KEY-03, KEY-13, KEY-14, KEY-15, KEY-16, KEY-17, KEY-18, KEY-21
TEST(Negotiation, NumbersAreJudgedAtTheEdges) {
    for (const KeySpec& spec : all_keys()) {
        if (spec.id < KeyId::MaxRecvDataSegmentLength || spec.id > KeyId::ErrorRecoveryLevel)
            continue;
        if (spec.kind != KeyKind::Number) continue;
        const auto offer =
            static_cast<std::uint64_t>(std::stoul(value_in(Bench{}.offered, spec.name)));
        for (const std::uint64_t edge :
             {std::uint64_t{spec.least}, std::uint64_t{spec.most}, offer}) {
            for (int step = -1; step <= 1; ++step) {
                if (edge == 0 && step < 0) continue;
                const std::uint64_t value = edge + static_cast<std::uint64_t>(step);
                const bool in_range = value >= spec.least && value <= spec.most;
                const bool by_rule = spec.result == ResultFunction::Declared ||
                                     (spec.result == ResultFunction::Minimum && value <= offer) ||
                                     (spec.result == ResultFunction::Maximum && value >= offer);
                Bench bench;
                const auto wrong = bench.take(spec.name, std::to_string(value));
                EXPECT_EQ(!wrong.has_value(), in_range && by_rule) << spec.name << "=" << value;
                if (!in_range) {
                    EXPECT_EQ(wrong, LoginError::ValueOutOfRange);
                }
            }
        }
        for (const std::string_view garbage :
             {"", "-1", "512 ", "0512", "abc", "18446744073709551616", "512~1024", "Yes"}) {
            EXPECT_EQ(Bench{}.take(spec.name, garbage), LoginError::ValueMalformed) << spec.name;
        }
        EXPECT_EQ(Bench{}.take(spec.name, "4294967808"), LoginError::ValueOutOfRange) << spec.name;
    }
}

// Goal: a digest that we did not offer, a list as an answer, or another word is a protocol error.
// Rows: NEG-06, NEG-07, DIG-01
TEST(Negotiation, SelectionMustBeFromOurList) {
    OperationalWish wish = plain_wish();
    wish.header_digest = DigestWish::Require;
    wish.data_digest = DigestWish::Never;
    EXPECT_EQ(Bench{wish}.take("HeaderDigest", "None"), LoginError::ValueNotOffered);
    EXPECT_EQ(Bench{wish}.take("DataDigest", "CRC32C"), LoginError::ValueNotOffered);
    for (const std::string_view value : {"", "crc32c", "CRC32C,None", "MD5", "none", "CRC32"}) {
        EXPECT_EQ(Bench{}.take("HeaderDigest", value), LoginError::ValueNotOffered) << value;
    }
    EXPECT_EQ(Bench{}.take("InitialR2T", "yes"), LoginError::ValueMalformed);
}

// Goal: Reject leaves the default and Irrelevant is no failure, for every negotiated key.
// Rows: NEG-11, NEG-12
TEST(Negotiation, RejectAndIrrelevantLeaveDefaults) {
    for (const KeySpec& spec : all_keys()) {
        if (spec.id < KeyId::HeaderDigest || spec.id > KeyId::ErrorRecoveryLevel) continue;
        const bool is_declared = spec.result == ResultFunction::Declared;
        Bench rejected;
        EXPECT_EQ(rejected.take(spec.name, "Reject").has_value(), is_declared) << spec.name;
        EXPECT_EQ(rejected.negotiation.answer_of(spec.id), KeyAnswer::Rejected);
        Bench irrelevant;
        EXPECT_FALSE(irrelevant.take(spec.name, "Irrelevant")) << spec.name;
        const NegotiatedParameters result = irrelevant.result();
        EXPECT_EQ(result.max_burst_bytes, 262144U);
        EXPECT_EQ(result.first_burst_bytes, 65536U);
        EXPECT_TRUE(result.initial_r2t);
    }
    EXPECT_EQ(Bench{}.take("MaxRecvDataSegmentLength", "Reject"), LoginError::DeclarationRejected);
}

// Goal: a No to an AND key and a Yes to an OR key stand, whatever word the target answers.
// Rows: NEG-09, NEG-11, NEG-12, KEY-12
TEST(Negotiation, OffersThatDecideAloneStand) {
    for (const std::string_view word : {"Reject", "Irrelevant"}) {
        OperationalWish wish = plain_wish();
        wish.immediate_data = false;
        wish.initial_r2t = true;
        Bench bench{wish};
        EXPECT_FALSE(bench.take("ImmediateData", word));
        EXPECT_FALSE(bench.take("InitialR2T", word));
        EXPECT_FALSE(bench.result().immediate_data);
        EXPECT_TRUE(bench.result().initial_r2t);
    }
}

// Goal: a digest that the configuration requires cannot be talked away.
// Rows: NEG-11, NEG-10
TEST(Negotiation, RequiredDigestEndsTheLoginWhenMissing) {
    OperationalWish wish = plain_wish();
    wish.data_digest = DigestWish::Require;
    for (const std::string_view answer : {"Reject", "Irrelevant", ""}) {
        Bench bench{wish};
        if (!answer.empty()) {
            EXPECT_FALSE(bench.take("DataDigest", answer));
        }
        const auto concluded = bench.negotiation.conclude();
        ASSERT_FALSE(concluded);
        EXPECT_EQ(concluded.error(), LoginError::DigestMissing);
    }
    Bench bench{wish};
    EXPECT_FALSE(bench.take("DataDigest", "CRC32C"));
    EXPECT_TRUE(bench.result().data_digest);
}

// Goal: NotUnderstood is an error for every key of RFC 3720 that we offer.
// Rows: NEG-13
TEST(Negotiation, NotUnderstoodIsAnErrorForOldKeys) {
    for (const KeySpec& spec : all_keys()) {
        if (spec.id < KeyId::HeaderDigest || spec.id > KeyId::ErrorRecoveryLevel) continue;
        EXPECT_EQ(Bench{}.take(spec.name, "NotUnderstood"), LoginError::KnownKeyNotUnderstood);
    }
}

// Goal: keys newer than RFC 3720 may be answered NotUnderstood once they have been sent; an alias
// too, because it is for display.
// Rows: NEG-13, LOG-31
TEST(Negotiation, NotUnderstoodIsToleratedForLaterKeys) {
    for (const KeyId id : {KeyId::TaskReporting, KeyId::ProtocolLevel, KeyId::NodeArchitecture,
                           KeyId::InitiatorAlias}) {
        Bench bench;
        bench.negotiation.note_declared(id);
        EXPECT_FALSE(bench.take(spec_of(id).name, "NotUnderstood"));
        EXPECT_EQ(bench.negotiation.answer_of(id), KeyAnswer::NotUnderstood);
        EXPECT_EQ(bench.result().protocol_level, 1);
    }
    Bench bench;
    bench.negotiation.note_declared(KeyId::TargetName);
    EXPECT_EQ(bench.take("TargetName", "NotUnderstood"), LoginError::KnownKeyNotUnderstood);
}

// Goal: unknown keys are answered NotUnderstood, with names up to the longest legal one.
// Rows: NEG-14, KEY-26, NEG-02
TEST(Negotiation, UnknownKeysAreAnswered) {
    const std::string longest(63, 'K');
    for (const std::string& key : {std::string{"X-com.example.do"}, std::string{"Foo"}, longest}) {
        for (const SessionType type : {SessionType::Normal, SessionType::Discovery}) {
            Bench bench{plain_wish(), type};
            EXPECT_FALSE(bench.take(key, std::string(4096, 'v')));
            EXPECT_EQ(value_in(bench.answers.view(), key), "NotUnderstood");
        }
    }
}

// Goal: a flood of unknown keys ends the login instead of our buffer.
// Rows: NEG-14, NEG-21, SEC-01
TEST(Negotiation, FloodOfUnknownKeysIsBounded) {
    Bench bench;
    std::optional<LoginError> wrong;
    int taken = 0;
    while (!wrong && taken < 10'000) {
        wrong = bench.take("A" + std::to_string(taken), "");
        ++taken;
    }
    EXPECT_EQ(wrong, LoginError::AnswersTooLong);
    EXPECT_LT(taken, 600);
}

// Goal: every key of the table is answered with something else than NotUnderstood, or needs no
// answer, whatever legal or illegal value comes.
// Rows: NEG-14, NEG-16, NEG-17
TEST(Negotiation, KnownKeysAreNeverNotUnderstood) {
    for (const KeySpec& spec : all_keys()) {
        for (const std::string_view value : {"Yes", "No", "512", "0", "", "RFC3720", "garbage"}) {
            for (const auto kind : {NegotiationKind::LeadingLogin, NegotiationKind::AddedLogin,
                                    NegotiationKind::FullFeature}) {
                Bench bench{plain_wish(), SessionType::Normal, kind};
                static_cast<void>(bench.take(spec.name, value));
                EXPECT_EQ(bench.answers.view().find("NotUnderstood"), std::string_view::npos);
            }
        }
    }
}

// Goal: the target's own proposals are answered: redundant, later, obsolete and RDMA keys.
// Rows: NEG-16, NEG-17, NEG-23, KEY-23, KEY-24, KEY-27, KEY-30, KEY-31, ISR-01, X44-01
TEST(Negotiation, ProposalsAreAnswered) {
    struct Case {
        std::string_view key;
        std::string_view proposed;
        std::string_view answer;
    };
    for (const Case c :
         {Case{"TaskReporting", "FastAbort,ResponseFence,RFC3720", "RFC3720"},
          Case{"TaskReporting", "RFC3720", "RFC3720"}, Case{"TaskReporting", "FastAbort", "Reject"},
          Case{"TaskReporting", "", "Reject"}, Case{"iSCSIProtocolLevel", "2", "1"},
          Case{"iSCSIProtocolLevel", "31", "1"}, Case{"iSCSIProtocolLevel", "0", "0"},
          Case{"iSCSIProtocolLevel", "32", "Reject"}, Case{"iSCSIProtocolLevel", "two", "Reject"},
          Case{"IFMarker", "Yes", "Reject"}, Case{"OFMarker", "No", "Reject"},
          Case{"IFMarkInt", "2048~8192", "Reject"}, Case{"OFMarkInt", "garbage", "Reject"},
          Case{"RDMAExtensions", "Yes", "No"}, Case{"RDMAExtensions", "No", "No"},
          Case{"RDMAExtensions", "Maybe", "Reject"},
          Case{"InitiatorRecvDataSegmentLength", "8192", "Irrelevant"},
          Case{"TargetRecvDataSegmentLength", "8192", "Irrelevant"}}) {
        Bench bench;
        EXPECT_FALSE(bench.take(c.key, c.proposed)) << c.key;
        EXPECT_EQ(value_in(bench.answers.view(), c.key), c.answer) << c.key << "=" << c.proposed;
        EXPECT_EQ(bench.negotiation.answer_of(key_of(c.key)), KeyAnswer::Proposed);
    }
}

// Goal: in a discovery session the keys of a normal one are answered Irrelevant, and recovery stays
// at level 0.
// Rows: DSC-07, DSC-08, NEG-12
TEST(Negotiation, DiscoveryAnswersIrrelevant) {
    for (const KeySpec& spec : all_keys()) {
        if (!spec.irrelevant_in_discovery) continue;
        Bench bench{plain_wish(), SessionType::Discovery};
        EXPECT_FALSE(bench.take(spec.name, "1"));
        EXPECT_EQ(value_in(bench.answers.view(), spec.name), "Irrelevant") << spec.name;
        EXPECT_EQ(bench.result().max_connections, 1);
    }
    Bench bench{plain_wish(), SessionType::Discovery};
    EXPECT_EQ(bench.take("ErrorRecoveryLevel", "2"), LoginError::ResultNotAllowed);
    EXPECT_EQ(bench.result().error_recovery_level, 0);
}

// Goal: Reject, Irrelevant and NotUnderstood are no proposals.
// Rows: NEG-15
TEST(Negotiation, ReservedWordsAreNoProposals) {
    for (const std::string_view word : {"Reject", "Irrelevant", "NotUnderstood"}) {
        for (const std::string_view key :
             {"TaskReporting", "IFMarker", "RDMAExtensions", "X-com.example.a", "TargetAlias",
              "TargetPortalGroupTag", "iSCSIProtocolLevel"}) {
            EXPECT_EQ(Bench{}.take(key, word), LoginError::ReservedWordProposed) << key;
        }
    }
}

// Goal: no offer of ours ever contains a reserved word.
// Rows: NEG-15
TEST(Negotiation, OffersHaveNoReservedWords) {
    for (unsigned digests = 0; digests < 9; ++digests) {
        OperationalWish wish = plain_wish();
        wish.header_digest = static_cast<DigestWish>(digests % 3);
        wish.data_digest = static_cast<DigestWish>(digests / 3);
        const Bench bench{wish};
        for (const std::string_view word : {"Reject", "Irrelevant", "NotUnderstood"}) {
            EXPECT_EQ(bench.offered.find(word), std::string::npos);
        }
    }
}

// Goal: every known key may come once, TargetAddress as often as it likes.
// Rows: LOG-19
TEST(Negotiation, RepetitionIsAnError) {
    struct Case {
        std::string_view key;
        std::string_view value;
    };
    for (const Case c : {Case{"HeaderDigest", "None"}, Case{"MaxRecvDataSegmentLength", "8192"},
                         Case{"TargetAlias", "a"}, Case{"TargetPortalGroupTag", "1"},
                         Case{"X#NodeArchitecture", "x"}, Case{"TaskReporting", "RFC3720"},
                         Case{"IFMarker", "No"}, Case{"InitialR2T", "Irrelevant"}}) {
        Bench bench;
        EXPECT_FALSE(bench.take(c.key, c.value)) << c.key;
        EXPECT_EQ(bench.take(c.key, c.value), LoginError::KeyRepeated) << c.key;
    }
    Bench bench;
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(bench.take("TargetAddress", "10.0.0.1"));
}

// Goal: for every key and both stages: only what sections 12 and 13 allow there is taken, and keys
// that only initiators send are refused from a target.
// Rows: LOG-20, CHP-20, KEY-04, KEY-05, KEY-06, KEY-22
TEST(Negotiation, StageAndSenderAreJudged) {
    for (const KeySpec& spec : all_keys()) {
        for (const KeyStage stage : {KeyStage::Security, KeyStage::Operational}) {
            Bench bench;
            const auto wrong = bench.negotiation.admit(spec.id, stage, "value");
            const bool is_security_key = spec.use == KeyUse::Security;
            const bool right =
                stage == KeyStage::Security ? is_security_key || spec.any_stage : !is_security_key;
            if (spec.sender == KeySender::Initiator) {
                EXPECT_EQ(wrong, LoginError::KeyWrongSender) << spec.name;
            } else if (!right) {
                EXPECT_EQ(wrong, LoginError::KeyWrongStage) << spec.name;
            } else {
                EXPECT_FALSE(wrong) << spec.name;
            }
        }
    }
}

// Goal: in full feature phase the target may declare its segment length and names for display;
// keys of the login are rejected and change nothing.
// Rows: TXT-08, NEG-18
TEST(Negotiation, FullFeaturePhaseRefusesLoginKeys) {
    NegotiatedParameters session;
    session.header_digest = true;
    session.data_digest = true;
    session.max_burst_bytes = 4096;
    session.first_burst_bytes = 1024;
    Bench bench{plain_wish(), SessionType::Normal, NegotiationKind::FullFeature, session};
    EXPECT_FALSE(bench.take("MaxRecvDataSegmentLength", "4096"));
    EXPECT_FALSE(bench.take("TargetAlias", "new"));
    for (const std::string_view key : {"HeaderDigest", "MaxBurstLength", "ErrorRecoveryLevel",
                                       "InitialR2T", "TaskReporting", "OFMarker"}) {
        EXPECT_FALSE(bench.take(key, "1"));
        EXPECT_EQ(value_in(bench.answers.view(), key), "Reject") << key;
    }
    const NegotiatedParameters result = bench.result();
    EXPECT_TRUE(result.header_digest);
    EXPECT_TRUE(result.data_digest);
    EXPECT_EQ(result.max_recv_theirs_bytes, 4096U);
    EXPECT_EQ(result.max_burst_bytes, 4096U);
    EXPECT_EQ(result.target_alias.view(), "new");
}

// Goal: FirstBurstLength never exceeds MaxBurstLength: agreed so, it is an error; as a default that
// nobody agreed upon, it is cut.
// Rows: NEG-19, KEY-15
TEST(Negotiation, FirstBurstStaysWithinMaxBurst) {
    Bench agreed;
    EXPECT_FALSE(agreed.take("MaxBurstLength", "4096"));
    EXPECT_FALSE(agreed.take("FirstBurstLength", "8192"));
    const auto concluded = agreed.negotiation.conclude();
    ASSERT_FALSE(concluded);
    EXPECT_EQ(concluded.error(), LoginError::BurstsInconsistent);
    for (const std::string_view answer : {"", "Irrelevant", "Reject"}) {
        Bench bench;
        EXPECT_FALSE(bench.take("MaxBurstLength", "4096"));
        if (!answer.empty()) {
            EXPECT_FALSE(bench.take("FirstBurstLength", answer));
        }
        EXPECT_EQ(bench.result().first_burst_bytes, 4096U);
    }
}

// Goal: with recovery and data sequences in order there is one outstanding R2T.
// Rows: NEG-20, KEY-18, KEY-21
TEST(Negotiation, RecoveryInOrderMeansOneR2T) {
    OperationalWish wish = plain_wish();
    wish.error_recovery_level = 1;
    EXPECT_EQ(value_in(Bench{wish}.offered, "MaxOutstandingR2T"), "1");
    wish.data_sequence_in_order = false;
    Bench bench{wish};
    EXPECT_EQ(value_in(bench.offered, "MaxOutstandingR2T"), "4");
    EXPECT_FALSE(bench.take("MaxOutstandingR2T", "4"));
    EXPECT_FALSE(bench.take("ErrorRecoveryLevel", "1"));
    EXPECT_FALSE(bench.take("DataSequenceInOrder", "Yes"));
    EXPECT_EQ(bench.result().max_outstanding_r2t, 1);
    Bench without{wish};
    EXPECT_FALSE(without.take("MaxOutstandingR2T", "4"));
    EXPECT_FALSE(without.take("ErrorRecoveryLevel", "0"));
    EXPECT_FALSE(without.take("DataSequenceInOrder", "Yes"));
    EXPECT_EQ(without.result().max_outstanding_r2t, 4);
}

// Goal: an alias never fails a login and never reaches a terminal raw, whatever its bytes and
// length.
// Rows: KEY-07, LOG-31, NAM-08
TEST(Negotiation, AliasIsMadeDisplayable) {
    struct Case {
        std::string alias;
        std::string shown;
    };
    for (const Case& c :
         {Case{"Bob's disk", "Bob's disk"}, Case{"\u00e4\u4e2d", "\u00e4\u4e2d"},
          Case{"\x1b[31mred\x07\x7f", "?[31mred??"}, Case{"\xff\xfe x", "?? x"}, Case{"", ""}}) {
        Bench bench;
        EXPECT_FALSE(bench.take("TargetAlias", c.alias));
        EXPECT_EQ(bench.result().target_alias.view(), c.shown);
    }
    for (const std::size_t length : {222U, 255U, 256U, 8000U}) {
        Bench bench;
        EXPECT_FALSE(bench.take("TargetAlias", std::string(length, 'a')));
        EXPECT_EQ(bench.result().target_alias.size(), std::min<std::size_t>(length, 255));
    }
}

// Goal: a portal group tag is a number of 16 bits in any notation; 0 is one.
// Rows: KEY-10, SID-09
TEST(Negotiation, PortalGroupTagIsSixteenBits) {
    struct Case {
        std::string_view text;
        std::uint16_t tag;
    };
    for (const Case c : {Case{"0", 0}, Case{"1", 1}, Case{"65535", 65535}, Case{"0x00ff", 255},
                         Case{"0bAAE=", 1}}) {
        Bench bench;
        EXPECT_FALSE(bench.take("TargetPortalGroupTag", c.text));
        EXPECT_EQ(bench.negotiation.target_portal_group(), c.tag);
    }
    EXPECT_EQ(Bench{}.take("TargetPortalGroupTag", "65536"), LoginError::ValueOutOfRange);
    EXPECT_EQ(Bench{}.take("TargetPortalGroupTag", "x"), LoginError::ValueMalformed);
    EXPECT_EQ(Bench{}.result().target_portal_group, std::nullopt);
}

// Goal: what a target says about its architecture changes nothing and needs no answer.
// Rows: NEG-22, KEY-25, KEY-32
TEST(Negotiation, ArchitectureAndRdmaDeclarationsChangeNothing) {
    Bench bench;
    EXPECT_FALSE(bench.take("X#NodeArchitecture", "anything,at/all " + std::string(300, 'x')));
    EXPECT_FALSE(bench.take("MaxOutstandingUnexpectedPDUs", "17"));
    EXPECT_FALSE(bench.take("MaxAHSLength", "garbage"));
    EXPECT_TRUE(bench.answers.empty());
    EXPECT_EQ(bench.result().max_burst_bytes, Bench{}.result().max_burst_bytes);
}

}  // namespace
}  // namespace holdfast::initiator
