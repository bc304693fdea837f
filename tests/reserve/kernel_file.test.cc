#include "reserve/kernel_file.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "reserve/number_text.h"

namespace holdfast::reserve {
namespace {

class KernelFile : public testing::Test {
protected:
    void write(const std::string& text) { std::ofstream{path_, std::ios::binary} << text; }
    void TearDown() override { std::remove(path_.c_str()); }
    std::string path_ = testing::TempDir() + "holdfast-kernel-file-" +
                        testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(KernelFile, NumbersComeBack) {
    // Goal: what was written is read, signs included.
    write("0\n");
    for (const std::int64_t value : {0LL, 1826LL, -1000LL, 9'223'372'036'854'775'807LL}) {
        write("");
        ASSERT_TRUE(write_kernel_number(path_.c_str(), value));
        EXPECT_EQ(read_kernel_number(path_.c_str()), value);
    }
}

TEST_F(KernelFile, AnythingElseIsNoNumber) {
    // Goal: a file of another kind is refused, not half read.
    for (const char* const text : {"", "\n", "x", "1 2", "12x", " 1", "99999999999999999999"}) {
        write(text);
        const auto value = read_kernel_number(path_.c_str());
        ASSERT_FALSE(value) << text;
        EXPECT_EQ(value.error(), Errno{EINVAL});
    }
    EXPECT_EQ(read_kernel_number("/nowhere").error(), Errno{ENOENT});
}

TEST_F(KernelFile, LinesComeOutWhole) {
    // Goal: lines are the same wherever the buffer's edge falls.
    for (std::size_t length = 4000; length < 4110; ++length) {
        const std::string longer(length, 'a');
        write("first\n" + longer + "\n\nlast");
        KernelLines lines;
        ASSERT_TRUE(lines.open(path_.c_str()));
        std::string joined;
        std::vector<std::string> seen;
        while (const auto line = lines.next()) seen.emplace_back(*line);
        ASSERT_GE(seen.size(), 4U);
        EXPECT_EQ(seen.front(), "first");
        EXPECT_EQ(seen.back(), "last");
        for (std::size_t i = 1; i + 1 < seen.size(); ++i) joined += seen[i];
        EXPECT_EQ(joined, longer);
    }
}

TEST_F(KernelFile, FieldsAreFoundByTheirWholeKey) {
    // Goal: VmLck is not mistaken for VmLckX or another line.
    write("VmLckX:\t1 kB\nVmLck:\t    4096 kB\nVmPin:\tx\n");
    EXPECT_EQ(read_kernel_field(path_.c_str(), "VmLck"), 4096U);
    EXPECT_EQ(read_kernel_field(path_.c_str(), "VmPin").error(), Errno{EINVAL});
    EXPECT_EQ(read_kernel_field(path_.c_str(), "VmRSS").error(), Errno{ENOENT});
}

TEST(NumberText, WritesTheExtremes) {
    // Goal: every 64-bit number fits.
    EXPECT_EQ(NumberText{std::numeric_limits<std::int64_t>::min()}.view(), "-9223372036854775808");
    EXPECT_EQ(NumberText{std::numeric_limits<std::uint64_t>::max()}.view(), "18446744073709551615");
}

}  // namespace
}  // namespace holdfast::reserve
