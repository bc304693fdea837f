#include "reserve/fuse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "reserve/lockdown.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

class Fuse : public testing::Test {
protected:
    void SetUp() override {
        if (kSanitized) GTEST_SKIP() << "a sanitizer owns malloc: there is no fuse";
    }
};
using FuseDeathTest = Fuse;

void* volatile g_sink = nullptr;  // Keeps the compiler from dropping a malloc and free pair.

struct Call {
    const char* name;
    std::function<void()> make;
};

std::vector<Call> every_heap_call() {
    void* const old = std::malloc(100);
    return {
        {"malloc", [] { g_sink = std::malloc(1); }},
        {"calloc", [] { g_sink = std::calloc(1, 1); }},
        {"realloc", [old] { g_sink = std::realloc(old, 200); }},
        {"free", [old] { std::free(old); }},
        {"aligned_alloc", [] { g_sink = std::aligned_alloc(64, 64); }},
        {"posix_memalign",
         [] {
             void* out = nullptr;
             if (::posix_memalign(&out, 64, 64) == 0) g_sink = out;
         }},
        {"malloc", [] { g_sink = new int{7}; }},
        {"free", [old] { ::operator delete(old); }},
        // From inside the C library.
        {"malloc", [] { g_sink = ::strdup("text"); }},
    };
}

TEST_F(FuseDeathTest, EveryHeapCallOnAnArmedThreadAborts) {
    // Goal: an I/O thread cannot allocate or free, in any build, not even inside libc.
    for (const Call& call : every_heap_call()) {
        const auto blow = [&call] {
            fuse::arm_this_thread();
            call.make();
        };
        EXPECT_EXIT(blow(), testing::KilledBySignal(SIGABRT),
                    std::string{"holdfast: "} + call.name + " on an armed thread");
    }
}

TEST(FuseFitting, IsThereInEveryBuildWithoutSanitizer) {
    // Goal: no build loses the fuse silently, and the protections say whether it is there.
    EXPECT_EQ(fuse::is_fitted(), !kSanitized);
    LockdownWish wish;
    wish.lock_memory = false;
    const Protections rows = read_back(wish);
    const auto row = std::ranges::find_if(rows.span(), [](const Protection& candidate) {
        return candidate.name.view() == "allocation fuse";
    });
    ASSERT_NE(row, rows.span().end());
    EXPECT_EQ(row->holds, !kSanitized);
}

TEST_F(Fuse, CallsAreCountedBeforeArming) {
    // Goal: status can say what setting up cost.
    const std::uint64_t before = fuse::heap_calls_of_this_thread();
    g_sink = std::malloc(10);
    std::free(g_sink);
    EXPECT_EQ(fuse::heap_calls_of_this_thread(), before + 2);
}

TEST_F(Fuse, ShutdownMayUseTheHeapAgain) {
    // Goal: an orderly end of an armed process is possible.
    std::thread armed{[] {
        fuse::arm_this_thread();
        const bool was_armed = fuse::state_of_this_thread() == fuse::State::Armed;
        fuse::disarm_for_shutdown();
        g_sink = std::malloc(10);
        std::free(g_sink);
        EXPECT_TRUE(was_armed);
        EXPECT_EQ(fuse::state_of_this_thread(), fuse::State::Shutdown);
    }};
    armed.join();
}

TEST_F(Fuse, OtherThreadsAreNotArmed) {
    // Goal: arming binds one thread.
    std::thread armed{[] {
        fuse::arm_this_thread();
        std::thread* other = nullptr;
        fuse::disarm_for_shutdown();
        other = new std::thread{[] { EXPECT_EQ(fuse::state_of_this_thread(), fuse::State::Init); }};
        other->join();
        delete other;
    }};
    armed.join();
    EXPECT_EQ(fuse::state_of_this_thread(), fuse::State::Init);
}

TEST_F(FuseDeathTest, ArmingTwiceIsOurBug) {
    // Goal: the states go one way.
    const auto twice = [] {
        fuse::arm_this_thread();
        fuse::arm_this_thread();
    };
    EXPECT_DEATH(twice(), "Init");
    const auto back = [] {
        fuse::arm_this_thread();
        fuse::disarm_for_shutdown();
        fuse::arm_this_thread();
    };
    EXPECT_DEATH(back(), "Init");
    EXPECT_DEATH(fuse::disarm_for_shutdown(), "Armed");
}

TEST_F(Fuse, FreeingNothingIsNoHeapCall) {
    // Goal: free(nullptr), which library code does as a matter of form, is allowed when armed.
    std::thread armed{[] {
        fuse::arm_this_thread();
        std::free(nullptr);
        fuse::disarm_for_shutdown();
    }};
    armed.join();
}

}  // namespace
}  // namespace holdfast::reserve
