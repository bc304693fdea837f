#include "daemon/control/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;

// Goal: the same bytes at every split point give the same frames.
TEST(FrameReader, AnySplitGivesTheSameFrames) {
    const std::string stream = frame_of("one") + frame_of("") + frame_of("three");
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        FrameReader reader{100};
        std::vector<std::string> bodies;
        for (const std::string& part : {stream.substr(0, cut), stream.substr(cut)}) {
            reader.append(part);
            while (const auto body = reader.try_take()) bodies.push_back(*body);
        }
        EXPECT_EQ(bodies, (std::vector<std::string>{"one", "", "three"})) << cut;
    }
}

// Goal: a peer cannot make us collect more than the limit.
TEST(FrameReader, LengthBeyondTheLimitBreaksTheStream) {
    FrameReader reader{10};
    reader.append(frame_of("eleven bytes"));
    EXPECT_FALSE(reader.try_take());
    EXPECT_TRUE(reader.is_broken());
    reader.append(frame_of("ok"));
    EXPECT_FALSE(reader.try_take());
}

// Goal: a request is read back as it was written.
TEST(Wire, RequestSurvivesTheWay) {
    Request request{.verb = "attach", .arguments = Json::object()};
    request.arguments["name"] = "swap0";
    const auto copy = parse_request(body_of(request));
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy->verb, "attach");
    EXPECT_EQ(copy->arguments["name"], "swap0");
}

// Goal: whatever a client sends, the daemon answers with a sentence.
TEST(Wire, NonsenseRequestsAreRefusedWithASentence) {
    for (const char* body :
         {"", "{", "[]", "{}", R"({"version":3,"verb":"list"})", R"({"version":-1,"verb":"list"})",
          R"({"version":1})", R"({"version":1,"verb":5})",
          R"({"version":1,"verb":"list","arguments":[]})", R"({"version":"1","verb":"list"})",
          "\xff\xfe"}) {
        const auto request = parse_request(body);
        ASSERT_FALSE(request) << body;
        EXPECT_EQ(request.error().code, ExitCode::Usage);
        EXPECT_FALSE(request.error().sentence.empty());
    }
}

// Goal: the release before and the one after are understood, and bring keys that we do not know.
TEST(Wire, OneReleaseOlderOrNewerIsUnderstood) {
    for (const int version : {kWireVersion - 1, kWireVersion, kWireVersion + 1}) {
        Json request;
        request["version"] = version;
        request["verb"] = "list";
        request["mood"] = "new";
        EXPECT_TRUE(parse_request(request.dump())) << version;
        Json answer;
        answer["version"] = version;
        answer["ok"] = true;
        answer["result"]["a"] = 1;
        answer["more"] = Json::array();
        EXPECT_TRUE(parse_answer(answer.dump())) << version;
    }
}

// Goal: has_whole() and try_take() agree at every length.
TEST(FrameReader, KnowsWhetherThereIsAWholeOne) {
    const std::string frame = frame_of("four");
    for (std::size_t size = 0; size <= frame.size(); ++size) {
        FrameReader reader{10};
        reader.append(frame.substr(0, size));
        EXPECT_EQ(reader.has_whole(), size == frame.size());
        EXPECT_EQ(reader.try_take().has_value(), size == frame.size());
    }
    FrameReader broken{3};
    broken.append(frame);
    EXPECT_TRUE(broken.has_whole());
}

// Goal: exit code and sentence reach the client as the daemon gave them.
TEST(Wire, FailureSurvivesTheWay) {
    const OrFailure<Json> answer = fail(ExitCode::NotFound, "there is no such LUN");
    const auto copy = parse_answer(body_of(answer));
    ASSERT_FALSE(copy);
    EXPECT_EQ(copy.error().code, ExitCode::NotFound);
    EXPECT_EQ(copy.error().sentence, "there is no such LUN");
}

// Goal: an answer that is not one is a failure, never a success.
TEST(Wire, NonsenseAnswersAreFailures) {
    for (const char* body :
         {"", "[]", "{}", R"({"version":1})", R"({"version":1,"ok":"yes"})",
          R"({"version":1,"ok":false})", R"({"version":1,"ok":false,"exit_code":99,"error":7})"}) {
        const auto answer = parse_answer(body);
        ASSERT_FALSE(answer) << body;
        EXPECT_EQ(answer.error().code, ExitCode::Failed);
    }
}

// Goal: text from a target that is not UTF-8 does not break the answer.
TEST(Wire, TextThatIsNotUtf8IsReplaced) {
    Json json;
    json["vendor"] = "\xff\xfe";
    EXPECT_TRUE(parse_answer(body_of(OrFailure<Json>{json})));
}

}  // namespace
}  // namespace holdfast::daemon
