#include "reserve/memory_map.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <vector>

namespace holdfast::reserve {
namespace {

// Some pages without a backing yet.
class FreshPages {
public:
    explicit FreshPages(std::size_t count)
        : bytes_(count * kPageBytes),
          start_(
              ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
        EXPECT_NE(start_, MAP_FAILED);
        EXPECT_EQ(::madvise(start_, bytes_, MADV_NOHUGEPAGE), 0);
    }
    FreshPages(const FreshPages&) = delete;
    FreshPages& operator=(const FreshPages&) = delete;
    ~FreshPages() { ::munmap(start_, bytes_); }
    std::span<std::byte> bytes() const { return {static_cast<std::byte*>(start_), bytes_}; }
    void touch(std::size_t page) const { bytes()[page * kPageBytes] = std::byte{1}; }

private:
    std::size_t bytes_;
    void* start_;
};

TEST(MappingReader, SeesWhatTheKernelDid) {
    // Goal: size, rights, presence and lock of a mapping come out as they are.
    const FreshPages pages{10};
    pages.touch(2);
    pages.touch(3);
    ASSERT_EQ(::mprotect(pages.bytes().data(), pages.bytes().size(), PROT_READ), 0);
    ASSERT_EQ(::mlock2(pages.bytes().data(), pages.bytes().size(), MLOCK_ONFAULT), 0);
    const AddressRange where = addresses_of(pages.bytes());
    MappingReader reader;
    ASSERT_TRUE(reader.open());
    int found = 0;
    while (const auto mapping = reader.next()) {
        if (mapping->start != where.start) continue;
        ++found;
        EXPECT_EQ(mapping->end, where.end);
        EXPECT_TRUE(mapping->readable && !mapping->writable && !mapping->executable);
        EXPECT_FALSE(mapping->of_file || mapping->of_kernel || mapping->is_stack());
        EXPECT_EQ(mapping->resident.raw(), 2 * kPageBytes);
        EXPECT_TRUE(mapping->locked);
    }
    EXPECT_EQ(found, 1);
    EXPECT_FALSE(reader.error());
}

TEST(MappingReader, KnowsTheStackTheProgramAndTheKernelsOwn) {
    // Goal: each kind that is treated apart is recognised.
    int stacks = 0;
    int texts = 0;
    int kernels = 0;
    MappingReader reader;
    ASSERT_TRUE(reader.open());
    while (const auto mapping = reader.next()) {
        stacks += mapping->is_stack() ? 1 : 0;
        texts += mapping->of_file && mapping->executable ? 1 : 0;
        kernels += mapping->of_kernel ? 1 : 0;
    }
    EXPECT_EQ(stacks, 1);
    EXPECT_GE(texts, 1);
    EXPECT_GE(kernels, 1);  // The vDSO.
}

TEST(PresentRuns, FindsEveryPattern) {
    // Goal: exactly the present pages come out, as maximal runs.
    // Method: all 256 patterns of eight pages.
    for (unsigned pattern = 0; pattern < 256; ++pattern) {
        const FreshPages pages{8};
        for (std::size_t i = 0; i < 8; ++i) {
            if ((pattern >> i & 1U) != 0) pages.touch(i);
        }
        const AddressRange all = addresses_of(pages.bytes());
        unsigned seen = 0;
        std::uintptr_t last_end = 0;
        PresentRuns runs{all};
        while (const auto run = runs.next()) {
            EXPECT_NE(run->start, last_end) << "two runs that touch are one";
            last_end = run->end;
            for (auto at = run->start; at < run->end; at += kPageBytes) {
                seen |= 1U << ((at - all.start) / kPageBytes);
            }
        }
        EXPECT_EQ(seen, pattern);
    }
}

TEST(PresentRuns, WorksAcrossItsWindow) {
    // Goal: ranges larger than one question to the kernel are walked to the end.
    const FreshPages pages{1000};
    for (const std::size_t page : {0U, 254U, 255U, 256U, 257U, 511U, 512U, 999U}) pages.touch(page);
    std::size_t present = 0;
    std::size_t count = 0;
    PresentRuns runs{addresses_of(pages.bytes())};
    while (const auto run = runs.next()) {
        present += run->bytes() / kPageBytes;
        ++count;
    }
    EXPECT_EQ(present, 8U);
    EXPECT_EQ(count, 4U);
}

TEST(MeasureMemory, AddsUp) {
    // Goal: the sums of mappings agree with the kernel's own.
    const auto facts = measure_memory();
    ASSERT_TRUE(facts);
    EXPECT_GT(facts->anonymous, ByteCount{});
    EXPECT_GT(facts->of_files, ByteCount{});
    EXPECT_GT(facts->loose, ByteCount{}) << "nothing is locked here";
}

}  // namespace
}  // namespace holdfast::reserve
