#include "reserve/process_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "reserve/arena.h"
#include "reserve/heap.h"
#include "reserve/lock_memory.h"
#include "reserve/memory_map.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

constexpr ByteCount kMib{1024U * 1024};

bool within_a_mib(ByteCount a, ByteCount b) {
    return (a > b ? a - b : b - a) <= kMib;
}

TEST(ProcessPlan, AgreesWithWhatTheKernelLocks) {
    // Goal: the plan's sum, made before anything was set up, is VmLck within 1 MiB; its anonymous
    // part is RssAnon within 1 MiB.
    if (kSanitized) GTEST_SKIP() << "a sanitizer's shadow memory cannot be locked";
    if (::geteuid() != 0) GTEST_SKIP() << "needs CAP_IPC_LOCK";
    EXPECT_EQ(exit_code_of_child([] {
                  const auto sparse = heap::sparse_ranges();
                  const auto image = measure_image(sparse);
                  if (!image) return 1;
                  constexpr ByteCount kArena{9U * 1024 * 1024};
                  constexpr ByteCount kHeap{512U * 1024};
                  MemoryPlan plan;
                  add_image_to_plan(plan, *image, kHeap);
                  plan.add({.name = "arena", .count = 1, .each = kArena, .reason = "test"});
                  heap::limit(kHeap);
                  const auto arena = Arena::map(kArena);
                  void* volatile const used = std::malloc(300'000);
                  std::memset(used, 1, 300'000);
                  if (!arena || !lock_memory(sparse)) return 2;
                  const auto facts = measure_memory();
                  if (!facts || !within_a_mib(plan.total(), facts->locked)) return 3;
                  if (facts->loose != ByteCount{} || facts->absent != ByteCount{}) return 4;
                  const ByteCount anonymous = image->anonymous() + kArena + kHeap;
                  return within_a_mib(anonymous, facts->anonymous) ? 0 : 5;
              }),
              0);
}

TEST(ProcessPlan, TheHeapsTablesAreNotPaidFor) {
    // Goal: of the megabytes of jemalloc's address space only what is present stands in the plan.
    if (kSanitized) GTEST_SKIP() << "a sanitizer owns malloc";
    const auto sparse = heap::sparse_ranges();
    const auto with = measure_image(sparse);
    const auto without = measure_image({});
    ASSERT_TRUE(with && without);
    const ByteCount address_space = without->data - with->data;
    EXPECT_GT(address_space, with->sparse + kMib + kMib);
}

}  // namespace
}  // namespace holdfast::reserve
