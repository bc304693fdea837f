#include "reserve/heap_span.h"

#include <gtest/gtest.h>

namespace holdfast::reserve::heap {
namespace {

constexpr std::size_t kMib = 1024 * 1024;
constexpr std::size_t kBytes = 64 * kMib;
constexpr std::size_t kAlignment = 2 * kMib;
constexpr std::size_t kBorder = 1024 * kMib;

// Goal: wherever the kernel maps the room, the span is aligned, crosses no border and fits in.
// Method: every start on a page around a border, and on 64 KiB steps over a whole period.
TEST(HeapSpan, CrossesNoBorderFromAnyStart) {
    const auto judge = [](std::uintptr_t start) {
        const std::uintptr_t at = span_start(start, kBytes, kAlignment, kBorder);
        ASSERT_EQ(at % kAlignment, 0U) << start;
        ASSERT_EQ(at / kBorder, (at + kBytes - 1) / kBorder) << start;
        ASSERT_GE(at, start);
        ASSERT_LE(at + kBytes, start + span_room(kBytes, kAlignment)) << start;
    };
    constexpr std::uintptr_t kFrom = 0x7fef'0000'0000;
    for (std::uintptr_t at = kFrom; at < kFrom + 2 * kBorder; at += 64 * 1024) judge(at);
    for (std::uintptr_t at = kFrom + kBorder - 2 * kBytes; at < kFrom + kBorder + kBytes;
         at += 4096)
        judge(at);
}

// Goal: where it fits as it is, no address space is wasted.
TEST(HeapSpan, StartsAtOnceWhereItFits) {
    EXPECT_EQ(span_start(kBorder, kBytes, kAlignment, kBorder), kBorder);
    EXPECT_EQ(span_start(2 * kBorder - kBytes, kBytes, kAlignment, kBorder), 2 * kBorder - kBytes);
    EXPECT_EQ(span_start(2 * kBorder - kBytes + 1, kBytes, kAlignment, kBorder), 2 * kBorder);
}

}  // namespace
}  // namespace holdfast::reserve::heap
