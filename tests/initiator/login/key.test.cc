#include "initiator/login/key.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "initiator/login/text.h"

namespace holdfast::initiator {
namespace {

using enum KeyKind;
using enum ResultFunction;
using enum KeyUse;
using Scope = KeyScope;
using Sender = KeySender;

/// One line of sections 12 and 13, as read from the text of the RFCs.
struct Line {
    std::string_view name;
    KeyKind kind;
    ResultFunction result;
    KeyUse use;
    Sender sender;
    Scope scope;
    std::uint32_t least;
    std::uint32_t most;
    std::uint32_t standard;
};

constexpr std::uint32_t k24 = 16777215;

const std::vector<Line>& lines() {
    using enum KeySender;
    constexpr auto SW = Scope::Session;
    constexpr auto CO = Scope::Connection;
    static const std::vector<Line> all{
        {"HeaderDigest", List, FirstSupported, InitializeOnly, Both, CO, 0, 0, 0},
        {"DataDigest", List, FirstSupported, InitializeOnly, Both, CO, 0, 0, 0},
        {"MaxConnections", Number, Minimum, LeadingOnly, Both, SW, 1, 65535, 1},
        {"SendTargets", Text, Declared, FullFeatureOnly, Initiator, SW, 0, 0, 0},
        {"TargetName", Name, Declared, InitializeOnly, Initiator, SW, 0, 0, 0},
        {"InitiatorName", Name, Declared, InitializeOnly, Initiator, SW, 0, 0, 0},
        {"TargetAlias", LocalName, Declared, All, Target, SW, 0, 0, 0},
        {"InitiatorAlias", LocalName, Declared, All, Initiator, SW, 0, 0, 0},
        {"TargetAddress", Address, Declared, All, Target, SW, 0, 0, 0},
        {"TargetPortalGroupTag", Tag, Declared, InitializeOnly, Target, SW, 0, 65535, 0},
        {"InitialR2T", Boolean, Or, LeadingOnly, Both, SW, 0, 0, 1},
        {"ImmediateData", Boolean, And, LeadingOnly, Both, SW, 0, 0, 1},
        {"MaxRecvDataSegmentLength", Number, Declared, All, Both, CO, 512, k24, 8192},
        {"MaxBurstLength", Number, Minimum, LeadingOnly, Both, SW, 512, k24, 262144},
        {"FirstBurstLength", Number, Minimum, LeadingOnly, Both, SW, 512, k24, 65536},
        {"DefaultTime2Wait", Number, Maximum, LeadingOnly, Both, SW, 0, 3600, 2},
        {"DefaultTime2Retain", Number, Minimum, LeadingOnly, Both, SW, 0, 3600, 20},
        {"MaxOutstandingR2T", Number, Minimum, LeadingOnly, Both, SW, 1, 65535, 1},
        {"DataPDUInOrder", Boolean, Or, LeadingOnly, Both, SW, 0, 0, 1},
        {"DataSequenceInOrder", Boolean, Or, LeadingOnly, Both, SW, 0, 0, 1},
        {"ErrorRecoveryLevel", Number, Minimum, LeadingOnly, Both, SW, 0, 2, 0},
        {"SessionType", Text, Declared, LeadingOnly, Initiator, SW, 0, 0, 0},
        {"TaskReporting", List, FirstSupported, LeadingOnly, Both, SW, 0, 0, 0},
        {"iSCSIProtocolLevel", Number, Minimum, LeadingOnly, Both, SW, 0, 31, 1},
        {"X#NodeArchitecture", LocalName, Declared, LeadingOnly, Both, SW, 0, 0, 0},
        {"AuthMethod", List, FirstSupported, Security, Both, CO, 0, 0, 0},
        {"CHAP_A", List, Declared, Security, Both, CO, 0, 0, 0},
        {"CHAP_I", Number, Declared, Security, Both, CO, 0, 0, 0},
        {"CHAP_C", Binary, Declared, Security, Both, CO, 0, 0, 0},
        {"CHAP_N", Text, Declared, Security, Both, CO, 0, 0, 0},
        {"CHAP_R", Binary, Declared, Security, Both, CO, 0, 0, 0},
        {"RDMAExtensions", Boolean, And, LeadingOnly, Both, SW, 0, 0, 0},
        {"InitiatorRecvDataSegmentLength", Number, Minimum, InitializeOnly, Both, CO, 512, k24,
         8192},
        {"TargetRecvDataSegmentLength", Number, Minimum, InitializeOnly, Both, CO, 512, k24, 8192},
        {"MaxOutstandingUnexpectedPDUs", Number, Declared, LeadingOnly, Both, SW, 0, ~0U, 0},
        {"MaxAHSLength", Number, Declared, LeadingOnly, Both, SW, 0, ~0U, 256},
        {"TaggedBufferForSolicitedDataOnly", Boolean, Declared, LeadingOnly, Initiator, SW, 0, 0,
         0},
        {"iSERHelloRequired", Boolean, Declared, LeadingOnly, Initiator, SW, 0, 0, 0},
    };
    return all;
}

// Goal: the table says what the standards say, key by key, and has nothing besides the four
// obsolete ones.
// Rows: KEY-01, KEY-02, KEY-03, KEY-04, KEY-05, KEY-06, KEY-07, KEY-08, KEY-09, KEY-10, KEY-11
// Rows: KEY-12, KEY-13, KEY-14, KEY-15, KEY-16, KEY-17, KEY-18, KEY-19, KEY-20, KEY-21, KEY-22
// Rows: KEY-23, KEY-24, KEY-25, KEY-27, KEY-28, KEY-29, KEY-30, KEY-31, KEY-32, KEY-33
TEST(KeyTable, SaysWhatTheStandardsSay) {
    std::set<std::string_view> seen;
    for (const Line& line : lines()) {
        const KeyId id = key_of(line.name);
        ASSERT_NE(id, KeyId::Unknown) << line.name;
        const KeySpec& spec = spec_of(id);
        EXPECT_EQ(spec.id, id);
        EXPECT_EQ(spec.kind, line.kind) << line.name;
        EXPECT_EQ(spec.result, line.result) << line.name;
        EXPECT_EQ(spec.use, line.use) << line.name;
        EXPECT_EQ(spec.sender, line.sender) << line.name;
        EXPECT_EQ(spec.scope, line.scope) << line.name;
        EXPECT_EQ(spec.least, line.least) << line.name;
        EXPECT_EQ(spec.most, line.most) << line.name;
        EXPECT_EQ(spec.standard, line.standard) << line.name;
        EXPECT_NE(spec.origin, KeyOrigin::Obsolete);
        seen.insert(line.name);
    }
    for (const KeySpec& spec : all_keys()) {
        EXPECT_EQ(spec.origin == KeyOrigin::Obsolete, !seen.contains(spec.name)) << spec.name;
        EXPECT_TRUE(is_key_name(spec.name));
    }
    EXPECT_EQ(seen.size() + 4, kKeyCount);
}

// Goal: the keys of any stage are the seven that section 12 lists, and one may be repeated.
// Rows: CHP-20, LOG-19, LOG-20
TEST(KeyTable, AnyStageKeysAreThoseOfSection12) {
    const std::set<std::string_view> any_stage{
        "SessionType",    "InitiatorName", "TargetName",          "TargetAddress",
        "InitiatorAlias", "TargetAlias",   "TargetPortalGroupTag"};
    for (const KeySpec& spec : all_keys()) {
        EXPECT_EQ(spec.any_stage, any_stage.contains(spec.name)) << spec.name;
        EXPECT_EQ(spec.repeatable, spec.name == "TargetAddress");
    }
}

// Goal: the keys that a discovery session makes irrelevant are those that say so.
// Rows: KEY-03, KEY-11, KEY-12, DSC-07
TEST(KeyTable, DiscoveryMakesTheSessionKeysIrrelevant) {
    const std::set<std::string_view> irrelevant{
        "MaxConnections",     "InitialR2T",        "ImmediateData",  "MaxBurstLength",
        "FirstBurstLength",   "MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder",
        "iSCSIProtocolLevel", "TaskReporting",     "RDMAExtensions"};
    for (const KeySpec& spec : all_keys()) {
        EXPECT_EQ(spec.irrelevant_in_discovery, irrelevant.contains(spec.name)) << spec.name;
    }
}

// Goal: key names are case sensitive and whole.
// Rows: NEG-01, KEY-26
TEST(KeyTable, NamesAreExact) {
    for (const std::string_view name : {"", "headerdigest", "HEADERDIGEST", "HeaderDigest ",
                                        "HeaderDiges", "HeaderDigestX", "X-com.example.key"}) {
        EXPECT_EQ(key_of(name), KeyId::Unknown) << name;
    }
}

}  // namespace
}  // namespace holdfast::initiator
