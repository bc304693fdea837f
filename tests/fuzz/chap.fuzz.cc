/// Input: one byte of configuration, then texts as a target may send them, each with a byte that
/// says which key it is; key 5 ends a step.
#include "initiator/login/chap.h"
#include "base/assert.h"
#include "tests/fuzz/input.h"

namespace holdfast::initiator {
namespace {

AuthConfig auth_of(std::uint8_t bits) {
    AuthConfig auth;
    HF_ASSERT(auth.to_target.name.try_assign("user"));
    HF_ASSERT(auth.to_target.secret.try_assign("secret-of-user"));
    HF_ASSERT(auth.from_target.secret.try_assign("secret-of-disk"));
    if ((bits & 1U) != 0) HF_ASSERT(auth.from_target.name.try_assign("disk"));
    auth.offer_md5_only = (bits & 2U) != 0;
    return auth;
}

}  // namespace
}  // namespace holdfast::initiator

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::initiator;
    fuzz::Input input{data, size};
    const AuthConfig auth = auth_of(input.byte());
    std::array<std::byte, kChapRandomBytes> random{};
    random.fill(std::byte{0x5c});
    ChapExchange chap{auth, false, random};
    constexpr std::array kKeys{KeyId::ChapA, KeyId::ChapI, KeyId::ChapC, KeyId::ChapN,
                               KeyId::ChapR};
    bool is_answered = false;
    while (!input.empty()) {
        const std::size_t which = input.byte() % (kKeys.size() + 1);
        if (which < kKeys.size()) {
            const std::string_view value = as_text(input.bytes(input.word()));
            if (chap.take(kKeys[which], value)) return 0;
        } else if (!is_answered) {
            TextOut out;
            if (chap.answer_challenge(out)) return 0;
            HF_ASSERT(!out.overflowed() && !out.empty());
            is_answered = true;
        } else {
            // The right answer cannot be found by chance, and ours is refused.
            HF_ASSERT(chap.judge_target().has_value());
            return 0;
        }
    }
    return 0;
}
