#include <gtest/gtest.h>

#include <deque>

#include "base/fixed_vector.h"
#include "base/random.h"
#include "base/time.h"

namespace holdfast {
namespace {

// Goal: a queue behaves as a deque of bounded length under any mix of pushes and pops.
TEST(FixedQueue, BehavesAsABoundedDeque) {
    SplitMix64 random{7};
    FixedQueue<std::uint64_t, 5> queue;
    std::deque<std::uint64_t> model;
    for (int step = 0; step < 10'000; ++step) {
        if (random.one_in(2)) {
            const std::uint64_t value = random.next();
            const bool taken = queue.try_push(value);
            EXPECT_EQ(taken, model.size() < 5);
            if (taken) model.push_back(value);
        } else if (!model.empty()) {
            EXPECT_EQ(queue.pop(), model.front());
            model.pop_front();
        }
        EXPECT_EQ(queue.size(), model.size());
        EXPECT_EQ(queue.full(), model.size() == 5);
    }
}

// Goal: a full vector refuses and keeps what it has.
TEST(FixedVector, RefusesWhenFull) {
    FixedVector<int, 2> vector;
    EXPECT_TRUE(vector.try_push(1));
    EXPECT_TRUE(vector.try_push(2));
    EXPECT_FALSE(vector.try_push(3));
    EXPECT_EQ(vector[1], 2);
}

// Goal: an index beyond the end is our bug and ends the process, in every build.
TEST(FixedVectorDeathTest, IndexBeyondTheEndAborts) {
    FixedVector<int, 2> vector;
    vector.push(1);
    EXPECT_DEATH((void)vector[1], "assertion failed: i < size_");
}

// Goal: text that does not fit leaves the old text; the cutting form keeps the front.
TEST(FixedString, KeepsOldTextWhenNewDoesNotFit) {
    FixedString<4> text;
    EXPECT_TRUE(text.try_assign("abcd"));
    EXPECT_FALSE(text.try_assign("abcde"));
    EXPECT_EQ(text.view(), "abcd");
    text.assign_cut("vwxyz");
    EXPECT_EQ(text.view(), "vwxy");
    EXPECT_FALSE(text.try_append("z"));
}

// Goal: adding to an instant stops at never() instead of wrapping into the past.
TEST(Instant, AdditionSaturates) {
    EXPECT_TRUE((Instant::never() + Duration::from_s(1)).is_never());
    EXPECT_TRUE((Instant::from_ns(5) + Duration::max()).is_never());
    EXPECT_EQ(earlier(Instant::from_ns(5), Instant::never()), Instant::from_ns(5));
}

}  // namespace
}  // namespace holdfast
