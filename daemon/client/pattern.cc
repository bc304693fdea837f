#include "daemon/client/pattern.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "base/assert.h"
#include "base/random.h"

namespace holdfast::daemon {

namespace {

constexpr std::uint64_t kMagic = 0x48'6f'6c'64'46'61'73'74;  // "HoldFast"
constexpr std::size_t kWords = kPatternUnitBytes / sizeof(std::uint64_t);

using Unit = std::array<std::uint64_t, kWords>;

Unit unit_of(std::uint64_t address, std::uint64_t generation) {
    Unit unit{kMagic, address, generation};
    SplitMix64 random{address ^ (generation << 1)};
    for (std::size_t i = 3; i < kWords; ++i) unit[i] = random.next();
    return unit;
}

PatternFault fault_of(const Unit& found, const Unit& expected) {
    if (found[0] != expected[0]) return PatternFault::NotOurs;
    if (found[1] != expected[1]) return PatternFault::WrongAddress;
    if (found[2] != expected[2]) return PatternFault::WrongGeneration;
    return PatternFault::Torn;
}

}  // namespace

void fill_pattern(std::span<std::byte> data, std::uint64_t address, std::uint64_t generation) {
    HF_ASSERT(data.size() % kPatternUnitBytes == 0 && address % kPatternUnitBytes == 0);
    for (std::size_t at = 0; at < data.size(); at += kPatternUnitBytes) {
        const Unit unit = unit_of(address + at, generation);
        std::memcpy(data.subspan(at, kPatternUnitBytes).data(), unit.data(), kPatternUnitBytes);
    }
}

std::optional<PatternMismatch> check_pattern(std::span<const std::byte> data, std::uint64_t address,
                                             std::uint64_t generation) {
    HF_ASSERT(data.size() % kPatternUnitBytes == 0 && address % kPatternUnitBytes == 0);
    for (std::size_t at = 0; at < data.size(); at += kPatternUnitBytes) {
        const Unit expected = unit_of(address + at, generation);
        Unit found{};
        std::memcpy(found.data(), data.subspan(at, kPatternUnitBytes).data(), kPatternUnitBytes);
        if (found == expected) continue;
        return PatternMismatch{.fault = fault_of(found, expected),
                               .expected_address = expected[1],
                               .found_address = found[1],
                               .expected_generation = generation,
                               .found_generation = found[2]};
    }
    return {};
}

std::string sentence_of(const PatternMismatch& mismatch) {
    const std::uint64_t at = mismatch.expected_address;
    switch (mismatch.fault) {
    case PatternFault::NotOurs:
        return fmt::format(
            "at byte {} there is no pattern at all; was the range written with "
            "'holdfast verify'?",
            at);
    case PatternFault::WrongAddress:
        return fmt::format(
            "at byte {} stands the block of byte {}: it was written to the wrong "
            "place",
            at, mismatch.found_address);
    case PatternFault::WrongGeneration:
        return fmt::format(
            "at byte {} stands the pattern of seed {} instead of {}: a write was "
            "lost, or --seed is another one",
            at, mismatch.found_generation, mismatch.expected_generation);
    case PatternFault::Torn: break;
    }
    return fmt::format("the block at byte {} is torn: its head is right, the rest is not", at);
}

}  // namespace holdfast::daemon
