/// The counters of a target as JSON.
#pragma once

#include <string>

#include "stress/target/target.h"

namespace holdfast::target {

/// One line when `indent` is negative.
[[nodiscard]] std::string stats_json(Target& target, int indent);

}  // namespace holdfast::target
