#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "daemon/client/progress.h"
#include "daemon/client/settings_from_options.h"
#include "daemon/client/verbs.h"
#include "daemon/control/settings.h"
#include "daemon/io/driver.h"
#include "daemon/io/io_process.h"
#include "daemon/io/nbd_export.h"
#include "daemon/io/shared_plan.h"
#include "daemon/shared/shared_area.h"
#include "netpath/classifier/loader.h"
#include "reserve/host_facts.h"
#include "reserve/kernel_need.h"
#include "reserve/plan.h"
#include "reserve/process_plan.h"
#include "reserve/tier.h"

namespace holdfast::daemon {

namespace {

/// What one attachment of these sizes is told.
OrFailure<AttachSpec> planned_spec(const Options& options) {
    const auto profile = profile_from(options.plan.profile);
    if (!profile)
        return fail(ExitCode::Usage,
                    fmt::format("--profile {} is unknown; use swap, root, data or multipath",
                                options.plan.profile));
    const auto exported = export_kind_from(options.plan.exported);
    if (!exported)
        return fail(ExitCode::Usage,
                    fmt::format("--export {} is unknown; use ublk or nbd", options.plan.exported));
    Tuning tuning = default_tuning(*profile);
    if (options.session.depth != 0) tuning.depth = options.session.depth;
    if (!options.session.request_size.empty()) {
        const auto bytes = size_option(options.session.request_size, "--request-size");
        if (!bytes) return std::unexpected{bytes.error()};
        if (*bytes == 0 || *bytes > AttachSpec::kRequestBytesMax || *bytes % 4096 != 0)
            return fail(ExitCode::Usage, "--request-size must be a multiple of 4096 up to 4 MiB");
        tuning.request_bytes = static_cast<std::uint32_t>(*bytes);
    }
    const std::uint16_t depth_max =
        *exported == ExportKind::Ublk ? AttachSpec::kUblkDepthMax : AttachSpec::kDepthMax;
    if (tuning.depth > depth_max)
        return fail(ExitCode::Usage, fmt::format("--depth must be 1 to {}", depth_max));
    AttachSpec spec;
    spec.profile = *profile;
    spec.exported.kind = *exported;
    spec.limits.depth = tuning.depth;
    spec.limits.request_bytes_max = tuning.request_bytes;
    const std::uint32_t connections = options.attach.connections.value_or(1);
    if (connections < 1 || connections > AttachSpec::kConnectionsMax)
        return fail(ExitCode::Usage,
                    fmt::format("--connections must be 1 to {}", AttachSpec::kConnectionsMax));
    spec.limits.connections = static_cast<std::uint8_t>(connections);
    spec.socket = tuning.socket;
    const auto path = network_path_from(options.attach.path.empty() ? to_text(NetworkPath::Kernel)
                                                                    : options.attach.path);
    if (!path)
        return fail(ExitCode::Usage, fmt::format("--path {} is unknown; use kernel, xdp or auto",
                                                 options.attach.path));
    spec.path = *path;
    return spec;
}

reserve::MemoryPlan process_plan(const AttachSpec& spec) {
    reserve::MemoryPlan plan;
    DriverConfig config;
    config.limits = spec.limits;
    if (spec.path == NetworkPath::Xdp) {  // On an interface with one receive queue.
        config.limits.transmit_pieces = kReservedTransmitPieces;
        config.reserved.emplace();
        config.reserved->shape = shape_for(
            config.limits,
            {.send_bytes = spec.socket.send_bytes, .receive_bytes = spec.socket.receive_bytes});
    }
    Driver::add_to_plan(plan, config);
    if (spec.exported.kind == ExportKind::Nbd)
        plan.add_objects<NbdExport>("NBD clients", 1, "sessions and their stages");
    add_shared_area_to_plan(plan, spec);
    return plan;
}

reserve::MemoryPlan kernel_plan(const AttachSpec& spec, std::uint32_t sessions) {
    reserve::MemoryPlan plan;
    const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
    reserve::add_network_to_plan(plan, {.cpus = static_cast<std::uint32_t>(std::max(cpus, 1L)),
                                        .receive_queues = spec.receive_queues});
    const auto guaranteed =
        reserve::socket_buffers_for(spec.limits.depth, spec.limits.request_bytes_max);
    const std::uint32_t send = spec.socket.send_bytes;
    const std::uint32_t receive = spec.socket.receive_bytes;
    const reserve::PacketLoad load{
        .connections = spec.limits.connections * sessions,
        .depth = spec.limits.depth,
        .buffers = {.send_bytes = send == 0 ? guaranteed.send_bytes : send,
                    .receive_bytes = receive == 0 ? guaranteed.receive_bytes : receive}};
    reserve::add_load_to_plan(plan, load);
    return plan;
}

/// What the image of a process of holdfastd takes, measured by itself; the program stands next to
/// ours.
std::optional<reserve::ImageFacts> measured_image() {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return {};
    const auto program = self.parent_path() / "holdfastd";
    if (!std::filesystem::exists(program, error)) return {};
    const std::string command = fmt::format("'{}' --measure 2>/dev/null", program.string());
    struct Close {
        void operator()(std::FILE* pipe) const noexcept { ::pclose(pipe); }
    };
    const std::unique_ptr<std::FILE, Close> pipe{::popen(command.c_str(), "re")};
    if (!pipe) return {};
    std::array<char, 128> line{};
    if (std::fgets(line.data(), static_cast<int>(line.size()), pipe.get()) == nullptr) return {};
    std::string_view rest{line.data()};
    std::array<ByteCount, 5> parts{};
    for (ByteCount& part : parts) {
        std::uint64_t bytes = 0;
        const auto [stop, bad] = std::from_chars(rest.begin(), rest.end(), bytes);
        if (bad != std::errc{}) return {};
        part = ByteCount{bytes};
        rest = {stop, rest.end()};
        if (!rest.empty()) rest.remove_prefix(1);
    }
    return reserve::ImageFacts{.text = parts[0],
                               .constants = parts[1],
                               .data = parts[2],
                               .stack = parts[3],
                               .sparse = parts[4]};
}

Json lines_json(const reserve::MemoryPlan& plan) {
    Json lines = Json::array();
    for (const reserve::PlanLine& line : plan.lines()) {
        Json json;
        json["name"] = line.name;
        json["count"] = line.count;
        json["each_bytes"] = line.each.raw();
        json["bytes"] = line.bytes().raw();
        json["reason"] = line.reason;
        lines.push_back(std::move(json));
    }
    return lines;
}

std::string lines_text(const Json& lines) {
    Table table;
    for (const Json& line : lines)
        table.add({fmt::format("{:>12}", line["bytes"].get<std::uint64_t>()),
                   fmt::format("{} x {}", line["count"].get<std::uint64_t>(),
                               line["each_bytes"].get<std::uint64_t>()),
                   line["name"].get<std::string>(), line["reason"].get<std::string>()});
    return table.text();
}

double mib(std::uint64_t bytes) {
    return static_cast<double>(bytes) / (1024.0 * 1024.0);
}

}  // namespace

OrFailure<Output> run_plan(const Options& options) {
    const auto spec = planned_spec(options);
    if (!spec) return std::unexpected{spec.error()};
    const std::uint32_t sessions = options.plan.sessions;
    const auto image = measured_image();
    reserve::MemoryPlan process = process_plan(*spec);
    reserve::MemoryPlan supervisor;
    if (image) {
        reserve::add_image_to_plan(process, *image, kHeapMore);
        reserve::add_image_to_plan(supervisor, *image, ByteCount{});
    }
    const reserve::MemoryPlan kernel = kernel_plan(*spec, sessions);
    reserve::MemoryPlan shared;
    add_shared_area_to_plan(shared, *spec);
    supervisor.add({.name = "shared areas",
                    .count = sessions,
                    .each = shared.total(),
                    .reason = "heartbeats of each pair"});
    if (image)
        supervisor.add({.name = "maker",
                        .count = 1,
                        .each = image->data + image->sparse,
                        .reason = "at most: writable memory of the process that starts others"});
    const Json lines = lines_json(process);
    const std::uint64_t each = process.total().raw();
    const bool stands_by = default_standby(spec->profile);
    const std::uint64_t standbys = stands_by ? each * sessions : 0;
    const std::uint64_t total = each * sessions + standbys + supervisor.total().raw();
    Output output;
    Json& json = output.json;
    json["profile"] = to_text(spec->profile);
    json["sessions"] = sessions;
    json["depth"] = spec->limits.depth;
    json["request_bytes"] = spec->limits.request_bytes_max;
    json["lines"] = lines;
    json["includes_image"] = image.has_value();
    json["session_bytes"] = each;
    json["standby_bytes"] = standbys;
    json["supervisor_bytes"] = supervisor.total().raw();
    json["total_bytes"] = total;
    json["total_mib"] = mib(total);
    json["kernel_lines"] = lines_json(kernel);
    json["kernel_bytes"] = kernel.total().raw();
    json["kernel_min_free_kib"] = reserve::min_free_kib_for(kernel.total());
    const bool is_reserved = spec->path == NetworkPath::Xdp;
    json["kernel_only_when_copying"] = is_reserved;
    output.text = fmt::format(
        "One session, profile {}, depth {}, requests of {} bytes:\n{}{:>12}  bytes = {:.2f} MiB\n",
        to_text(spec->profile), spec->limits.depth, spec->limits.request_bytes_max,
        lines_text(lines), each, mib(each));
    output.text +=
        fmt::format("{} session{}{} and the supervisor: {:.2f} MiB locked\n", sessions,
                    sessions == 1 ? "" : "s",
                    stands_by ? ", each with a standby of the same size," : "", mib(total));
    if (!image)
        output.text +=
            "The image of the processes is not in this sum: holdfastd does not stand next to "
            "holdfast.\n";
    output.text += fmt::format(
        "\nKernel memory for packets{}:\n{}{:>12}  bytes; vm.min_free_kbytes "
        "= {} while attached\n",
        is_reserved ? ", only where the driver copies: with zero copy none is needed, and "
                      "vm.min_free_kbytes stays as it was"
                    : "",
        lines_text(json["kernel_lines"]), kernel.total().raw(),
        json["kernel_min_free_kib"].get<std::uint64_t>());
    return output;
}

OrFailure<Output> run_check_host() {
    reserve::HostFacts facts = reserve::probe_host();
    // Tried: the programs pass the verifier, and the reclaim events take them. Whether an
    // interface's driver runs them shows when something is attached over it.
    const auto classifier = netpath::classifier::load_classifier({});
    facts.has_drop_gate = classifier.has_value();
    const bool hears_reclaim = classifier && classifier->hears_reclaim();
    const reserve::TierVerdict verdict = reserve::decide_tier(facts);
    Output output;
    Json& json = output.json;
    json["tier"] = reserve::name_of(verdict.tier);
    json["reasons"] = Json::array();
    output.text =
        fmt::format("This machine can promise tier {}.\n", reserve::name_of(verdict.tier));
    for (const reserve::TierReason& reason : verdict.reasons) {
        Json row;
        row["costs"] = reserve::name_of(reason.costs);
        row["text"] = reason.text;
        json["reasons"].push_back(std::move(row));
        output.text +=
            fmt::format("  no tier {}: {}\n", reserve::name_of(reason.costs), reason.text);
    }
    Json& probed = json["facts"];
    probed["kernel"] = fmt::format("{}.{}", facts.kernel_major, facts.kernel_minor);
    probed["io_uring"] = facts.has_io_uring;
    probed["ublk"] = facts.has_ublk;
    probed["seccomp"] = facts.has_seccomp;
    probed["may_lock_memory"] = facts.may_lock_memory;
    probed["may_run_fifo"] = facts.may_run_fifo;
    probed["may_flush_io"] = facts.may_flush_io;
    probed["may_lower_oom_score"] = facts.may_lower_oom_score;
    probed["may_set_kernel_reserve"] = facts.may_set_kernel_reserve;
    probed["classifier_loads"] = facts.has_drop_gate;
    probed["classifier_hears_reclaim"] = hears_reclaim;
    if (::geteuid() != 0)
        output.text +=
            "This is what your own user may do; holdfastd runs as root and may do more: "
            "try sudo holdfast check-host.\n";
    return output;
}

}  // namespace holdfast::daemon
