/// Input: choices for a situation, then a frame, raw or made up of more choices. What must hold of
/// every decision is asserted.
#include <algorithm>
#include <vector>

#include "base/assert.h"
#include "netpath/steer/decide.h"
#include "tests/fuzz/input.h"
#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::steer {
namespace {

bool passes(Reason reason) {
    using enum Reason;
    return reason == Unleased || reason == ToKernel || reason == Calm || reason == Neighbour ||
           reason == Management;
}

/// What is sent answers somebody else, for an address of ours, and nothing would answer it again.
void check_answer(std::span<const std::byte> frame, const Decision& decision,
                  const OwnedSituation& situation) {
    const Answer& answer = *decision.answer;
    HF_ASSERT(decision.reason == Reason::Answered && !answer.ours.is_asked_again);
    HF_ASSERT(std::ranges::find(situation.answered, answer.ours) != situation.answered.end());
    HF_ASSERT(answer.asker_station != answer.ours.station && !answer.asker_station.is_group());
    HF_ASSERT(std::ranges::find(situation.addresses, answer.asker) == situation.addresses.end());
    std::vector<std::byte> sent{frame.begin(), frame.end()};
    write_answer(answer, sent);
    HF_ASSERT(!answer_to(sent, situation.answered, situation.addresses));
    // The asker learns from it where we are.
    const Situation asker{.is_leased = true, .neighbours = std::span{&answer.ours.address, 1}};
    const Decision heard = decide(sent, asker);
    HF_ASSERT(heard.learned && heard.learned->station == answer.ours.station);
}

void check(std::span<const std::byte> frame, OwnedSituation situation) {
    const Decision decision = decide(frame, situation.view());
    HF_ASSERT((decision.verdict == Verdict::Pass) == passes(decision.reason));
    HF_ASSERT((decision.verdict == Verdict::Socket) == (decision.reason == Reason::ToSocket));
    const bool is_session = decision.reason == Reason::ToSocket ||
                            decision.reason == Reason::NoSocket ||
                            decision.reason == Reason::ToKernel;
    HF_ASSERT(!is_session || !situation.flows.empty());
    HF_ASSERT(situation.is_leased == (decision.reason != Reason::Unleased));
    if (decision.learned)
        HF_ASSERT(std::ranges::find(situation.neighbours, decision.learned->address) !=
                  situation.neighbours.end());
    HF_ASSERT((decision.verdict == Verdict::Answer) == (decision.reason == Reason::Answered));
    if (decision.answer) check_answer(frame, decision, situation);
    // Pressure is nothing to a session, and without it nothing is lost.
    situation.is_pressed = !situation.is_pressed;
    const Decision other = decide(frame, situation.view());
    HF_ASSERT(!is_session || other.reason == decision.reason);
    const Decision& calm = situation.is_pressed ? decision : other;
    HF_ASSERT(calm.verdict != Verdict::Drop || calm.reason == Reason::NoSocket);
    // Whoever has no rule, no address and no port gets nothing through.
    const Decision nobody = decide(frame, {.is_leased = true, .is_pressed = true});
    HF_ASSERT(nobody.reason == Reason::Dropped);
}

}  // namespace
}  // namespace holdfast::netpath::steer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast::netpath::steer;
    constexpr std::size_t kSituation = 64;
    const std::span all{data, size};
    Choices first{all.first(std::min(kSituation, size))};
    const OwnedSituation situation = make_situation(first);
    const auto rest = all.subspan(std::min(kSituation, size));
    check(std::as_bytes(rest), situation);
    Choices second{rest};
    check(make_frame(second), situation);
    return 0;
}
