#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "daemon/client/daemon_client.h"
#include "daemon/client/progress.h"
#include "daemon/client/settings_from_options.h"
#include "daemon/client/verbs.h"
#include "daemon/control/file.h"

namespace holdfast::daemon {

namespace {

OrFailure<Json> ask(const Options& options, std::string verb, Json arguments) {
    return ask_daemon(control_socket_path(options.socket),
                      {.verb = std::move(verb), .arguments = std::move(arguments)});
}

OrFailure<Output> attach(const Options& options) {
    auto arguments = attach_arguments(options);
    if (!arguments) return std::unexpected{arguments.error()};
    auto answer = ask(options, "attach", *std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    Output output{.json = *answer, .text = {}};
    const std::string where = answer->value("link", answer->value("device", ""));
    output.text = fmt::format("{} is ready: {}, {}, tier {}\n", answer->value("name", ""), where,
                              size_text(answer->value("size_bytes", std::uint64_t{0})),
                              answer->value("tier", "?"));
    return output;
}

OrFailure<Output> detach(const Options& options) {
    Json arguments;
    arguments["name"] = options.name;
    arguments["force"] = options.force;
    arguments["wait_seconds"] = options.attach.wait_s;
    auto answer = ask(options, "detach", std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    return Output{.json = *answer, .text = fmt::format("{} is detached\n", options.name)};
}

OrFailure<Output> upgrade(const Options& options) {
    Json arguments;
    arguments["name"] = options.name;
    arguments["wait_seconds"] = options.attach.wait_s;
    auto answer = ask(options, "upgrade", std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    return Output{.json = *answer,
                  .text = fmt::format("{} is served by the installed program; requests waited "
                                      "{:.0f} ms\n",
                                      options.name, answer->value("pause_ms", 0.0))};
}

std::string list_text(const Json& answer) {
    Table table;
    table.add({"NAME", "STATE", "SESSION", "PROFILE", "TIER", "SIZE", "DEVICE", "TARGET"});
    for (const Json& row : answer.value("attachments", Json::array())) {
        const auto cell = [&row](const char* key) { return row.value(key, std::string{"-"}); };
        table.add(
            {cell("name"), cell("state"), cell("session"), cell("profile"), cell("tier"),
             row.contains("size_bytes") ? size_text(row["size_bytes"].get<std::uint64_t>()) : "-",
             cell("device"), cell("target")});
    }
    return table.text();
}

OrFailure<Output> list(const Options& options) {
    auto answer = ask(options, "list", Json::object());
    if (!answer) return std::unexpected{answer.error()};
    return Output{.json = *answer, .text = list_text(*answer)};
}

OrFailure<Output> status(const Options& options) {
    Json arguments = Json::object();
    if (!options.name.empty()) arguments["name"] = options.name;
    if (options.security) arguments["security"] = true;
    auto answer = ask(options, "status", std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    Output output{.json = *answer, .text = {}};
    if (options.security) {
        output.text = security_text(*answer);
        return output;
    }
    for (const Json& one : answer->value("attachments", Json::array()))
        output.text += status_text(one);
    if (output.text.empty()) output.text = "nothing is attached; see 'holdfast attach --help'\n";
    return output;
}

/// Metrics and udev properties are text already.
OrFailure<Output> plain_text(const Options& options, std::string verb, Json arguments) {
    auto answer = ask(options, std::move(verb), std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    return Output{.json = *answer, .text = answer->value("text", "")};
}

OrFailure<Output> pressure(const Options& options) {
    Json arguments = Json::object();
    if (!options.mode.empty()) arguments["mode"] = options.mode;
    auto answer = ask(options, "pressure", std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    Output output{.json = *answer, .text = {}};
    for (const Json& one : answer->value("classifiers", Json::array()))
        output.text += classifier_text(one);
    return output;
}

/// A capture into a file or a pipe; a terminal would only be spoilt by it.
OrFailure<Output> trace(const Options& options) {
    const bool to_stdout = options.output.empty();
    if (to_stdout && ::isatty(STDOUT_FILENO) != 0)
        return fail(ExitCode::Usage,
                    "a capture is not for a terminal; give --output FILE, or pipe it into "
                    "'tshark -r -'");
    Json arguments;
    arguments["name"] = options.name;
    const auto answer = ask(options, "trace", std::move(arguments));
    if (!answer) return std::unexpected{answer.error()};
    const auto capture = bytes_from_hex(answer->value("pcapng", "?"));
    if (!capture)
        return fail(ExitCode::Protocol,
                    "holdfastd's answer is no capture; install client and daemon of the same "
                    "release");
    constexpr mode_t kMode = 0600;
    Output output;
    output.json["name"] = options.name;
    output.json["bytes"] = capture->size();
    if (to_stdout) {
        output.stdout_is_taken = true;
        if (const auto written = write_all(STDOUT_FILENO, *capture); !written)
            return fail(ExitCode::Failed,
                        fmt::format("cannot write the capture: {}", written.error().text()));
        return output;
    }
    if (const auto written = write_file(options.output, *capture, kMode); !written)
        return fail(ExitCode::Failed,
                    fmt::format("cannot write {}: {}", options.output, written.error().text()));
    output.json["output"] = options.output;
    output.text = fmt::format("{} bytes in {}; look at it with 'tshark -r {}'\n", capture->size(),
                              options.output, options.output);
    return output;
}

/// Works without a daemon: then only the client's own version is known.
Output version(const Options& options) {
    Output output;
    output.json["client"] = HF_VERSION;
    output.json["wire_version"] = kWireVersion;
    output.text = fmt::format("holdfast {}\n", HF_VERSION);
    const auto answer = ask(options, "version", Json::object());
    if (answer) {
        output.json["daemon"] = answer->value("version", "?");
        output.text += fmt::format("holdfastd {}\n", answer->value("version", "?"));
    } else {
        output.json["daemon"] = nullptr;
        output.text += "holdfastd does not run\n";
    }
    return output;
}

}  // namespace

OrFailure<Output> run_daemon_verb(const Options& options) {
    if (options.verb == Verb::Attach) return attach(options);
    if (options.verb == Verb::Detach) return detach(options);
    if (options.verb == Verb::Upgrade) return upgrade(options);
    if (options.verb == Verb::List) return list(options);
    if (options.verb == Verb::Status) return status(options);
    if (options.verb == Verb::Metrics) return plain_text(options, "metrics", Json::object());
    if (options.verb == Verb::UdevInfo) {
        Json arguments;
        arguments["device"] = options.name;
        return plain_text(options, "udev-info", std::move(arguments));
    }
    if (options.verb == Verb::Trace) return trace(options);
    if (options.verb == Verb::Pressure) return pressure(options);
    return version(options);
}

}  // namespace holdfast::daemon
