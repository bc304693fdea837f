// Every script of scripts/, each as a test of its own, each with its numbers at every wrap.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/netpath/tcp/script.h"

namespace holdfast::tcp_test {
namespace {

std::vector<std::string> script_names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator{std::string{HF_SOURCE_DIR} +
                                                                 "/tests/netpath/tcp/scripts"}) {
        if (entry.path().extension() == ".pkt") names.push_back(entry.path().stem().string());
    }
    std::ranges::sort(names);
    return names;
}

std::string text_of(const std::string& name) {
    std::ifstream stream{std::string{HF_SOURCE_DIR} + "/tests/netpath/tcp/scripts/" + name +
                         ".pkt"};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

/// Numbers that wrap at 2^32 and at 2^31 at the start, soon after, and in the middle of a script.
std::vector<Bases> all_bases() {
    std::vector<Bases> bases;
    constexpr std::uint32_t kHalf = 0x8000'0000U;
    for (const std::uint32_t before : {0U, 1U, 2U, 700U, 1461U, 2000U, 5000U, 9000U, 20000U}) {
        bases.push_back({0U - before, 0U - before, 0U - before, 0U - before});
        bases.push_back({kHalf - before, kHalf - before, kHalf - before, kHalf - before});
        bases.push_back({0U - before, kHalf - before, 1000, 0U - before / 2});
    }
    return bases;
}

/// Those that do not count frames.
std::vector<std::string> names_without_frames() {
    std::vector<std::string> names = script_names();
    std::erase_if(names, [](const std::string& name) {
        const std::string text = text_of(name);
        return text.contains("rx_frames=") || text.contains("held_frames=");
    });
    return names;
}

class InPieces : public testing::TestWithParam<std::string> {};

// Goal: the same when each packet comes and goes in several frames, which begin at odd places.
// Method: four frames hold what one did.
TEST_P(InPieces, Holds) {
    constexpr std::size_t kPieceBytes = 401;
    const std::string text = text_of(GetParam());
    for (const std::uint32_t before : {0U, 700U, 5000U}) {
        const Bases bases{0U - before, 0x8000'0000U - before, 1000, 0U - before};
        const std::string failure = run_script(text, bases, kPieceBytes);
        ASSERT_EQ(failure, "") << "isn " << bases.isn << ", peer's " << bases.peer_isn;
    }
}

INSTANTIATE_TEST_SUITE_P(Tcp, InPieces, testing::ValuesIn(names_without_frames()),
                         [](const auto& one) {
                             std::string name = one.param;
                             std::ranges::replace(name, '-', '_');
                             return name;
                         });

class Script : public testing::TestWithParam<std::string> {};

// Goal: the endpoint sends what the script says, and nothing else, wherever its numbers begin.
TEST_P(Script, Holds) {
    const std::string text = text_of(GetParam());
    ASSERT_TRUE(text.starts_with("// Goal: ")) << "a script begins with its goal";
    if (std::getenv("HF_TCP_TRACE") != nullptr) {
        std::fputs(trace_script(text).c_str(), stdout);
    }
    for (const Bases& bases : all_bases()) {
        const std::string failure = run_script(text, bases);
        ASSERT_EQ(failure, "") << "isn " << bases.isn << ", peer's " << bases.peer_isn;
    }
}

INSTANTIATE_TEST_SUITE_P(Tcp, Script, testing::ValuesIn(script_names()),
                         [](const auto& one) { return one.param; });

// Goal: the runner fails a script whose packet differs in any field, is missing, or is one more.
TEST(ScriptRunner, WrongScriptsFail) {
    const std::string begin = "0 handshake\n+0 write 100\n";
    const std::string right = begin + "+0 > P. 1:101(100) ack 1 win 65535\n";
    EXPECT_EQ(run_script(right, {}), "");
    for (const std::string wrong :
         {"+0 > . 1:101(100) ack 1\n", "+0 > P. 2:102(100) ack 1\n", "+0 > P. 1:100(99) ack 1\n",
          "+0 > P. 1:101(100) ack 2\n", "+0 > P. 1:101(100) ack 1 win 9\n",
          "+0 > P. 1:101(100) ack 1 <sack 1:2>\n", "+.1 > P. 1:101(100) ack 1\n", "",
          "+0 > P. 1:101(100) ack 1\n+0 > . 101:101(0) ack 1\n",
          "+0 > P. 1:101(100) ack 1\n+0 expect state=Closed\n",
          "+0 > P. 1:101(100) ack 1\n+0 read 1\n", "+0 > P. 1:101(100) ack 1\n+0 fact up\n",
          "+0 > P. 1:101(100) ack 1\n+1 < . 1:1(0) ack 101 win 9\n+9 write 1 refused\n"}) {
        EXPECT_NE(run_script(begin + wrong, {}), "") << wrong;
    }
}

}  // namespace
}  // namespace holdfast::tcp_test
