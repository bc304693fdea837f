/// Work that waits for its time: delayed commands and PDUs, and writes that execute late.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "stress/target/link.h"
#include "stress/target/scsi.h"

namespace holdfast::target {

/// A command whose execution waits; gone when its session or task is gone.
struct DelayedTask {
    SessionId session = kNoSession;
    std::uint32_t itt = 0;
};

/// A write with all its data that executes at its time whatever became of its connection, as a
/// target's back end may do it. Only a reset of the unit, an abort of the task, a power cut or a
/// proper reinstatement of its nexus stops it.
struct HeldWrite {
    DelayedTask task{};
    std::uint16_t lun = 0;
    Cdb cdb{};
    std::vector<std::byte> data{};
    std::string nexus{};
};

/// A PDU that is looked at late.
struct DelayedPdu {
    LinkId link = 0;
    StoredPdu pdu{};
};

/// Time2Wait and Time2Retain of a lost connection are over.
struct RetainEnd {
    SessionId session = kNoSession;
    LinkId link = 0;
};

using LaterItem = std::variant<DelayedTask, HeldWrite, DelayedPdu, RetainEnd>;
using Later = std::multimap<Instant, LaterItem>;

}  // namespace holdfast::target
