/// The keys of the configuration, as tables of rules: name, what is expected, how it is applied.
/// Inside of config.cc; apart from it because the tables are long.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "daemon/control/config.h"
#include "daemon/control/settings.h"

namespace holdfast::daemon {

/// Nothing, or what the value should have been: "a number from 1 to 256".
using RuleVerdict = std::expected<void, std::string>;

/// One key of a table that fills a T.
template <class T>
struct Rule {
    std::string_view key;
    RuleVerdict (*apply)(const toml::node& value, T& to);
};

[[nodiscard]] std::span<const Rule<Tuning>> tuning_rules();
[[nodiscard]] std::span<const Rule<initiator::TimerConfig>> timer_rules();
[[nodiscard]] std::span<const Rule<initiator::OperationalWish>> negotiation_rules();
[[nodiscard]] std::span<const Rule<AttachSettings>> attachment_rules();
/// Legal in a client's request only.
[[nodiscard]] std::span<const Rule<AttachSettings>> secret_rules();
[[nodiscard]] std::span<const Rule<Config>> daemon_rules();

}  // namespace holdfast::daemon
