/// What verbs give back: JSON for programs and text for people, of which one is printed.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/control/failure.h"
#include "daemon/control/wire.h"

namespace holdfast::daemon {

/// The result of a verb.
struct Output {
    Json json;
    std::string text;  ///< With line ends.
    /// Something else has standard output already (read): the text goes to standard error.
    bool stdout_is_taken = false;
};

/// A table with aligned columns; every row has the same number of cells.
class Table {
public:
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    [[nodiscard]] std::string text() const;

private:
    std::vector<std::vector<std::string>> rows_;
};

/// Prints and gives the exit code.
[[nodiscard]] int print(const OrFailure<Output>& output, bool as_json);

}  // namespace holdfast::daemon
