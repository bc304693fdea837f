#include "daemon/client/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace holdfast::daemon {

namespace {

/// A reader that has gone is no error of ours.
void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t done = ::write(fd, text.data(), text.size());
        if (done <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(done));
    }
}

std::string json_text(const Json& json) {
    constexpr int kIndent = 2;
    return json.dump(kIndent, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i)
            line += fmt::format("{:<{}}", row[i], i + 1 == row.size() ? 0 : widths[i] + 2);
        text += line + '\n';
    }
    return text;
}

int print(const OrFailure<Output>& output, bool as_json) {
    if (!output) {
        const Failure& failure = output.error();
        if (as_json) {
            Json json;
            json["ok"] = false;
            json["exit_code"] = static_cast<int>(failure.code);
            json["error"] = failure.sentence;
            write_all(STDOUT_FILENO, json_text(json));
        }
        write_all(STDERR_FILENO, fmt::format("holdfast: {}\n", failure.sentence));
        return static_cast<int>(failure.code);
    }
    const int fd = output->stdout_is_taken ? STDERR_FILENO : STDOUT_FILENO;
    write_all(fd, as_json ? json_text(output->json) : output->text);
    return static_cast<int>(ExitCode::Ok);
}

}  // namespace holdfast::daemon
