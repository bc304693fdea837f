#include "daemon/control/security_json.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/control/file.h"
#include "reserve/number_text.h"

namespace holdfast::daemon {

namespace {

constexpr std::size_t kProcFileBytesMax = 16 * 1024;

// In the order of their bits; linux/capability.h up to CAP_CHECKPOINT_RESTORE.
constexpr std::array<std::string_view, 41> kCapabilities{"chown",
                                                         "dac_override",
                                                         "dac_read_search",
                                                         "fowner",
                                                         "fsetid",
                                                         "kill",
                                                         "setgid",
                                                         "setuid",
                                                         "setpcap",
                                                         "linux_immutable",
                                                         "net_bind",
                                                         "net_broadcast",
                                                         "net_admin",
                                                         "net_raw",
                                                         "ipc_lock",
                                                         "ipc_owner",
                                                         "sys_module",
                                                         "sys_rawio",
                                                         "sys_chroot",
                                                         "sys_ptrace",
                                                         "sys_pacct",
                                                         "sys_admin",
                                                         "sys_boot",
                                                         "sys_nice",
                                                         "sys_resource",
                                                         "sys_time",
                                                         "sys_tty_config",
                                                         "mknod",
                                                         "lease",
                                                         "audit_write",
                                                         "audit_control",
                                                         "setfcap",
                                                         "mac_override",
                                                         "mac_admin",
                                                         "syslog",
                                                         "wake_alarm",
                                                         "block_suspend",
                                                         "audit_read",
                                                         "perfmon",
                                                         "bpf",
                                                         "checkpoint_restore"};
constexpr std::array<std::string_view, 3> kSeccompModes{"off", "strict", "filter"};
constexpr std::array<std::string_view, 4> kPolicies{"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",
                                                    "SCHED_BATCH"};

// Fields of /proc/PID/stat, counted from 1; see proc(5).
constexpr std::size_t kFieldFlags = 9;
constexpr std::size_t kFieldPriority = 40;
constexpr std::size_t kFieldPolicy = 41;
constexpr std::uint64_t kIoFlusher = 0x0018'0000;  // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE.

/// What stands behind "key:"; empty when no line has it.
std::string_view value_of(std::string_view status, std::string_view key) {
    const std::string start = fmt::format("\n{}:", key);
    const std::size_t at = status.find(start);
    if (at == std::string_view::npos) return {};
    const std::string_view rest = status.substr(at + start.size());
    return reserve::without_leading_blanks(rest.substr(0, rest.find('\n')));
}

std::optional<std::uint64_t> number_of(std::string_view text, int base = 10) {
    return reserve::try_take_number<std::uint64_t>(text, base);
}

template <std::size_t N>
std::string name_at(const std::array<std::string_view, N>& names, std::uint64_t index) {
    return index < N ? std::string{names[index]} : fmt::format("{}", index);
}

/// Names of all bits that are set; "all" for those of a process with every right.
Json capabilities_json(std::uint64_t bits) {
    Json list = Json::array();
    for (std::uint64_t bit = 0; bit < 64; ++bit) {
        if ((bits >> bit & 1) != 0) list.push_back(name_at(kCapabilities, bit));
    }
    return list;
}

void add_number(Json& json, const char* key, std::string_view text) {
    if (const auto number = number_of(text)) json[key] = *number;
}

/// Numbers of further groups.
Json groups_json(std::string_view text) {
    Json list = Json::array();
    while (const auto number = reserve::try_take_number<std::uint64_t>(text)) {
        list.push_back(*number);
        text = reserve::without_leading_blanks(text);
    }
    return list;
}

void add_status(Json& json, std::string_view status) {
    add_number(json, "uid", value_of(status, "Uid"));
    add_number(json, "gid", value_of(status, "Gid"));
    if (status.find("\nGroups:") != std::string_view::npos)
        json["groups"] = groups_json(value_of(status, "Groups"));
    add_number(json, "threads", value_of(status, "Threads"));
    add_number(json, "locked_kib", value_of(status, "VmLck"));
    if (const auto set = number_of(value_of(status, "NoNewPrivs")))
        json["no_new_privs"] = *set != 0;
    if (const auto mode = number_of(value_of(status, "Seccomp")))
        json["seccomp"] = name_at(kSeccompModes, *mode);
    add_number(json, "seccomp_filters", value_of(status, "Seccomp_filters"));
    // What it has, and what a program that it starts could get.
    if (const auto bits = number_of(value_of(status, "CapPrm"), 16))
        json["capabilities"] = capabilities_json(*bits);
    if (const auto bits = number_of(value_of(status, "CapBnd"), 16))
        json["capabilities_bound"] = capabilities_json(*bits);
}

void add_stat(Json& json, std::string_view stat) {
    // The name in brackets may contain anything.
    const std::size_t bracket = stat.rfind(')');
    if (bracket == std::string_view::npos) return;
    std::vector<std::string_view> fields(3);  // Number 0, which there is not, 1 and 2.
    std::string_view rest = stat.substr(bracket + 1);
    while (!(rest = reserve::without_leading_blanks(rest)).empty()) {
        const std::size_t end = std::min(rest.find_first_of(" \n"), rest.size());
        fields.push_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (fields.size() <= kFieldPolicy) return;
    if (const auto policy = number_of(fields[kFieldPolicy]))
        json["scheduling"] = name_at(kPolicies, *policy);
    add_number(json, "priority", fields[kFieldPriority]);
    if (const auto flags = number_of(fields[kFieldFlags]))
        json["io_flusher"] = (*flags & kIoFlusher) == kIoFlusher;
}

std::string mounts_of(const std::string& process) {
    std::array<char, 64> room{};
    const std::string path = fmt::format("/proc/{}/ns/mnt", process);
    const ssize_t got = ::readlink(path.c_str(), room.data(), room.size());
    return {room.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

/// "own" or "shared": with us, who have the machine's. Nothing when we may not look.
void add_mounts(Json& json, std::int32_t pid) {
    const std::string ours = mounts_of("self");
    const std::string theirs = mounts_of(fmt::format("{}", pid));
    if (!ours.empty() && !theirs.empty())
        json["mount_namespace"] = ours == theirs ? "shared" : "own";
}

}  // namespace

Json layers_json(std::string_view status, std::string_view stat) {
    Json json = Json::object();
    add_status(json, status);
    add_stat(json, stat);
    return json;
}

Json security_json(const SecuredProcess& process) {
    Json json;
    json["role"] = process.role;
    if (!process.attachment.empty()) json["attachment"] = process.attachment;
    json["pid"] = process.pid;
    const std::string folder = fmt::format("/proc/{}", process.pid);
    const auto status = read_file(folder + "/status", kProcFileBytesMax);
    const auto stat = read_file(folder + "/stat", kProcFileBytesMax);
    if (!status || !stat) {
        json["gone"] = true;
        return json;
    }
    json.update(layers_json(*status, *stat));
    if (const auto score = read_file(folder + "/oom_score_adj", kProcFileBytesMax)) {
        std::string_view text{*score};
        if (const auto number = reserve::try_take_number<int>(text))
            json["oom_score_adj"] = *number;
    }
    add_mounts(json, process.pid);
    return json;
}

}  // namespace holdfast::daemon
