#include "daemon/client/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "initiator/recorder.h"

namespace holdfast::daemon {

namespace {

constexpr const char* kFooter =
    "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 authentication, 4 not found,\n"
    "5 unreachable, 6 protocol, 7 verify mismatch, 8 no daemon, 9 not permitted, 10 tier too low,\n"
    "11 exists or busy, 12 timeout, 13 device error.\n"
    "Passwords: --password-file, HOLDFAST_PASSWORD, or the prompt.";

CLI::App& add_verb(CLI::App& app, Options& options, Verb verb, const char* name, const char* help) {
    CLI::App* made = app.add_subcommand(name, help);
    made->callback([&options, verb] { options.verb = verb; });
    made->add_flag("--json", options.json, "Print JSON");
    return *made;
}

void add_daemon(CLI::App& verb, Options& options) {
    verb.add_option("--socket", options.socket, "Control socket of holdfastd");
}

void add_credentials(CLI::App& verb, SessionOptions& session) {
    verb.add_option("--password-file", session.password_file, "File with the CHAP password");
    verb.add_option("--mutual-user", session.mutual_user, "Name that the target must prove");
    verb.add_option("--mutual-password-file", session.mutual_password_file,
                    "File with the target's password");
    verb.add_flag("--chap-md5-only", session.md5_only, "Offer CHAP with MD5 alone");
}

void add_tuning(CLI::App& verb, SessionOptions& session) {
    verb.add_option("--header-digest", session.header_digest, "prefer, require or never");
    verb.add_option("--data-digest", session.data_digest, "prefer, require or never");
    verb.add_option("--depth", session.depth, "Requests at once");
    verb.add_option("--request-size", session.request_size, "Largest request, such as 128KiB");
}

void add_set(CLI::App& verb, SessionOptions& session) {
    verb.add_option("--set", session.set,
                    "KEY=VALUE of the configuration, such as timers.login=5s, connections=2 or "
                    "negotiation.error_recovery_level=1; repeatable")
        ->allow_extra_args(false);
}

/// Verbs that open a session in this process.
void add_session(CLI::App& verb, SessionOptions& session) {
    verb.add_option("URL", session.url, "iscsi://[user@]host[:port]/target/lun")->required();
    add_credentials(verb, session);
    add_tuning(verb, session);
    add_set(verb, session);
    verb.add_flag("--zero-copy", session.zero_copy,
                  "With path=xdp: refuse when the driver would copy");
    verb.add_option("--initiator-name", session.initiator_name, "Name to log in with");
    verb.add_option("--timeout", session.timeout_s, "Seconds for logging in")
        ->check(CLI::Range(1, 3600));
    verb.add_option("--patience", session.patience_s, "Seconds to wait for a lost session")
        ->check(CLI::Range(1, 86400));
}

void add_range(CLI::App& verb, RangeOptions& range) {
    verb.add_option("--offset", range.offset, "First byte, such as 0 or 1GiB");
    verb.add_option("--length", range.length, "Bytes, such as 64MiB");
}

void add_attach(CLI::App& app, Options& options) {
    CLI::App& verb = add_verb(app, options, Verb::Attach, "attach", "Attach a LUN");
    AttachOptions& attach = options.attach;
    verb.add_option("NAME|URL", options.session.url, "Name in the configuration, or a URL")
        ->required();
    verb.add_option("--name", attach.name, "Name of the attachment");
    verb.add_option("--profile", attach.profile, "swap, root, data or multipath");
    verb.add_option("--export", attach.exported, "ublk or nbd");
    verb.add_option("--nbd-socket", attach.nbd_socket, "Socket of the NBD export");
    verb.add_option("--ublk-id", attach.ublk_id, "N of /dev/ublkbN");
    verb.add_option("--slot", attach.slot, "Distinguishes attachments of one LUN");
    verb.add_option("--connections", attach.connections, "TCP connections of the session");
    verb.add_option("--path", attach.path, "Who carries the TCP: kernel, xdp or auto");
    verb.add_option("--tier", attach.tier, "Least promise that will do: A, B or C");
    verb.add_flag("--read-only", attach.read_only, "Refuse writes");
    verb.add_flag("--shared", attach.shared, "Others use the LUN too");
    verb.add_flag("--force-tier", attach.force_tier, "Go on when the machine promises less");
    verb.add_flag("--without-lockdown", attach.without_lockdown, "No protections; for tests");
    verb.add_flag("--keep-kernel-reserve", attach.keep_kernel_reserve,
                  "Leave vm.min_free_kbytes alone");
    verb.add_flag("--keep-trying", attach.keep_trying, "Leave it in place when it takes longer");
    add_set(verb, options.session);
    verb.add_option("--wait", attach.wait_s, "Seconds to wait until it is ready");
    add_credentials(verb, options.session);
    add_tuning(verb, options.session);
    add_daemon(verb, options);
}

void add_daemon_verbs(CLI::App& app, Options& options) {
    add_attach(app, options);
    CLI::App& detach = add_verb(app, options, Verb::Detach, "detach", "Detach a LUN");
    detach.add_option("NAME", options.name, "Attachment")->required();
    detach.add_flag("--force", options.force, "Even when it is in use; do not wait for the target");
    detach.add_option("--wait", options.attach.wait_s, "Seconds to wait");
    add_daemon(detach, options);
    CLI::App& upgrade =
        add_verb(app, options, Verb::Upgrade, "upgrade", "Let the installed program serve");
    upgrade.add_option("NAME", options.name, "Attachment")->required();
    upgrade.add_option("--wait", options.attach.wait_s, "Seconds to wait");
    add_daemon(upgrade, options);
    add_daemon(add_verb(app, options, Verb::List, "list", "List attachments"), options);
    CLI::App& status = add_verb(app, options, Verb::Status, "status", "Show everything");
    status.add_option("NAME", options.name, "Attachment; all without");
    status.add_flag("--security", options.security, "Layers of each process, as the kernel tells");
    add_daemon(status, options);
    add_daemon(add_verb(app, options, Verb::Metrics, "metrics", "Print metrics for Prometheus"),
               options);
    CLI::App& udev = add_verb(app, options, Verb::UdevInfo, "udev-info", "Properties for udev");
    udev.add_option("DEVICE", options.name, "Such as ublkb0")->required();
    add_daemon(udev, options);
    CLI::App& trace =
        add_verb(app, options, Verb::Trace, "trace", "Dump the last headers and states as pcapng");
    trace.add_option("NAME", options.name, "Attachment")->required();
    trace.add_option("--output", options.output, "File to write; standard output without");
    add_daemon(trace, options);
    CLI::App& pressure = add_verb(app, options, Verb::Pressure, "pressure",
                                  "Show or force what the classifiers drop");
    pressure.add_option("MODE", options.mode, "auto, on or off; without it only show");
    add_daemon(pressure, options);
    add_daemon(add_verb(app, options, Verb::Version, "version", "Versions of client and daemon"),
               options);
}

void add_host_verbs(CLI::App& app, Options& options) {
    CLI::App& plan = add_verb(app, options, Verb::Plan, "plan", "Show the memory plan");
    plan.add_option("--sessions", options.plan.sessions, "Attachments")->check(CLI::Range(1, 1024));
    plan.add_option("--profile", options.plan.profile, "swap, root, data or multipath");
    plan.add_option("--export", options.plan.exported, "ublk or nbd");
    plan.add_option("--depth", options.session.depth, "Requests at once");
    plan.add_option("--request-size", options.session.request_size, "Largest request");
    plan.add_option("--path", options.attach.path, "kernel or xdp");
    plan.add_option("--connections", options.attach.connections, "TCP connections per session");
    add_verb(app, options, Verb::CheckHost, "check-host", "What this machine can promise");
}

void add_unit_verbs(CLI::App& app, Options& options) {
    CLI::App& discover = add_verb(app, options, Verb::Discover, "discover", "List targets");
    discover
        .add_option("URL|HOST", options.session.url, "iscsi://[user@]host[:port] or host[:port]")
        ->required();
    add_credentials(discover, options.session);
    add_set(discover, options.session);
    discover.add_option("--initiator-name", options.session.initiator_name, "Name to log in with");
    discover.add_option("--timeout", options.session.timeout_s, "Seconds for logging in")
        ->check(CLI::Range(1, 3600));
    CLI::App& read = add_verb(app, options, Verb::Read, "read", "Copy a LUN to standard output");
    add_session(read, options.session);
    add_range(read, options.range);
    CLI::App& write = add_verb(app, options, Verb::Write, "write", "Copy standard input to a LUN");
    add_session(write, options.session);
    add_range(write, options.range);
    CLI::App& verify =
        add_verb(app, options, Verb::Verify, "verify", "Write a pattern and read it back");
    add_session(verify, options.session);
    add_range(verify, options.range);
    verify.add_option("--seed", options.seed, "Generation of the pattern");
    verify.add_flag("--read-only", options.read_only_check, "Check what an earlier run wrote");
    CLI::App& bench = add_verb(app, options, Verb::Bench, "bench", "Measure a LUN");
    add_session(bench, options.session);
    add_range(bench, options.range);
    bench.add_option("--rw", options.bench.workload, "read, write, randread, randwrite, randrw");
    bench.add_option("--bs", options.bench.block_size, "Bytes per request");
    bench.add_option("--seconds", options.bench.seconds, "How long")
        ->check(CLI::Range(0.1, 86400.0));
    bench.add_option("--requests", options.bench.requests, "End after so many");
    bench.add_option("--warm-up", options.bench.warm_up, "Requests before the measurement");
    bench.add_option("--seed", options.seed, "Of the random addresses");
    bench.add_option("--record", options.bench.records, "Headers to record, as the daemon does")
        ->check(CLI::Range(0U, initiator::RecorderShape::kRecordsMax));
}

}  // namespace

std::expected<Options, CommandLineEnd> parse_command_line(std::vector<std::string> words) {
    Options options;
    CLI::App app{"Holdfast: iSCSI LUNs that survive memory pressure", "holdfast"};
    app.require_subcommand(1);
    app.footer(kFooter);
    add_daemon_verbs(app, options);
    add_host_verbs(app, options);
    add_unit_verbs(app, options);
    std::ranges::reverse(words);  // What CLI11 wants.
    try {
        app.parse(std::move(words));
    } catch (const CLI::CallForHelp&) {
        const auto chosen = app.get_subcommands();
        const CLI::App& about = chosen.empty() ? app : *chosen.front();
        return std::unexpected{CommandLineEnd{.code = ExitCode::Ok, .text = about.help()}};
    } catch (const CLI::ParseError& error) {
        return std::unexpected{CommandLineEnd{
            .code = ExitCode::Usage,
            .text =
                fmt::format("holdfast: {}; 'holdfast --help' shows the verbs\n", error.what())}};
    }
    return options;
}

}  // namespace holdfast::daemon
