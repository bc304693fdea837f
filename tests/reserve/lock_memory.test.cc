#include "reserve/lock_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "reserve/memory_map.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

constexpr std::size_t kMib = 1024U * 1024;

// Untouched until a test does: in .bss.
std::array<volatile unsigned char, kMib> g_untouched;

long faults_so_far() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

[[gnu::noinline]] void use_stack() {
    std::array<volatile unsigned char, kStackReadyBytes - 2 * kPageBytes> room;
    asm volatile("" : : "r"(room.data()) : "memory");  // Keeps all of it.
    for (std::size_t i = 0; i < room.size(); i += 512) room[i] = 1;
}

[[gnu::noinline]] int recurse(int depth) {
    std::array<volatile unsigned char, 16384> room{};
    const std::size_t at =
        static_cast<std::size_t>(depth) * 200;  // No constant: all of it is kept.
    room[at] = static_cast<unsigned char>(depth);
    if (depth > 0) room[at + 1] = static_cast<unsigned char>(recurse(depth - 1));
    return room[at + 1];
}

[[gnu::noinline]] bool lock_from_far_below() {
    std::array<volatile unsigned char, 256U * 1024> room;
    asm volatile("" : : "r"(room.data()) : "memory");  // Keeps all of it.
    for (std::size_t i = 0; i < room.size(); i += kPageBytes) room[i] = 1;
    return lock_memory({}).has_value() && room[0] == 1;
}

class LockMemory : public testing::Test {
protected:
    void SetUp() override {
        if (kSanitized) GTEST_SKIP() << "a sanitizer's shadow memory cannot be locked";
        if (::geteuid() != 0) GTEST_SKIP() << "needs CAP_IPC_LOCK";
    }
};

TEST_F(LockMemory, NothingIsLooseAndNothingIsAbsent) {
    // Goal: every present page is locked, and every locked page is present.
    EXPECT_EQ(exit_code_of_child([] {
                  if (measure_memory()->loose == ByteCount{}) return 1;  // The test can fail.
                  if (!lock_memory({})) return 2;
                  const auto facts = measure_memory();
                  if (!facts) return 3;
                  if (facts->loose != ByteCount{} || facts->absent != ByteCount{}) return 4;
                  return facts->locked > ByteCount{kMib} ? 0 : 5;
              }),
              0);
}

TEST_F(LockMemory, NothingFaultsAfterwards) {
    // Goal: code, data, .bss and the stack down to the promised depth are there without a fault.
    const auto faults_of_use = [](bool lock_first) {
        return exit_code_of_child([lock_first] {
            if (lock_first && !lock_memory({})) return 100;
            const long before = faults_so_far();
            for (std::size_t i = 0; i < g_untouched.size(); i += kPageBytes) g_untouched[i] = 1;
            use_stack();
            return static_cast<int>(std::min(faults_so_far() - before, 99L));
        });
    };
    EXPECT_EQ(faults_of_use(true), 0);
    EXPECT_EQ(faults_of_use(false), 99) << "without the lock the same use faults";
}

TEST_F(LockMemory, SparseRangesCostTheirPresentPagesOnly) {
    // Goal: megabytes of address space that are never touched are not paid for.
    EXPECT_EQ(exit_code_of_child([] {
                  constexpr std::size_t kBytes = 64 * kMib;
                  void* const start = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  if (start == MAP_FAILED) return 1;
                  if (::madvise(start, kBytes, MADV_NOHUGEPAGE) != 0) return 2;
                  const std::span<std::byte> wide{static_cast<std::byte*>(start), kBytes};
                  for (const std::size_t page : {3U, 4U, 900U}) {
                      wide[page * kPageBytes] = std::byte{1};
                  }
                  // Off the page bounds: the pages at the edges belong to somebody else.
                  const std::array<std::span<const std::byte>, 2> sparse{
                      wide.subspan(100), std::span<const std::byte>{}};
                  if (!lock_memory(sparse)) return 3;
                  const auto facts = measure_memory();
                  if (facts->loose != ByteCount{} || facts->absent != ByteCount{}) return 4;
                  return facts->locked < ByteCount{kBytes / 2} ? 0 : 5;
              }),
              0);
}

TEST_F(LockMemory, LockingAgainEndsTheSharingAfterFork) {
    // Goal: a parent that forked does not fault when it writes what the child still shares.
    const auto faults_after_fork = [](bool again) {
        return exit_code_of_child([again] {
            if (!lock_memory({})) return 100;
            std::array<int, 2> gate{};
            if (::pipe(gate.data()) != 0) return 101;
            const pid_t sharer = ::fork();
            if (sharer == 0) {
                ::close(gate[1]);
                char byte = 0;
                ::_exit(static_cast<int>(::read(gate[0], &byte, 1)));
            }
            if (again && !lock_memory({})) return 102;
            const long before = faults_so_far();
            for (std::size_t i = 0; i < g_untouched.size(); i += kPageBytes) g_untouched[i] = 1;
            const long faults = faults_so_far() - before;
            ::close(gate[1]);
            ::waitpid(sharer, nullptr, 0);
            return static_cast<int>(std::min(faults, 99L));
        });
    };
    EXPECT_EQ(faults_after_fork(true), 0);
    EXPECT_GT(faults_after_fork(false), 0);
}

TEST_F(LockMemory, TheStackIsReadyBelowTheCaller) {
    // Goal: the promised depth counts from the frame that asks, however deep that is.
    EXPECT_EQ(exit_code_of_child([] { return lock_from_far_below() ? 0 : 1; }), 0);
}

TEST_F(LockMemory, TheStackDoesNotGrowAnyMore) {
    // Goal: too deep a call is a crash at once, never a page fault while memory is short.
    EXPECT_EQ(exit_code_of_child([] { return recurse(64) < 0 ? 1 : 0; }), 0);
    EXPECT_EQ(signal_of_child([] {
                  if (!lock_memory({})) return 1;
                  return recurse(64) < 0 ? 1 : 0;
              }),
              SIGSEGV);
}

TEST_F(LockMemory, AStackInPiecesIsGuardedAsAWhole) {
    // Goal: who is forked by a process that locked the present pages of its stack alone gets the
    // whole guarantee: nothing loose, and no growth.
    const auto locked_in_child = [](auto body) {
        if (!lock_present_writable()) return 1;
        const pid_t child = ::fork();
        if (child == 0) ::_exit(lock_memory({}) ? body() : 2);
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status);
    };
    EXPECT_EQ(exit_code_of_child([&] {
                  return locked_in_child([] {
                      const auto facts = measure_memory();
                      return facts->loose == ByteCount{} && facts->absent == ByteCount{} ? 0 : 3;
                  });
              }),
              0);
    EXPECT_EQ(
        exit_code_of_child([&] { return locked_in_child([] { return recurse(64) < 0 ? 1 : 0; }); }),
        100 + SIGSEGV);
}

TEST_F(LockMemory, PresentWritablePagesAloneAreLocked) {
    // Goal: a maker pays for what it has touched, and for no text.
    EXPECT_EQ(exit_code_of_child([] {
                  g_untouched[5 * kPageBytes] = 1;
                  if (!lock_present_writable()) return 1;
                  MappingReader reader;
                  if (!reader.open()) return 2;
                  ByteCount locked;
                  while (const auto mapping = reader.next()) {
                      if (mapping->locked && !mapping->writable) return 3;
                      if (mapping->locked) locked += ByteCount{mapping->bytes()};
                      if (mapping->locked && mapping->resident != ByteCount{mapping->bytes()})
                          return 4;
                  }
                  return locked > ByteCount{} && locked < ByteCount{kMib} ? 0 : 5;
              }),
              0);
}

TEST_F(LockMemory, WithoutHeapLeavesTheHeapAlone) {
    // Goal: text and our own pages are locked, what was given up is not, and what comes later is.
    EXPECT_EQ(exit_code_of_child([] {
                  void* const start = ::mmap(nullptr, kMib, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  const std::span<std::byte> heap{static_cast<std::byte*>(start), kMib};
                  for (std::size_t at = 0; at < kMib; at += kPageBytes) heap[at] = std::byte{1};
                  const std::array<std::span<const std::byte>, 1> given_up{heap};
                  if (!lock_without_heap(given_up)) return 1;
                  MappingReader reader;
                  if (!reader.open()) return 2;
                  bool has_text = false;
                  while (const auto mapping = reader.next()) {
                      const bool is_heap = mapping->start <= addresses_of(heap).start &&
                                           mapping->end >= addresses_of(heap).end;
                      if (is_heap && mapping->locked) return 3;
                      if (mapping->executable && !mapping->of_kernel && !mapping->locked) return 4;
                      has_text = has_text || mapping->executable;
                  }
                  const ByteCount before = measure_memory()->locked;
                  void* const later = ::mmap(nullptr, kMib, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  if (later == MAP_FAILED) return 5;
                  const ByteCount more = measure_memory()->locked - before;
                  return has_text && more == ByteCount{kMib} ? 0 : 6;
              }),
              0);
}

TEST_F(LockMemory, ProgramsThatAreExecutedGetNoneOfIt) {
    // Goal: a locked supervisor can start ordinary programs: no small stack, nothing locked.
    EXPECT_EQ(exit_code_of_child([] {
                  if (!lock_memory({})) return 1;
                  const char* const script =
                      "test $(ulimit -s) != 132 && grep -q 'VmLck:[[:space:]]*0 kB' "
                      "/proc/self/status && ! grep -q -- '---p 00000000 00:00 0 *$' "
                      "/proc/self/maps";
                  ::execl("/bin/sh", "sh", "-c", script, nullptr);
                  return 2;
              }),
              0);
}

TEST_F(LockMemory, LockingTwiceChangesNothing) {
    // Goal: the second call is for what changed, not a second guard or a second lock.
    EXPECT_EQ(exit_code_of_child([] {
                  if (!lock_memory({})) return 1;
                  const auto first = measure_memory();
                  if (!lock_memory({})) return 2;
                  const auto second = measure_memory();
                  if (second->loose != ByteCount{} || second->absent != ByteCount{}) return 3;
                  return first->locked == second->locked ? 0 : 4;
              }),
              0);
}

TEST_F(LockMemory, LaterMappingsAreLockedToo) {
    // Goal: what is mapped after the lock cannot be swapped out either.
    EXPECT_EQ(exit_code_of_child([] {
                  if (!lock_memory({})) return 1;
                  void* const later = ::mmap(nullptr, kMib, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  if (later == MAP_FAILED) return 2;
                  *static_cast<volatile char*>(later) = 1;
                  return measure_memory()->loose == ByteCount{} ? 0 : 3;
              }),
              0);
}

TEST_F(LockMemory, SaysWhenItMayNot) {
    // Goal: a missing right is an error, not a silent nothing.
    EXPECT_EQ(exit_code_of_child([] {
                  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
                  if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 1;
                  if (::setuid(65534) != 0) return 2;
                  const auto locked = lock_memory({});
                  return !locked &&
                                 (locked.error() == Errno{ENOMEM} || locked.error() == Errno{EPERM})
                             ? 0
                             : 3;
              }),
              0);
}

}  // namespace
}  // namespace holdfast::reserve
