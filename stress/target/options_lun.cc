#include <algorithm>
#include <fstream>
#include <iterator>

#include "stress/target/options.h"
#include "stress/target/text.h"
#include "stress/target/units_text.h"

namespace holdfast::target {
namespace {

using Problem = std::optional<std::string>;

/// So that every page it appears in stays below 256 bytes.
constexpr std::size_t kSerialBytesMax = 64;

Problem set_flag(bool& flag, std::string_view value) {
    flag = value == "on" || value == "yes" || value.empty();
    if (flag || value == "off" || value == "no") return {};
    return "needs on or off, not '" + std::string{value} + "'";
}

Problem set_lun_word(LunConfig& lun, std::string_view word) {
    const auto equals = std::min(word.find('='), word.size());
    const auto key = word.substr(0, equals);
    const auto value = word.substr(std::min(equals + 1, word.size()));
    if (key == "cache") return set_flag(lun.cache, value);
    if (key == "ro") return set_flag(lun.read_only, value);
    if (key == "thin") return set_flag(lun.thin, value);
    if (key == "file") {
        lun.file = value;
        return {};
    }
    if (key == "serial") {
        if (value.size() > kSerialBytesMax) return "has a serial longer than 64 bytes";
        lun.serial = value;
        return {};
    }
    const auto number = parse_size(value);
    if (key == "id") {
        if (!number || *number > 0x3fff) return "needs an id from 0 to 16383";
        lun.id = static_cast<std::uint16_t>(*number);
    } else if (key == "size") {
        if (!number || *number == 0) return "needs a size such as 64M or 1G";
        lun.size_bytes = *number;
    } else if (key == "block") {
        if (number != 512U && number != 4096U) return "needs block=512 or block=4096";
        lun.block_bytes = static_cast<std::uint32_t>(*number);
    } else {
        return "knows no '" + std::string{key} +
               "'; words are id, size, block, cache, ro, thin, file, serial";
    }
    return {};
}

}  // namespace

std::expected<LunConfig, std::string> parse_lun(std::string_view text) {
    LunConfig lun;
    for (const auto word : split_list(text)) {
        if (auto problem = set_lun_word(lun, word))
            return std::unexpected{"--lun " + std::string{text} + " " + *problem};
    }
    if (lun.size_bytes % lun.block_bytes != 0)
        return std::unexpected{"--lun " + std::string{text} +
                               " has a size that is no multiple of its block"};
    return lun;
}

std::expected<std::vector<FaultRule>, std::string> read_fault_file(const std::string& path) {
    std::ifstream file{path};
    if (!file) return std::unexpected{"cannot read the fault file " + path};
    std::vector<FaultRule> rules;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line.substr(first, 1) == "#") continue;
        auto rule = parse_fault(line);
        if (!rule)
            return std::unexpected{path + ":" + std::to_string(number) + ": " + rule.error()};
        rules.push_back(std::move(*rule));
    }
    return rules;
}

}  // namespace holdfast::target
