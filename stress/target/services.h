/// What the sessions of one target share. Everything here is owned by the Target.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "stress/target/config.h"
#include "stress/target/counters.h"
#include "stress/target/later.h"
#include "stress/target/link.h"
#include "stress/target/unit.h"

namespace holdfast::target {

class Session;

using Links = std::unordered_map<LinkId, std::unique_ptr<Link>>;
using Units = std::map<std::uint16_t, LogicalUnit>;
using Sessions = std::map<SessionId, std::unique_ptr<Session>>;

struct Services {
    const TargetConfig& config;
    Units& units;
    Links& links;
    Sessions& sessions;
    Counters& counters;
    SplitMix64& random;
    Later& later;
    Instant now;
    /// Lines for whoever watches; filled only when the configuration asks for it.
    std::vector<std::string> notes{};

    void note(const std::string& line) {
        if (config.take_notes) notes.push_back(line);
    }
    void violation(const std::string& sentence) {
        ++counters.violations[sentence];
        note("violation: " + sentence);
    }
};

}  // namespace holdfast::target
