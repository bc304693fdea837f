#include "reserve/memory_map.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
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

TEST(PresentRuns, OwnPagesAreThoseThatWereWritten) {
    // Goal: pages that are only the file's are left out, those that we wrote are found.
    const UniqueFd file{::memfd_create("pages", MFD_CLOEXEC)};
    constexpr std::size_t kPages = 300;  // More than one window.
    ASSERT_EQ(::ftruncate(file.get(), kPages * kPageBytes), 0);
    void* const start =
        ::mmap(nullptr, kPages * kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
    ASSERT_NE(start, MAP_FAILED);
    const std::span<volatile unsigned char> bytes{static_cast<volatile unsigned char*>(start),
                                                  kPages * kPageBytes};
    unsigned sum = 0;
    for (std::size_t page = 0; page < kPages; ++page) sum += bytes[page * kPageBytes];
    for (const std::size_t page : {7U, 8U, 270U}) bytes[page * kPageBytes] = 1;
    const auto at = std::bit_cast<std::uintptr_t>(start);
    std::size_t own = 0;
    PresentRuns runs{{.start = at, .end = at + bytes.size()}, PagesWanted::Own};
    while (const auto run = runs.next()) own += run->bytes() / kPageBytes;
    EXPECT_EQ(own, 3U) << sum;
    std::size_t present = 0;
    PresentRuns all{{.start = at, .end = at + bytes.size()}};
    while (const auto run = all.next()) present += run->bytes() / kPageBytes;
    EXPECT_EQ(present, kPages);
    ::munmap(start, bytes.size());
}

TEST(StackRun, PiecesAreOneStack) {
    // Goal: adjacent pieces of our own memory are one; a gap, a file or a guard begins anew.
    const auto piece = [](std::uintptr_t start, std::uintptr_t end, bool writable, bool of_file) {
        Mapping made;
        made.start = start;
        made.end = end;
        made.readable = made.writable = writable;
        made.of_file = of_file;
        return made;
    };
    StackRun run;
    run.take(piece(0x1000, 0x2000, true, false));
    run.take(piece(0x3000, 0x4000, true, false));
    EXPECT_EQ(run.range().start, 0x3000U) << "a gap";
    run.take(piece(0x4000, 0x5000, true, true));
    run.take(piece(0x5000, 0x6000, false, false));
    run.take(piece(0x6000, 0x7000, true, false));
    EXPECT_EQ(run.range().start, 0x6000U) << "a file and a guard";
    run.take(piece(0x7000, 0x8000, true, false));
    run.take(piece(0x8000, 0xa000, true, false));
    EXPECT_EQ(run.range().start, 0x6000U);
    EXPECT_EQ(run.range().end, 0xa000U);
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
