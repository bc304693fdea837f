#include <gtest/gtest.h>

#include "stress/target/fault.h"

namespace holdfast::target {
namespace {

// Goal: every form that the help text shows is understood as meant.
TEST(FaultText, EveryFormIsUnderstood) {
    const auto rule = parse_fault("every=3s op=write conn=2 lun=1 times=4 hold-write 5s");
    ASSERT_TRUE(rule.has_value());
    EXPECT_EQ(rule->when, FaultRule::When::Every);
    EXPECT_EQ(rule->time, Duration::from_s(3));
    EXPECT_EQ(rule->op, FaultOp::Write);
    EXPECT_EQ(rule->connection, 2U);
    EXPECT_EQ(rule->lun, 1U);
    EXPECT_EQ(rule->times, 4U);
    EXPECT_EQ(rule->action.kind, FaultKind::HoldWrite);
    EXPECT_EQ(rule->action.duration, Duration::from_s(5));
    for (const auto* text : {"at=2.5s reset",
                             "after-pdus=1000 close",
                             "every-pdus=500 drop",
                             "command=100 busy",
                             "every-commands=3 task-set-full",
                             "prob=0.01 seed=7 op=read delay 50ms",
                             "drop-reply",
                             "reservation-conflict",
                             "check 3/11/00",
                             "reject protocol",
                             "reject 0x0c",
                             "close-at-byte 47",
                             "corrupt-digest header",
                             "corrupt-digest data",
                             "corrupt-data",
                             "stop-answering",
                             "stop-answering 10s",
                             "garbage 4096",
                             "ping",
                             "async-logout",
                             "async-logout 10",
                             "async-drop 1",
                             "async-drop-all",
                             "async-negotiate",
                             "async-vendor",
                             "async-sense 3f/0e",
                             "unit-attention 29/00",
                             "power-cut",
                             "power-cut random 2s",
                             "redirect 192.0.2.1:3260 permanent",
                             "resize 0 2G",
                             "now reset"})
        EXPECT_TRUE(parse_fault(text).has_value()) << text;
}

// Goal: each mistake gets a sentence that names it.
TEST(FaultText, MistakesAreNamed) {
    struct Case {
        const char* text;
        const char* sentence;
    };
    for (const Case& c : {Case{"", "names no action"},
                          Case{"at=2s", "names no action"},
                          Case{"at=2 reset", "write it with a unit"},
                          Case{"every=0s reset", "is no time"},
                          Case{"at=1s every=2s reset", "two triggers"},
                          Case{"prob=2 reset", "no probability"},
                          Case{"command=0 busy", "no count of 1 or more"},
                          Case{"op=wriet busy", "is no kind of PDU"},
                          Case{"whne=2 busy", "knows no 'whne'"},
                          Case{"explode", "knows no action"},
                          Case{"delay", "needs a time"},
                          Case{"delay 5", "needs a time"},
                          Case{"reset now", "a word too many"},
                          Case{"garbage", "number of bytes"},
                          Case{"check 3/11", "KEY/ASC/ASCQ"},
                          Case{"unit-attention x", "ASC/ASCQ"},
                          Case{"reject maybe", "needs a reason"},
                          Case{"redirect", "an address"},
                          Case{"resize 0", "needs a LUN and a size"},
                          Case{"corrupt-digest tail", "header or data"}}) {
        const auto rule = parse_fault(c.text);
        ASSERT_FALSE(rule.has_value()) << c.text;
        EXPECT_NE(rule.error().find(c.sentence), std::string::npos) << rule.error();
    }
}

}  // namespace
}  // namespace holdfast::target
