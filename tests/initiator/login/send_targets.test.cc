#include "initiator/login/send_targets.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/initiator/login/texts.h"

namespace holdfast::initiator {
namespace {

using testing::bytes_of;
using testing::pairs_of;
using testing::text_of;
using Findings = std::vector<std::string>;

std::string line_of(const Finding& finding) {
    std::string line{finding.target.view()};
    if (!finding.address) return line + " here";
    const TargetAddress& address = *finding.address;
    line +=
        " " + std::string{address.portal.host.view()} + ":" + std::to_string(address.portal.port);
    if (address.tag) line += "," + std::to_string(*address.tag);
    return line;
}

struct Answer {
    Findings findings;
    SendTargetsError error = SendTargetsError::None;
    std::uint32_t ignored = 0;
};

Answer parsed(const std::vector<std::string>& segments) {
    SendTargetsParser parser;
    Answer answer;
    for (const std::string& segment : segments) {
        auto data = bytes_of(segment);
        while (const auto finding = parser.poll(data)) answer.findings.push_back(line_of(*finding));
        EXPECT_TRUE(data.empty());
    }
    if (const auto finding = parser.finish()) answer.findings.push_back(line_of(*finding));
    answer.error = parser.error();
    answer.ignored = parser.ignored_count();
    return answer;
}

const std::string kTwoTargets = text_of(
    {"TargetName=iqn.1993-11.com.example:diskarray.sn.8675309", "TargetAddress=10.1.0.45:3000,1",
     "TargetAddress=[fe80::1]:3000,2", "TargetName=eui.02004567A425678D",
     "TargetName=iqn.1993-11.com.example:diskarray.sn.1234567", "TargetAddress=10.1.0.45,1"});
const Findings kTwoFindings{"iqn.1993-11.com.example:diskarray.sn.8675309 10.1.0.45:3000,1",
                            "iqn.1993-11.com.example:diskarray.sn.8675309 fe80::1:3000,2",
                            "eui.02004567A425678D here",
                            "iqn.1993-11.com.example:diskarray.sn.1234567 10.1.0.45:3260,1"};

// Goal: the question has one key and its value.
// Rows: DSC-02, KEY-04
TEST(SendTargets, QuestionHasOneKey) {
    TextOut out;
    write_send_targets_all(out);
    EXPECT_EQ(pairs_of(out.view()), std::vector<std::string>{"SendTargets=All"});
    out.clear();
    write_send_targets(out, "iqn.2001-04.com.example");
    EXPECT_EQ(pairs_of(out.view()),
              std::vector<std::string>{"SendTargets=iqn.2001-04.com.example"});
}

// Goal: records with addresses, without, and none at all.
// Rows: DSC-04, DSC-05
TEST(SendTargets, RecordsAreTold) {
    const Answer answer = parsed({kTwoTargets});
    EXPECT_EQ(answer.findings, kTwoFindings);
    EXPECT_EQ(answer.error, SendTargetsError::None);
    EXPECT_EQ(answer.ignored, 0U);
    EXPECT_EQ(parsed({}).findings, Findings{});
    EXPECT_EQ(parsed({""}).error, SendTargetsError::None);
    EXPECT_EQ(parsed({text_of({"TargetName=iqn.1993-11.com.example"})}).findings,
              Findings{"iqn.1993-11.com.example here"});
}

// Goal: an answer cut anywhere, in two or in bytes, gives the same findings.
// Rows: DSC-03, PDU-22, LOG-16
TEST(SendTargets, EverySplitPointGivesTheSame) {
    for (std::size_t cut = 0; cut <= kTwoTargets.size(); ++cut) {
        const Answer answer = parsed({kTwoTargets.substr(0, cut), kTwoTargets.substr(cut)});
        ASSERT_EQ(answer.findings, kTwoFindings) << cut;
        ASSERT_EQ(answer.error, SendTargetsError::None);
    }
    std::vector<std::string> bytes;
    for (const char c : kTwoTargets) bytes.emplace_back(1, c);
    EXPECT_EQ(parsed(bytes).findings, kTwoFindings);
}

// Goal: what does not belong there is left out and counted, and hides nothing else.
// Rows: DSC-05, DSC-06, NAM-08
TEST(SendTargets, StrangersAreLeftOut) {
    const Answer answer = parsed(
        {text_of({"X-com.example.rank=1", "TargetName=iqn.2001-04.com.example:a",
                  "TargetAlias=disk", "TargetAddress=bad host,1", "TargetAddress=10.0.0.1,1",
                  "TargetName=../../etc/passwd", "TargetAddress=10.0.0.2,1",
                  "TargetName=iqn.2001-04.com.example:b", "TargetAddress=[fe80::1%eth0]:3260,1"})});
    EXPECT_EQ(answer.findings, (Findings{"iqn.2001-04.com.example:a 10.0.0.1:3260,1",
                                         "iqn.2001-04.com.example:b fe80::1:3260,1"}));
    EXPECT_EQ(answer.error, SendTargetsError::None);
    EXPECT_EQ(answer.ignored, 5U);
}

// Goal: a target whose only address is unusable is not said to be right here.
// Rows: DSC-04, DSC-06
TEST(SendTargets, UnusableAddressIsNotNoAddress) {
    const Answer answer =
        parsed({text_of({"TargetName=iqn.2001-04.com.example:a", "TargetAddress=fe80::1,1"})});
    EXPECT_EQ(answer.findings, Findings{});
    EXPECT_EQ(answer.ignored, 1U);
}

// Goal: pairs that are longer than anything legal are skipped in bounded memory.
// Rows: DSC-11, BUG-13, BUG-17, NEG-02
TEST(SendTargets, OverlongPairsAreSkipped) {
    for (const std::size_t length : {224U, 321U, 4096U, 65535U}) {
        const std::string name = "TargetName=iqn.2001-04.com.example:" + std::string(length, 'a');
        const Answer answer =
            parsed({text_of({"TargetName=iqn.2001-04.com.example:x", name,
                             "TargetAddress=10.0.0.1,1", "X-k=" + std::string(length, 'v'),
                             "TargetName=iqn.2001-04.com.example:b", "TargetAddress=10.0.0.2,1"})});
        EXPECT_EQ(answer.findings, (Findings{"iqn.2001-04.com.example:x here",
                                             "iqn.2001-04.com.example:b 10.0.0.2:3260,1"}));
        EXPECT_EQ(answer.error, SendTargetsError::None);
        EXPECT_EQ(answer.ignored, 3U);
    }
}

// Goal: broken text ends the answer, and what was found before stays good.
// Rows: NEG-21, DSC-05
TEST(SendTargets, BrokenTextEndsTheAnswer) {
    const std::string good = text_of({"TargetName=iqn.2001-04.com.example:a"});
    const Answer no_equals = parsed({good + text_of({"TargetAddress"}), good});
    EXPECT_EQ(no_equals.error, SendTargetsError::TextMalformed);
    EXPECT_EQ(no_equals.findings, Findings{"iqn.2001-04.com.example:a here"});
    EXPECT_EQ(parsed({good + "TargetAddress=10.0.0.1,1"}).error, SendTargetsError::TextMalformed);
    EXPECT_EQ(parsed({std::string(1000, 'x')}).error, SendTargetsError::TextMalformed);
    EXPECT_EQ(parsed({text_of({"TargetAddress=10.0.0.1,1"})}).error,
              SendTargetsError::AddressWithoutName);
    EXPECT_EQ(parsed({good + std::string(5, '\0')}).error, SendTargetsError::None);
}

// Goal: ten thousand targets in over a mebibyte are all found; the parser does not grow.
// Rows: DSC-11, BUG-68
TEST(SendTargets, TenThousandTargets) {
    static_assert(sizeof(SendTargetsParser) < 1024);
    SendTargetsParser parser;
    std::size_t found = 0;
    std::size_t bytes = 0;
    for (int i = 0; i < 10'000; ++i) {
        const std::string record = text_of(
            {"TargetName=iqn.2001-04.com.example:storage.rack17.shelf4.disk" + std::to_string(i),
             "TargetAddress=192.168.100.200:3260,1", "TargetAddress=[fe80::1:2:3:4],1"});
        bytes += record.size();
        auto data = bytes_of(record);
        while (parser.poll(data)) ++found;
    }
    EXPECT_FALSE(parser.finish());
    EXPECT_EQ(found, 20'000U);
    EXPECT_GT(bytes, std::size_t{1} << 20);
    EXPECT_EQ(parser.error(), SendTargetsError::None);
}

// Goal: an answer without end is ended by us.
// Rows: DSC-11
TEST(SendTargets, EndlessAnswerIsEnded) {
    SendTargetsParser parser;
    const std::string record(65536, 'x');
    std::size_t taken = 0;
    while (parser.error() == SendTargetsError::None && taken < 2 * kSendTargetsBytesMax) {
        auto data = bytes_of(record);
        EXPECT_FALSE(parser.poll(data));
        EXPECT_TRUE(data.empty());
        taken += record.size();
    }
    EXPECT_EQ(parser.error(), SendTargetsError::TooLong);
    EXPECT_LE(taken, kSendTargetsBytesMax + record.size());
}

}  // namespace
}  // namespace holdfast::initiator
