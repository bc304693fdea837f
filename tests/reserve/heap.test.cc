#include "reserve/heap.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

class Heap : public testing::Test {
protected:
    void SetUp() override {
        if (kSanitized) GTEST_SKIP() << "a sanitizer owns malloc";
    }
};

bool is_in_span(const void* at) {
    const auto span = heap::sparse_ranges()[0];
    const auto offset =
        reinterpret_cast<std::uintptr_t>(at) - reinterpret_cast<std::uintptr_t>(span.data());
    return offset < span.size();
}

TEST(HeapFitting, IsOursInEveryBuildWithoutSanitizer) {
    // Goal: no build loses the heap silently.
    EXPECT_EQ(heap::facts().is_ours, !kSanitized);
}

TEST_F(Heap, EverythingComesOutOfTheSpan) {
    // Goal: there is no second source of memory, whatever the size.
    std::vector<void*> taken;
    for (std::size_t bytes = 1; bytes <= 4U * 1024 * 1024; bytes *= 2) {
        taken.push_back(std::malloc(bytes));
        ASSERT_NE(taken.back(), nullptr);
        std::memset(taken.back(), 0x5a, bytes);
        EXPECT_TRUE(is_in_span(taken.back())) << bytes;
    }
    taken.push_back(::strdup("from inside the C library"));
    EXPECT_TRUE(is_in_span(taken.back()));
    for (void* const at : taken) std::free(at);
}

TEST_F(Heap, TheProgramBreakIsNeverMoved) {
    // Goal: nothing of the process grows outside the span.
    std::ifstream maps{"/proc/self/maps"};
    for (std::string line; std::getline(maps, line);) {
        EXPECT_EQ(line.find("[heap]"), std::string::npos) << line;
    }
}

TEST_F(Heap, FreedMemoryIsUsedAgain) {
    // Goal: a steady program does not creep through the span.
    const auto churn = [] {
        std::vector<void*> taken;
        for (std::size_t i = 0; i < 2000; ++i) taken.push_back(std::malloc(1 + i * 37 % 5000));
        for (void* const at : taken) std::free(at);
    };
    for (int i = 0; i < 5; ++i) churn();
    const ByteCount settled = heap::facts().mapped;
    for (int i = 0; i < 50; ++i) churn();
    EXPECT_EQ(heap::facts().mapped, settled);
}

// Leaks on purpose. False when the heap refuses; volatile, because a compiler may assume that an
// unused allocation succeeds.
bool take(std::size_t bytes) {
    void* volatile const got = std::malloc(bytes);
    return got != nullptr;
}

TEST_F(Heap, RefusesWhenTheLimitIsReached) {
    // Goal: the heap cannot grow the process beyond what was planned.
    EXPECT_EQ(exit_code_of_child([] {
                  heap::limit(ByteCount{1024 * 1024});
                  const std::uint64_t before = heap::facts().mapped.raw();
                  std::size_t got = 0;
                  while (take(10'000)) got += 10'000;
                  if (errno != ENOMEM) return 1;
                  if (heap::facts().refused == 0) return 2;
                  if (heap::facts().mapped.raw() > before + 1024 * 1024) return 3;
                  return got >= 600'000 ? 0 : 4;  // It may have had more in store.
              }),
              0);
}

TEST_F(Heap, TheSpanIsTheLastLimit) {
    // Goal: without any limit the span itself still is one.
    EXPECT_EQ(exit_code_of_child([] {
                  std::size_t got = 0;
                  while (take(100'000)) got += 100'000;
                  return got < heap::kSpan.raw() ? 0 : 1;
              }),
              0);
}

TEST_F(Heap, MemoryIsZeroedAndAligned) {
    // Goal: calloc and the aligned calls keep their contracts on reused pages.
    for (int round = 0; round < 3; ++round) {
        constexpr std::size_t kBytes = 300'000;
        void* const dirty = std::malloc(kBytes);
        std::memset(dirty, 0xff, kBytes);
        std::free(dirty);
        void* const clean = std::calloc(1, kBytes);
        for (const char c : std::span{static_cast<const char*>(clean), kBytes}) ASSERT_EQ(c, 0);
        std::free(clean);
    }
    void* const page = std::aligned_alloc(4096, 8192);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(page) % 4096, 0U);
    EXPECT_GE(::malloc_usable_size(page), 8192U);
    std::free(page);
}

// Goal: where the kernel happens to map us does not decide how much of the limit is left.
// Method: one leaf of jemalloc's radix tree covers 1 GiB; the span lies within one.
TEST_F(Heap, SpanNeedsOneLeafOfTheRadixTree) {
    constexpr std::uintptr_t kLeafCovers = 1024U * 1024 * 1024;
    const auto span = heap::sparse_ranges()[0];
    const auto first = reinterpret_cast<std::uintptr_t>(span.data());
    EXPECT_EQ(first / kLeafCovers, (first + span.size() - 1) / kLeafCovers);
}

TEST_F(Heap, ItsOwnTablesAreNearlyAllUntouched) {
    // Goal: jemalloc's metadata costs address space, not memory; docs/memory.md gives the figure.
    EXPECT_EQ(exit_code_of_child([] {
                  const heap::Facts facts = heap::facts();
                  return facts.resident.raw() < facts.mapped.raw() ? 0 : 1;
              }),
              0);
    const auto tables = heap::sparse_ranges()[1];
    EXPECT_GT(tables.size(), 2U * 1024 * 1024) << "the root of jemalloc's radix tree is in there";
}

}  // namespace
}  // namespace holdfast::reserve
