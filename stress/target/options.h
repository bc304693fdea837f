/// The command line of holdfast-target.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "stress/target/config.h"
#include "stress/target/fault.h"

namespace holdfast::target {

struct Options {
    TargetConfig config;
    std::vector<std::string> listen;
    std::vector<FaultRule> faults;
    std::string fault_file;
    std::string control_path;
    bool control_stdin = false;
    /// Where the JSON goes on exit; '-' is standard output. Empty: nowhere.
    std::string stats;
    /// Where notes go; '-' is standard error. Empty: nowhere.
    std::string log;
    int ready_fd = -1;
};

/// What ends the program before it has begun: text to print and its exit code. Help is code 0, a
/// mistake is 2.
struct EarlyEnd {
    std::string text;
    int exit_code = 2;
};

[[nodiscard]] std::expected<Options, EarlyEnd> parse_options(int argc, char** argv);

/// id=0,size=1G,block=512|4096,cache=on,ro,thin,file=PATH,serial=TEXT; the error is a sentence.
[[nodiscard]] std::expected<LunConfig, std::string> parse_lun(std::string_view text);

/// One rule per line; empty lines and lines that start with # are skipped.
[[nodiscard]] std::expected<std::vector<FaultRule>, std::string> read_fault_file(
    const std::string& path);

}  // namespace holdfast::target
