#include <gtest/gtest.h>

#include "initiator/login/login.h"
#include "tests/initiator/login/login_bench.h"

namespace holdfast::initiator {
namespace {

using namespace testing;

/// A bench whose CHAP_R is out.
LoginBench answered(bool mutual, const LoginOptions& options = {}) {
    LoginBench bench{chap_config(mutual), options};
    bench.send();
    EXPECT_TRUE(goes_on(bench.answer(kStaySecurity, {"AuthMethod=CHAP"})));
    bench.send();
    const char* algorithm = options.offer_md5_only ? "CHAP_A=5" : "CHAP_A=7";
    EXPECT_TRUE(goes_on(bench.answer(
        kStaySecurity, {algorithm, "CHAP_I=5", "CHAP_C=0x00112233445566778899aabbccddeeff"})));
    bench.send();
    return bench;
}

// Goal: a target that picks a strong algorithm and then chokes on its digest (tgt 1.0.85) gets one
// login with MD5 alone; a wrong password is not tried twice.
// Rows: CHP-02, LOG-25
TEST(LoginOldTarget, AnErrorWithoutNameAfterOurDigestHintsAtMd5) {
    for (const bool mutual : {false, true}) {
        LoginBench choked = answered(mutual);
        EXPECT_TRUE(failure_of(choked.answer_raw(choked.refusal(0x0200), "")).retry_with_md5_only);
        LoginBench wrong = answered(mutual);
        EXPECT_FALSE(failure_of(wrong.answer_raw(wrong.refusal(0x0201), "")).retry_with_md5_only);
        LoginBench second = answered(mutual, {.offer_md5_only = true});
        EXPECT_FALSE(failure_of(second.answer_raw(second.refusal(0x0200), "")).retry_with_md5_only);
    }
    LoginBench later = answered(false);
    EXPECT_TRUE(goes_on(later.answer(kToOperational)));
    later.send();
    EXPECT_FALSE(failure_of(later.answer_raw(later.refusal(0x0200), "")).retry_with_md5_only);
}

}  // namespace
}  // namespace holdfast::initiator
