/// Input: one byte of wishes, one of kind and stage, then key=value text as a target may send it.
#include "initiator/login/negotiation.h"
#include "base/assert.h"
#include "initiator/login/text.h"
#include "tests/fuzz/input.h"

namespace holdfast::initiator {
namespace {

OperationalWish wish_of(std::uint8_t bits) {
    OperationalWish wish;
    wish.header_digest = static_cast<DigestWish>(bits % 3);
    wish.data_digest = static_cast<DigestWish>(bits / 3 % 3);
    wish.initial_r2t = (bits & 1U) != 0;
    wish.immediate_data = (bits & 2U) != 0;
    wish.data_sequence_in_order = (bits & 4U) != 0;
    wish.error_recovery_level = bits >> 6;
    return wish;
}

void check_result(const NegotiatedParameters& result, const OperationalWish& wish) {
    HF_ASSERT(result.first_burst_bytes <= result.max_burst_bytes);
    HF_ASSERT(result.max_burst_bytes >= 512 && result.max_burst_bytes <= kDataSegmentBytesMax);
    HF_ASSERT(result.max_recv_theirs_bytes >= 512);
    HF_ASSERT(result.max_recv_theirs_bytes <= kDataSegmentBytesMax);
    HF_ASSERT(result.max_outstanding_r2t >= 1 && result.max_connections == 1);
    HF_ASSERT(result.error_recovery_level <= wish.error_recovery_level);
    HF_ASSERT(result.time2wait_s <= 3600 && result.time2retain_s <= 3600);
    HF_ASSERT(wish.header_digest != DigestWish::Never || !result.header_digest);
    HF_ASSERT(wish.data_digest != DigestWish::Require || result.data_digest);
    HF_ASSERT(wish.immediate_data || !result.immediate_data);
    HF_ASSERT(!wish.initial_r2t || result.initial_r2t);
}

}  // namespace
}  // namespace holdfast::initiator

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::initiator;
    fuzz::Input input{data, size};
    const OperationalWish wish = wish_of(input.byte());
    const std::uint8_t mode = input.byte();
    const auto kind = static_cast<NegotiationKind>(mode % 3);
    const auto type = (mode & 4U) != 0 ? SessionType::Discovery : SessionType::Normal;
    const auto stage = (mode & 8U) != 0 ? KeyStage::Security : KeyStage::Operational;
    Negotiation negotiation{wish, type, kind, {}};
    TextOut out;
    if (kind != NegotiationKind::FullFeature) negotiation.offer(out);
    out.clear();

    TextPairs pairs{input.text()};
    while (true) {
        const auto pair = pairs.try_next();
        if (!pair || !*pair) break;
        HF_ASSERT(is_key_name((*pair)->key));
        const auto wrong = negotiation.take(**pair, stage, out);
        HF_ASSERT(!out.overflowed() || wrong == LoginError::AnswersTooLong);
        if (wrong) return 0;
    }
    TextPairs answers{out.view()};
    while (true) {
        const auto answer = answers.try_next();
        HF_ASSERT(answer);  // What we send is well formed.
        if (!*answer) break;
    }
    const auto result = negotiation.conclude();
    const bool has_offers = kind == NegotiationKind::LeadingLogin && type == SessionType::Normal;
    if (result && has_offers) check_result(*result, wish);
    return 0;
}
