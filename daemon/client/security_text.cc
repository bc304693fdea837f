#include <fmt/format.h>

#include <string>
#include <utility>

#include "daemon/client/output.h"
#include "daemon/client/verbs.h"

namespace holdfast::daemon {

namespace {

/// More than these are told by their number.
constexpr std::size_t kNamedMax = 3;

std::string cell(const Json& process, const char* key) {
    const auto found = process.find(key);
    if (found == process.end()) return "-";
    if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
    return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string capabilities_cell(const Json& process) {
    const auto found = process.find("capabilities");
    if (found == process.end() || !found->is_array()) return "-";
    if (found->empty()) return "none";
    if (found->size() > kNamedMax) return fmt::format("{} of them", found->size());
    std::string text;
    for (const Json& name : *found) {
        if (!text.empty()) text += ',';
        text += name.is_string() ? name.get<std::string>() : name.dump();
    }
    return text;
}

std::string filter_cell(const Json& process) {
    std::string mode = cell(process, "seccomp");
    if (mode != "filter") return mode;
    return fmt::format("{} x {}", mode, cell(process, "seccomp_filters"));
}

std::string scheduling_cell(const Json& process) {
    std::string policy = cell(process, "scheduling");
    if (policy != "SCHED_FIFO" && policy != "SCHED_RR") return policy;
    return fmt::format("{} {}", policy, cell(process, "priority"));
}

/// What each I/O process has read back itself: the kernel tells it to nobody else.
void add_rows(std::string& text, const Json& attachment) {
    text += fmt::format("\n{}, as its own process read it back\n", attachment.value("name", ""));
    Table table;
    for (const Json& row : attachment.value("protections", Json::array()))
        table.add({row.value("holds", false) ? "  ok" : "  MISSING", row.value("name", "-"),
                   row.value("found", "-"), row.value("advice", "")});
    text += table.text();
}

}  // namespace

std::string security_text(const Json& answer) {
    Table table;
    table.add({"PROCESS", "OF", "PID", "UID", "GID", "SECCOMP", "NO NEW PRIVS", "CAPABILITIES",
               "MOUNTS", "SCHEDULING", "LOCKED KiB", "OOM"});
    for (const Json& process : answer.value("security", Json::array()))
        table.add({cell(process, "role"), cell(process, "attachment"), cell(process, "pid"),
                   cell(process, "uid"), cell(process, "gid"), filter_cell(process),
                   cell(process, "no_new_privs"), capabilities_cell(process),
                   cell(process, "mount_namespace"), scheduling_cell(process),
                   cell(process, "locked_kib"), cell(process, "oom_score_adj")});
    std::string text = table.text();
    for (const Json& process : answer.value("security", Json::array()))
        if (process.contains("note"))
            text += fmt::format("{}: {}\n", cell(process, "role"), cell(process, "note"));
    for (const Json& attachment : answer.value("attachments", Json::array()))
        if (attachment.contains("protections")) add_rows(text, attachment);
    return text;
}

}  // namespace holdfast::daemon
