/// holdfast-target: a user-space iSCSI RAM target with scripted faults.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>

#include "stress/target/options.h"
#include "stress/target/server.h"
#include "stress/target/stats.h"

namespace holdfast::target {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitFailure = 1;

void say(std::FILE* where, const std::string& text) {
    std::fputs(text.c_str(), where);
    std::fflush(where);
}

int fail(const std::string& sentence) {
    say(stderr, "holdfast-target: " + sentence + "\n");
    return kExitFailure;
}

std::expected<std::vector<Storage>, std::string> make_storages(const TargetConfig& config) {
    std::vector<Storage> storages;
    for (const auto& lun : config.luns) {
        auto storage = lun.file.empty() ? Storage::anonymous(lun.size_bytes)
                                        : Storage::shared_file(lun.file, lun.size_bytes);
        if (!storage)
            return std::unexpected{"cannot get memory for LUN " + std::to_string(lun.id) + " " +
                                   lun.file + ": " + storage.error().text()};
        storages.push_back(std::move(*storage));
    }
    return storages;
}

/// The control language: fault rules, and a few words.
std::string obey(Target& target, Server& server, std::string_view line) {
    if (line == "stats") return stats_json(target, -1);
    if (line == "clear") {
        target.clear_faults();
        return "ok";
    }
    if (line == "quit") {
        server.stop();
        return "ok";
    }
    auto rule = parse_fault(line);
    if (!rule) return "error: " + rule.error() + " (also: stats, clear, quit)";
    target.add_fault(std::move(*rule), now());
    return "ok";
}

void reread_faults(Target& target, const std::string& path) {
    auto rules = read_fault_file(path);
    if (!rules) {
        say(stderr, "holdfast-target: " + rules.error() + "\n");
        return;
    }
    target.clear_faults();
    for (auto& rule : *rules) target.add_fault(std::move(rule), now());
}

std::string set_up_control(const Options& options, Target& target, Server& server) {
    const auto on_line = [&](std::string_view line) { return obey(target, server, line); };
    if (!options.control_path.empty()) {
        const auto done = server.control(options.control_path, on_line);
        if (!done) return "cannot listen on " + options.control_path + ": " + done.error().text();
    }
    if (options.control_stdin) {
        if (const auto done = server.control_stdin(on_line); !done)
            return std::string{"cannot read standard input: "} + done.error().text();
    }
    const auto done = server.signals({SIGTERM, SIGINT, SIGHUP}, [&](int number) {
        if (number != SIGHUP) {
            server.stop();
        } else if (!options.fault_file.empty()) {
            reread_faults(target, options.fault_file);
        }
    });
    return done ? "" : std::string{"cannot catch signals: "} + done.error().text();
}

void announce(const Options& options, const std::vector<std::string>& addresses) {
    for (const auto& address : addresses) say(stdout, "listening on " + address + "\n");
    if (options.ready_fd < 0) return;
    static_cast<void>(::write(options.ready_fd, "ready\n", 6) < 0);
    ::close(options.ready_fd);
}

void report(const Options& options, Target& target) {
    if (options.stats.empty()) return;
    const std::string json = stats_json(target, 2) + "\n";
    if (options.stats == "-") {
        say(stdout, json);
    } else {
        std::ofstream{options.stats} << json;
    }
}

int run(const Options& options) {
    auto storages = make_storages(options.config);
    if (!storages) return fail(storages.error());
    Target target{options.config, std::move(*storages), now()};
    Server server{target};
    if (const auto started = server.start(); !started)
        return fail(std::string{"cannot start: "} + started.error().text());
    std::vector<std::string> addresses;
    for (const auto& address : options.listen) {
        auto real = server.listen(address);
        if (!real)
            return fail("cannot listen on " + address + ": " + real.error().text() +
                        "; give a numeric HOST:PORT that is free");
        addresses.push_back(*real);
    }
    std::FILE* log = options.log == "-" ? stderr : nullptr;
    if (!options.log.empty() && log == nullptr) log = std::fopen(options.log.c_str(), "ae");
    const Instant start = now();
    server.on_note([&](const std::string& line) {
        const auto ms = (now() - start).ms();
        if (log != nullptr) say(log, std::to_string(ms) + " ms " + line + "\n");
    });
    if (const auto problem = set_up_control(options, target, server); !problem.empty())
        return fail(problem);
    for (const auto& rule : options.faults) target.add_fault(rule, start);
    announce(options, addresses);
    server.run();
    report(options, target);
    if (!options.control_path.empty()) ::unlink(options.control_path.c_str());
    return 0;
}

}  // namespace
}  // namespace holdfast::target

int main(int argc, char** argv) {
    const auto options = holdfast::target::parse_options(argc, argv);
    if (!options) {
        const auto& end = options.error();
        std::fputs(end.text.c_str(), end.exit_code == 0 ? stdout : stderr);
        return end.exit_code == 0 ? 0 : holdfast::target::kExitUsage;
    }
    return holdfast::target::run(*options);
}
