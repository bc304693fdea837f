/// Blocks that know where they belong: each 512 bytes carry their own address, the generation that
/// wrote them, and words that follow from both. A block found in the wrong place, of an old
/// generation, or torn is told apart. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace holdfast::daemon {

inline constexpr std::size_t kPatternUnitBytes = 512;

/// What is wrong with a unit that was read.
enum class PatternFault : std::uint8_t {
    NotOurs,          ///< No magic: never written by a pattern, or zeroed.
    WrongAddress,     ///< Written for another place.
    WrongGeneration,  ///< Of another seed: an old write, or a lost one.
    Torn,             ///< The head is right, what follows is not.
};

struct PatternMismatch {
    PatternFault fault{};
    std::uint64_t expected_address = 0;  ///< Bytes from the start of the unit.
    std::uint64_t found_address = 0;
    std::uint64_t expected_generation = 0;
    std::uint64_t found_generation = 0;
};

/// Fills `data`, which will stand at byte `address` of the device. Both are multiples of
/// kPatternUnitBytes.
void fill_pattern(std::span<std::byte> data, std::uint64_t address, std::uint64_t generation);

/// The first unit that is not what fill_pattern() made.
[[nodiscard]] std::optional<PatternMismatch> check_pattern(std::span<const std::byte> data,
                                                           std::uint64_t address,
                                                           std::uint64_t generation);

/// One sentence for people.
[[nodiscard]] std::string sentence_of(const PatternMismatch& mismatch);

}  // namespace holdfast::daemon
