/// A unit as the probe sees it, for tests: an answer to each command by the command's name.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "initiator/scsi/lun.h"
#include "initiator/scsi/probe_machine.h"
#include "tests/initiator/scsi/bytes_text.h"

namespace holdfast::initiator::scsi {

/// What a unit answers to one command.
struct Answer {
    CommandEnd end{};
    std::vector<std::byte> sense_segment{};
    std::vector<std::byte> data{};

    /// With the sense; lives as long as this.
    [[nodiscard]] CommandEnd whole_end() const {
        CommandEnd whole = end;
        whole.data_segment = sense_segment;
        return whole;
    }
};

[[nodiscard]] inline Answer good(std::vector<std::byte> data) {
    return {.data = std::move(data)};
}

[[nodiscard]] inline Answer check(int key, int code) {
    Answer answer{.end = {.status = Status::CheckCondition}};
    answer.sense_segment = hex("00 12 70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00");
    answer.sense_segment[4] = std::byte(key);
    answer.sense_segment[14] = std::byte(code >> 8);
    answer.sense_segment[15] = std::byte(code & 0xff);
    return answer;
}

[[nodiscard]] inline Answer status(Status of) {
    return {.end = {.status = of}};
}

/// A unit by the commands it knows; names as in name_of().
struct Unit {
    std::map<std::string, Answer> answers;
    std::map<std::string, std::vector<Answer>> first{};  // Given before, one each time.
    std::vector<std::string> asked{};
};

[[nodiscard]] inline std::string name_of(const ProbeCommand& command) {
    const auto at = [&command](std::size_t i) { return std::to_integer<int>(command.cdb[i]); };
    const auto operation = static_cast<Operation>(at(0));
    if (operation == Operation::ReportLuns) return "luns";
    if (operation == Operation::TestUnitReady) return "ready";
    if (operation == Operation::ServiceActionIn16) return "capacity";
    if (operation == Operation::ModeSense6) return at(2) == 8 ? "mode6" : "modeall";
    if (operation == Operation::ModeSense10) return "mode10";
    if (operation == Operation::MaintenanceIn) return at(1) == 0x0d ? "functions" : "known";
    EXPECT_EQ(operation, Operation::Inquiry);
    return at(1) == 0 ? "inquiry" : "vpd" + std::to_string(at(2));
}

/// A thin disk that knows everything.
[[nodiscard]] inline Unit whole_unit() {
    return {.answers = {
                {"luns", good(hex("00000010 00000000 0000000000000000 0001000000000000"))},
                {"inquiry", good(joined(hex("00 00 05 12 1f 00 10 02"),
                                        ascii("HFTARGETRAM DISK        1.0 ")))},
                {"ready", good({})},
                {"vpd0", good(hex("00 00 00 06 00 80 83 b0 b1 b2"))},
                {"vpd128", good(joined(hex("00 80 00 08"), ascii("  SER123")))},
                {"vpd131", good(hex("00 83 00 0c 01 03 00 08 60 01 02 03 04 05 06 07"))},
                {"vpd176", good(hex("00 b0 00 3c 00 00 00 00 00 00 80 00 00 00 04 00"
                                    "00 00 00 00 00 01 00 00 00 00 00 40 00 00 00 08"
                                    "80 00 00 00 00 00 00 00 00 00 20 00"))},
                {"vpd177", good(hex("00 b1 00 3c 00 01"))},
                {"vpd178", good(hex("00 b2 00 04 00 c4 02 00"))},
                {"capacity", good(joined(hex("00000000000fffff 00000200 00 03 c0 00"),
                                         std::vector<std::byte>(16)))},
                {"mode6", good(hex("17 00 10 00 08 12 04 00"))},
                {"functions", good(hex("88 00 00 00"))},
            }};
}

inline constexpr Lun kLun{0x0001'0000'0000'0000};

/// The answer that is due to the command of this name.
[[nodiscard]] inline Answer answer_of(Unit& unit, const std::string& name, std::size_t bytes_max) {
    Answer answer = unit.answers.contains(name) ? unit.answers[name] : check(5, 0x2000);
    auto& once = unit.first[name];
    if (!once.empty()) {
        answer = once.front();
        once.erase(once.begin());
    }
    answer.data.resize(std::min(answer.data.size(), bytes_max));
    return answer;
}

}  // namespace holdfast::initiator::scsi
