#include "daemon/control/sentences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "daemon/control/failures.h"

namespace holdfast::daemon {
namespace {

using initiator::Notice;
using initiator::NoticeKind;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

/// A sentence that tells the operator what to do has a second half.
void expect_helpful(const std::string& sentence) {
    EXPECT_THAT(sentence, AnyOf(HasSubstr(";"), HasSubstr(","))) << sentence;
    EXPECT_GT(sentence.size(), 20U) << sentence;
    EXPECT_THAT(sentence, Not(HasSubstr("something new"))) << sentence;
}

// Goal: every error of a spec has a sentence of its own that helps on.
TEST(Sentences, EverySpecErrorHasItsOwn) {
    std::set<std::string> seen;
    for (std::uint8_t i = 0; i < kSpecErrorCount; ++i) {
        const std::string sentence = sentence_of(static_cast<SpecError>(i));
        expect_helpful(sentence);
        EXPECT_TRUE(seen.insert(sentence).second) << sentence;
    }
}

// Goal: every notice has a text of its own.
TEST(Sentences, EveryNoticeHasText) {
    std::set<std::string> seen;
    for (int i = 0; i <= static_cast<int>(NoticeKind::NegotiationNote); ++i) {
        const std::string text =
            sentence_of(Notice{.kind = static_cast<NoticeKind>(i), .a = 1, .b = 2});
        EXPECT_FALSE(text.starts_with("notice ")) << i;
        EXPECT_TRUE(seen.insert(text).second) << text;
    }
}

// Goal: a number that this release does not know is shown, never used as an index.
TEST(Sentences, UnknownNumbersAreSurvived) {
    for (int kind = 0; kind < 256; ++kind) {
        for (const std::uint64_t a : {std::uint64_t{0}, std::uint64_t{255}, ~std::uint64_t{0}}) {
            const Notice notice{.kind = static_cast<NoticeKind>(kind), .a = a, .b = a};
            EXPECT_FALSE(sentence_of(notice).empty());
            static_cast<void>(failure_of_notice(notice));
            LogRecord record = LogRecord::of(Instant{}, LogLevel::Info, notice);
            EXPECT_FALSE(sentence_of(record).empty());
            record.source = static_cast<LogSource>(kind);
            EXPECT_FALSE(sentence_of(record).empty());
        }
    }
    EXPECT_FALSE(to_text(static_cast<LogLevel>(200)).empty());
}

// Goal: every event of the I/O process has a text.
TEST(Sentences, EveryIoEventHasText) {
    for (std::uint8_t i = 0; i < kIoEventCount; ++i) {
        const std::string text =
            sentence_of(LogRecord::of(Instant{}, LogLevel::Info, static_cast<IoEvent>(i), 1, 1));
        EXPECT_FALSE(text.starts_with("event ")) << int{i};
    }
}

struct LoginCase {
    std::uint64_t status;
    ExitCode code;
};

// Goal: the codes that scripts test for follow RFC 7143 section 11.13.5.
TEST(Failures, LoginStatusesHaveTheirExitCodes) {
    const LoginCase all[] = {
        {0x0201, ExitCode::Authentication}, {0x0202, ExitCode::Authentication},
        {0x0203, ExitCode::NotFound},       {0x0204, ExitCode::NotFound},
        {0x0301, ExitCode::Unreachable},    {0x0302, ExitCode::Unreachable},
        {0x0205, ExitCode::Protocol},       {0x0777, ExitCode::Protocol},
    };
    for (const LoginCase& one : all) {
        const Failure failure = failure_of_login_status(one.status);
        EXPECT_EQ(failure.code, one.code) << one.status;
        expect_helpful(failure.sentence);
    }
}

// Goal: every reason, with any code beside it, ends in a failure that helps on.
TEST(Failures, EveryReasonHasACodeAndASentence) {
    for (std::uint8_t i = 0; i < kFailReasonCount; ++i) {
        for (const std::uint64_t code : {std::uint64_t{0}, std::uint64_t{13}, ~std::uint64_t{0}}) {
            const ControlMessage message{.header = {.kind = MessageKind::Failed},
                                         .reason = static_cast<FailReason>(i),
                                         .code = code};
            const Failure failure = failure_of(message);
            EXPECT_NE(failure.code, ExitCode::Ok);
            EXPECT_FALSE(failure.sentence.empty());
        }
    }
}

// Goal: the exit codes that scripts rely on stay.
TEST(Failures, ReasonsThatScriptsTestForHaveTheirCodes) {
    const auto code_of = [](FailReason reason, Notice notice = {}) {
        return failure_of(
                   {.header = {.kind = MessageKind::Failed}, .reason = reason, .notice = notice})
            .code;
    };
    EXPECT_EQ(code_of(FailReason::NameTaken), ExitCode::Exists);
    EXPECT_EQ(code_of(FailReason::LeftBehind), ExitCode::Exists);
    EXPECT_EQ(code_of(FailReason::TierTooLow), ExitCode::TierTooLow);
    EXPECT_EQ(code_of(FailReason::NoUblk), ExitCode::NotFound);
    EXPECT_EQ(code_of(FailReason::LoginFailed, {.kind = NoticeKind::LoginRefused, .a = 0x0201}),
              ExitCode::Authentication);
    EXPECT_EQ(code_of(FailReason::ProbeFailed, {.kind = NoticeKind::ProbeFailed, .a = 0}),
              ExitCode::NotFound);
    EXPECT_EQ(code_of(FailReason::Unreachable), ExitCode::Unreachable);
}

// Goal: of several notices the one that explains most decides, not the last one.
TEST(Failures, SpecificNoticeBeatsTheLossThatFollows) {
    const std::vector<Notice> notices{
        {.kind = NoticeKind::LoginRefused, .a = 0x0203},
        {.kind = NoticeKind::SessionLost},
        {.kind = NoticeKind::ConnectFailed},
    };
    EXPECT_EQ(failure_of_notices(notices).code, ExitCode::NotFound);
    EXPECT_EQ(failure_of_notices({}).code, ExitCode::Unreachable);
}

// Goal: the reasons why a login can end are told apart by their codes.
TEST(Failures, MissingDigestAndGarbageAreToldApart) {
    using initiator::LoginError;
    EXPECT_EQ(failure_of_login({.error = LoginError::DigestMissing}).code, ExitCode::Usage);
    EXPECT_EQ(failure_of_login({.error = LoginError::VersionUnsupported}).code, ExitCode::Protocol);
    EXPECT_EQ(failure_of_login({.error = LoginError::Chap}).code, ExitCode::Authentication);
    EXPECT_EQ(failure_of_login({.error = LoginError::RefusedByTarget, .status = 0x0203}).code,
              ExitCode::NotFound);
}

// Goal: every way in which a request can fail ends in a sentence that helps on.
TEST(Failures, EveryOutcomeHasACodeAndASentence) {
    for (int i = 1; i <= static_cast<int>(initiator::Outcome::Gone); ++i) {
        const Failure failure = failure_of_outcome(static_cast<initiator::Outcome>(i), "reading");
        EXPECT_THAT(failure.sentence, HasSubstr("reading: "));
        expect_helpful(failure.sentence);
    }
    EXPECT_EQ(failure_of_outcome(initiator::Outcome::TimedOut, "x").code, ExitCode::Timeout);
    EXPECT_EQ(failure_of_outcome(initiator::Outcome::MediumError, "x").code, ExitCode::DeviceError);
}

}  // namespace
}  // namespace holdfast::daemon
