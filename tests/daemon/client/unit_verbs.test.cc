#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <map>
#include <numeric>
#include <string>

#include "base/unique_fd.h"
#include "daemon/client/bench.h"
#include "daemon/client/stream.h"
#include "daemon/client/transfer.h"
#include "daemon/client/verify.h"
#include "tests/daemon/client/memory_unit.h"

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;

std::string thread_name() {
    std::array<char, 16> name{};
    ::prctl(PR_GET_NAME, name.data());
    return name.data();
}

/// A file in memory with a position of its own.
class MemoryFile {
public:
    explicit MemoryFile(const std::vector<std::byte>& contents = {})
        : fd_(::memfd_create("test", MFD_CLOEXEC)) {
        EXPECT_EQ(::write(fd_.get(), contents.data(), contents.size()),
                  static_cast<ssize_t>(contents.size()));
        EXPECT_EQ(::lseek(fd_.get(), 0, SEEK_SET), 0);
    }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] std::vector<std::byte> contents() const {
        std::vector<std::byte> all(static_cast<std::size_t>(::lseek(fd_.get(), 0, SEEK_END)));
        EXPECT_EQ(::pread(fd_.get(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
        return all;
    }

private:
    UniqueFd fd_;
};

std::vector<std::byte> numbers(std::size_t bytes) {
    std::vector<std::byte> data(bytes);
    SplitMix64 random{bytes};
    for (std::byte& byte : data) byte = static_cast<std::byte>(random.next());
    return data;
}

// Goal: what is read is what is on the disk, in order, although completions come in any order.
TEST(Transfer, ReadKeepsTheOrder) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        MemoryUnit unit{{.seed = seed}};
        unit.disk = numbers(unit.disk.size());
        const MemoryFile out;
        EXPECT_EQ(read_to(unit, {}, out.fd()).value_or(0), unit.disk.size());
        EXPECT_EQ(out.contents(), unit.disk);
        EXPECT_EQ(unit.in_flight_max, 8U) << "the depth is used";
    }
}

// Goal: a length that fills no block is read to the byte.
TEST(Transfer, ReadMayEndInTheMiddleOfABlock) {
    MemoryUnit unit;
    unit.disk = numbers(unit.disk.size());
    const MemoryFile out;
    EXPECT_EQ(read_to(unit, {.offset_bytes = 1024, .length_bytes = 20'001}, out.fd()).value_or(0),
              20'001U);
    const auto first = unit.disk.begin() + 1024;
    EXPECT_EQ(out.contents(), std::vector<std::byte>(first, first + 20'001));
}

// Goal: every length of input arrives, the rest of the last block stays, and the cache is flushed.
TEST(Transfer, WriteTakesEveryLength) {
    for (const std::size_t bytes :
         {0UL, 1UL, 511UL, 512UL, 513UL, 8192UL, 8193UL, 65536UL, 100'001UL}) {
        MemoryUnit unit{{.seed = bytes}};
        unit.disk = numbers(unit.disk.size());
        auto expected = unit.disk;
        const auto input = numbers(bytes + 1);
        std::copy(input.begin(), input.end() - 1, expected.begin() + 512);
        const MemoryFile in{{input.begin(), input.end() - 1}};
        EXPECT_EQ(write_from(unit, {.offset_bytes = 512}, in.fd()).value_or(~0ULL), bytes);
        EXPECT_EQ(unit.disk, expected) << bytes;
        EXPECT_EQ(unit.flushes, 1U);
    }
}

// Goal: input that does not fit is not cut in silence.
TEST(Transfer, InputLongerThanTheRoomIsTold) {
    MemoryUnit unit;
    const MemoryFile exact{numbers(4096)};
    EXPECT_TRUE(write_from(unit, {.length_bytes = 4096}, exact.fd()));
    const MemoryFile longer{numbers(4097)};
    const auto written = write_from(unit, {.length_bytes = 4096}, longer.fd());
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().sentence, HasSubstr("longer than the 4096 bytes"));
}

struct BadRange {
    WantedRange range;
    const char* what;
};

// Goal: a range outside the unit, or inside a block, is refused with what would be right.
TEST(Transfer, RangesOffTheUnitAreRefused) {
    MemoryUnit unit;
    const BadRange all[] = {
        {{.offset_bytes = 4096 * 512}, "beyond its end"},
        {{.offset_bytes = 1}, "multiples of 512"},
        {{.offset_bytes = 512, .length_bytes = 4096 * 512}, "choose a smaller one"},
        {{.offset_bytes = 0, .length_bytes = 0}, "not 0"},
    };
    const MemoryFile out;
    for (const BadRange& bad : all) {
        const auto read = read_to(unit, bad.range, out.fd());
        ASSERT_FALSE(read);
        EXPECT_EQ(read.error().code, ExitCode::Usage);
        EXPECT_THAT(read.error().sentence, HasSubstr(bad.what));
    }
}

// Goal: each way in which a unit or an output can fail ends with its own exit code.
TEST(Transfer, ErrorsOfTheUnitEndIt) {
    const MemoryFile out;
    MemoryUnit broken;
    broken.fails_at = 1000;
    EXPECT_EQ(read_to(broken, {}, out.fd()).error().code, ExitCode::DeviceError);
    MemoryUnit lost;
    lost.loses_session = true;
    EXPECT_EQ(read_to(lost, {}, out.fd()).error().code, ExitCode::Unreachable);
    MemoryUnit stopped;
    stopped.stops_after = 3;
    EXPECT_EQ(read_to(stopped, {}, out.fd()).error().code, ExitCode::DeviceError);
    const UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
    MemoryUnit good;
    EXPECT_THAT(read_to(good, {}, full.get()).error().sentence, HasSubstr("No space left"));
}

// Goal: a sound unit passes, and is not taken for one with another seed.
TEST(Verify, GoodUnitPassesOnAllBlockSizes) {
    for (const std::uint32_t block_bytes : {512U, 1024U, 4096U}) {
        MemoryUnit unit{{.block_bytes = block_bytes, .blocks = 512}};
        const auto result = verify(unit, {.seed = 9});
        ASSERT_TRUE(result) << result.error().sentence;
        EXPECT_EQ(result->bytes, unit.disk.size());
        EXPECT_TRUE(verify(unit, {.seed = 9, .writes = false}));
        EXPECT_EQ(verify(unit, {.seed = 8, .writes = false}).error().code, ExitCode::Mismatch);
    }
}

// Goal: a unit that acknowledges writes and forgets them is caught. The test that must fail.
TEST(Verify, LostWritesAreCaught) {
    MemoryUnit unit;
    ASSERT_TRUE(verify(unit, {.seed = 1}));
    unit.drops_writes = true;
    const auto result = verify(unit, {.seed = 2});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ExitCode::Mismatch);
    EXPECT_THAT(result.error().sentence, HasSubstr("a write was lost"));
}

// Goal: a single wrong bit is found, and the sentence says where.
TEST(Verify, OneWrongBitIsCaughtAndLocated) {
    MemoryUnit unit;
    ASSERT_TRUE(verify(unit, {.seed = 1}));
    unit.disk[70'000] ^= std::byte{1};
    const auto result = verify(unit, {.seed = 1, .writes = false});
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().sentence, HasSubstr("byte 69632"));
}

// Goal: requests, bytes and latencies add up for every workload, at full depth.
TEST(Bench, EveryWorkloadCountsWhatItDid) {
    for (const char* name : {"read", "write", "randread", "randwrite", "randrw"}) {
        MemoryUnit unit;
        const BenchPlan plan{.workload = workload_from(name).value(),
                             .block_bytes = 4096,
                             .depth = 8,
                             .time = Duration::from_s(60),
                             .requests_max = 500};
        const auto result = bench(unit, plan);
        ASSERT_TRUE(result) << result.error().sentence;
        EXPECT_EQ(result->reads + result->writes, 500U) << name;
        EXPECT_EQ(result->bytes, 500U * 4096);
        EXPECT_EQ(result->latency.total(), 500U);
        EXPECT_EQ(unit.in_flight_max, 8U);
        const bool is_reading = std::string_view{name}.ends_with("read");
        if (!is_reading) continue;
        EXPECT_EQ(result->writes, 0U) << name;
    }
}

// Goal: without a number of requests the time ends a measurement.
TEST(Bench, EndsWhenTheTimeIsOver) {
    MemoryUnit unit;
    const auto result = bench(unit, {.depth = 2, .time = Duration::from_ms(20)});
    ASSERT_TRUE(result);
    EXPECT_GE(result->elapsed, Duration::from_ms(20));
}

// Goal: requests of the warm-up are sent first and counted nowhere; only the others go out under
// the measuring name, and afterwards the thread has its own again.
TEST(Bench, WarmUpIsNotCounted) {
    MemoryUnit unit;
    const std::string before = thread_name();
    std::map<std::string, int> names;
    unit.on_submit = [&] { ++names[thread_name()]; };
    const BenchPlan plan{
        .depth = 4, .time = Duration::from_s(60), .requests_max = 100, .warm_up = 50};
    const auto result = bench(unit, plan);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->reads + result->writes, 100U);
    EXPECT_EQ(result->bytes, 100U * 4096);
    EXPECT_EQ(result->latency.total(), 100U);
    EXPECT_THAT(names, testing::UnorderedElementsAre(testing::Pair(before, 50),
                                                     testing::Pair(kMeasuringName, 100)));
    EXPECT_EQ(thread_name(), before);
}

// Goal: a plan that no unit can serve is refused before anything is sent.
TEST(Bench, AbsurdPlansAreRefused) {
    MemoryUnit unit;
    for (const BenchPlan& plan :
         {BenchPlan{.block_bytes = 100, .depth = 1}, BenchPlan{.block_bytes = 16384, .depth = 1},
          BenchPlan{.block_bytes = 0, .depth = 1}, BenchPlan{.depth = 0}, BenchPlan{.depth = 9},
          BenchPlan{.depth = 1, .range = {.offset_bytes = 4096 * 512}},
          BenchPlan{.block_bytes = 8192, .depth = 1, .range = {.length_bytes = 4096}}}) {
        const auto result = bench(unit, plan);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ExitCode::Usage);
    }
}

// Goal: keys that scripts rely on stay.
TEST(Bench, JsonHasEveryDocumentedKey) {
    MemoryUnit unit;
    const BenchPlan plan{.depth = 4, .requests_max = 100};
    const Json json = bench_json(plan, bench(unit, plan).value());
    for (const char* key :
         {"rw", "bs", "depth", "seconds", "requests", "reads", "writes", "bytes", "iops",
          "bytes_per_second", "cpu_user_seconds", "cpu_system_seconds", "cpu_us_per_request"})
        EXPECT_TRUE(json.contains(key)) << key;
    for (const char* key : {"min", "mean", "p50", "p95", "p99", "p999", "max"})
        EXPECT_TRUE(json["latency_us"][key].is_number()) << key;
}

// Goal: a flush is one request, not one for each tag.
TEST(Stream, FlushIsOneRequest) {
    MemoryUnit unit;
    EXPECT_TRUE(flush(unit));
    EXPECT_EQ(unit.flushes, 1U);
}

}  // namespace
}  // namespace holdfast::daemon
