#include "daemon/client/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "daemon/client/password.h"
#include "daemon/client/settings_from_options.h"
#include "daemon/client/verbs.h"
#include "daemon/control/config.h"
#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kUrl = "iscsi://192.0.2.1/iqn.2026-11.org.example:fast.Disk_1/3";

/// A variable of the environment for the life of the object.
class Environment {
public:
    Environment(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() { ::unsetenv(name_); }

private:
    const char* name_;
};

Options parsed(std::vector<std::string> words) {
    const auto options = parse_command_line(std::move(words));
    EXPECT_TRUE(options) << options.error().text;
    return options.value_or(Options{});
}

// Goal: every documented verb and its options arrive where they belong.
TEST(CommandLine, EveryVerbIsKnown) {
    EXPECT_EQ(parsed({"attach", "swap0"}).verb, Verb::Attach);
    EXPECT_EQ(parsed({"detach", "swap0"}).verb, Verb::Detach);
    EXPECT_EQ(parsed({"list"}).verb, Verb::List);
    EXPECT_EQ(parsed({"status"}).verb, Verb::Status);
    EXPECT_EQ(parsed({"status", "swap0"}).name, "swap0");
    EXPECT_EQ(parsed({"plan", "--sessions", "2", "--depth", "64"}).session.depth, 64);
    EXPECT_EQ(parsed({"check-host"}).verb, Verb::CheckHost);
    EXPECT_EQ(parsed({"discover", "h"}).verb, Verb::Discover);
    EXPECT_EQ(parsed({"metrics"}).verb, Verb::Metrics);
    EXPECT_EQ(parsed({"udev-info", "ublkb0"}).name, "ublkb0");
    EXPECT_EQ(parsed({"version"}).verb, Verb::Version);
    EXPECT_EQ(parsed({"read", kUrl, "--offset", "1MiB"}).range.offset, "1MiB");
    EXPECT_EQ(parsed({"write", kUrl}).verb, Verb::Write);
    EXPECT_TRUE(parsed({"verify", kUrl, "--read-only", "--seed", "5"}).read_only_check);
    const Options bench = parsed({"bench", kUrl, "--rw", "randwrite", "--bs", "128KiB", "--depth",
                                  "4", "--seconds", "0.5", "--json"});
    EXPECT_EQ(bench.verb, Verb::Bench);
    EXPECT_EQ(bench.bench.workload, "randwrite");
    EXPECT_TRUE(bench.json);
}

// Goal: a mistake ends with the usage code and points to the help.
TEST(CommandLine, MistakesEndWithTheUsageCode) {
    const std::vector<std::vector<std::string>> all = {{},
                                                       {"fly"},
                                                       {"attach"},
                                                       {"read"},
                                                       {"list", "--what"},
                                                       {"bench", kUrl, "--seconds", "no"},
                                                       {"plan", "--sessions", "0"},
                                                       {"read", kUrl, "--password", "secret"}};
    for (const auto& words : all) {
        const auto options = parse_command_line(words);
        ASSERT_FALSE(options);
        EXPECT_EQ(options.error().code, ExitCode::Usage);
        EXPECT_THAT(options.error().text, HasSubstr("--help"));
    }
}

// Goal: asking for help is success, and each verb has help of its own.
TEST(CommandLine, HelpIsNoMistake) {
    const auto all = parse_command_line({"--help"});
    ASSERT_FALSE(all);
    EXPECT_EQ(all.error().code, ExitCode::Ok);
    EXPECT_THAT(all.error().text, HasSubstr("Exit codes"));
    EXPECT_THAT(parse_command_line({"bench", "--help"}).error().text, HasSubstr("--rw"));
}

// Goal: there is no option that takes a secret itself.
TEST(CommandLine, NoOptionTakesASecret) {
    for (const char* verb : {"attach", "discover", "read", "write", "verify", "bench"}) {
        const auto help = parse_command_line({verb, "--help"});
        EXPECT_THAT(help.error().text, HasSubstr("--password-file"));
        EXPECT_THAT(help.error().text, Not(HasSubstr("--password ")));
    }
}

// Goal: what is typed at the client is what the daemon understands, to the last option.
TEST(AttachArguments, UrlAndOptionsBecomeKeysThatTheDaemonTakes) {
    const Environment secret{"HOLDFAST_PASSWORD", "secretsecret12"};
    const Options options =
        parsed({"attach", "iscsi://u@192.0.2.1/iqn.2026-11.org.example:disk/3", "--profile", "swap",
                "--export", "nbd", "--nbd-socket", "relative.sock", "--depth", "16", "--set",
                "timers.login=3s", "--set", "send_buffer=65536", "--set",
                "negotiation.initial_r2t=true", "--wait", "7", "--shared"});
    const auto arguments = attach_arguments(options);
    ASSERT_TRUE(arguments) << arguments.error().sentence;
    EXPECT_EQ((*arguments)["name"], "disk-3");
    EXPECT_EQ((*arguments)["wait_seconds"], 7);
    const auto settings =
        settings_from_request(Config{}, "disk-3", nlohmann::json((*arguments)["settings"]));
    ASSERT_TRUE(settings) << settings.error().sentence;
    EXPECT_EQ(settings->profile, ProfileId::Swap);
    EXPECT_EQ(settings->password, "secretsecret12");
    EXPECT_TRUE(settings->nbd_socket.starts_with('/'));
    EXPECT_EQ(settings->tuning.depth, 16);
    EXPECT_EQ(settings->tuning.timers.login, Duration::from_s(3));
    EXPECT_EQ(settings->tuning.socket.send_bytes, 65536U);
    EXPECT_TRUE(settings->tuning.wish.initial_r2t);
    EXPECT_TRUE(settings->shared);
}

// Goal: a session in the client itself, discovery included, takes the same keys by --set.
TEST(InProcess, SetTakesTheKeysOfTheConfiguration) {
    const std::vector<std::string> keys{"--set", "connections=3",
                                        "--set", "negotiation.error_recovery_level=1",
                                        "--set", "negotiation.first_burst=64KiB",
                                        "--set", "negotiation.data_pdu_in_order=false",
                                        "--set", "timers.command=7s",
                                        "--set", "send_buffer=65536"};
    for (const char* const verb : {"read", "write", "verify", "bench", "discover"}) {
        SCOPED_TRACE(verb);
        const bool is_discovery = std::string_view{verb} == "discover";
        std::vector<std::string> words{verb, is_discovery ? "192.0.2.1" : kUrl};
        words.insert(words.end(), keys.begin(), keys.end());
        const Options options = parsed(words);
        const auto settings =
            is_discovery ? portal_settings(options.session) : session_settings(options.session);
        ASSERT_TRUE(settings) << settings.error().sentence;
        EXPECT_EQ(settings->tuning.connections, 3);
        EXPECT_EQ(settings->tuning.wish.error_recovery_level, 1);
        EXPECT_EQ(settings->tuning.wish.first_burst_bytes, 65536U);
        EXPECT_FALSE(settings->tuning.wish.data_pdu_in_order);
        EXPECT_EQ(settings->tuning.timers.command, Duration::from_s(7));
        EXPECT_EQ(settings->tuning.socket.send_bytes, 65536U);
    }
}

// Goal: a configured name brings no settings that could override the configuration.
TEST(AttachArguments, NameAloneLeavesEverythingToTheConfiguration) {
    const auto arguments = attach_arguments(parsed({"attach", "swap0"}));
    ASSERT_TRUE(arguments);
    EXPECT_EQ((*arguments)["name"], "swap0");
    EXPECT_FALSE(arguments->contains("settings"));
}

// Goal: secrets in files are read by the client, whatever names the file: the daemon has no right
// to read what only root may.
TEST(AttachArguments, PasswordFilesAreReadHere) {
    const std::string file = testing::TempDir() + "hf-secret";
    std::ofstream{file} << "the secret\n";
    ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
    const std::string url = "iscsi://u@h/iqn.a/1";
    for (const auto& words : std::vector<std::vector<std::string>>{
             {"--password-file", file}, {"--set", "password_file=" + file}}) {
        std::vector<std::string> all{"attach", url};
        all.insert(all.end(), words.begin(), words.end());
        const auto arguments = attach_arguments(parsed(all));
        ASSERT_TRUE(arguments) << arguments.error().sentence;
        EXPECT_EQ((*arguments)["settings"]["password"], "the secret");
        EXPECT_FALSE((*arguments)["settings"].contains("password_file"));
    }
    ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
    const auto refused = attach_arguments(parsed({"attach", url, "--password-file", file}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ExitCode::NotPermitted);
    ::unlink(file.c_str());
}

// Goal: --set without a value is a mistake of the user's.
TEST(AttachArguments, SettingWithoutValueIsRefused) {
    const auto arguments = attach_arguments(parsed({"attach", kUrl, "--set", "depth"}));
    ASSERT_FALSE(arguments);
    EXPECT_EQ(arguments.error().code, ExitCode::Usage);
}

// Goal: any URL gives a name that may stand in a path.
TEST(AttachArguments, NamesMadeOfUrlsAreLegal) {
    for (const char* url :
         {kUrl, "iscsi://h/iqn.2026-11.org.example:/0", "iscsi://h/eui.0123456789ABCDEF/9",
          "iscsi://h/iqn.2026-11.org.example:a-very-long-name-that-goes-on-and-on-and-on/16383"}) {
        const auto parsed_url = parse_url(url);
        ASSERT_TRUE(parsed_url) << url;
        EXPECT_TRUE(is_attachment_name(name_for(*parsed_url))) << name_for(*parsed_url);
    }
}

// Goal: options of the client end in the session that it opens.
TEST(SessionSettings, OptionsReachTheSession) {
    const auto settings =
        session_settings(parsed({"read", kUrl, "--depth", "200", "--timeout", "3", "--patience",
                                 "9", "--header-digest", "require", "--chap-md5-only"})
                             .session);
    ASSERT_TRUE(settings) << settings.error().sentence;
    EXPECT_EQ(settings->tuning.depth, 200) << "no kernel driver limits it";
    EXPECT_EQ(settings->tuning.timers.login, Duration::from_s(3));
    EXPECT_EQ(settings->tuning.timers.replacement, Duration::from_s(9));
    EXPECT_EQ(settings->tuning.wish.header_digest, initiator::DigestWish::Require);
    EXPECT_TRUE(settings->md5_only);
}

// Goal: a portal may be given in every form that people use.
TEST(SessionSettings, DiscoveryTakesHostsAndUrls) {
    for (const char* where : {"h", "h:1", "[::1]:3260", "iscsi://h:1"}) {
        const auto settings = portal_settings(parsed({"discover", where}).session);
        ASSERT_TRUE(settings) << where;
        EXPECT_EQ(settings->portals.size(), 1U);
    }
    EXPECT_FALSE(portal_settings(parsed({"discover", "h:x"}).session));
}

// Goal: the order of sources is the documented one, and no user means no secret.
TEST(Password, FileBeatsEnvironmentBeatsUrl) {
    const TempDirectory directory;
    const std::string file = directory.write("p", "from-file\n");
    ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
    const Environment secret{"HF_TEST_PASSWORD", "from-environment"};
    PasswordSources sources{
        .user = "u", .from_url = "from-url", .file = file, .environment = "HF_TEST_PASSWORD"};
    EXPECT_EQ(find_password(sources).value_or(""), "from-file");
    sources.file.clear();
    EXPECT_EQ(find_password(sources).value_or(""), "from-environment");
    sources.environment = "HF_TEST_NOTHING";
    EXPECT_EQ(find_password(sources).value_or(""), "from-url");
    sources.user.clear();
    EXPECT_EQ(find_password(sources).value_or("x"), "") << "no user, no secret";
    sources.file = file;
    EXPECT_EQ(find_password(sources).error().code, ExitCode::Usage);
}

// Goal: people see the facts, and a status of another release does not end in a crash.
TEST(StatusText, MissingKeysAreSurvived) {
    EXPECT_THAT(status_text(Json::object()), HasSubstr("-: -"));
    Json status;
    status["name"] = "swap0";
    status["state"] = "waiting";
    status["last_failure"] = "nothing answers";
    EXPECT_THAT(status_text(status), HasSubstr("last failure: nothing answers"));
    status["session"] = "odd";
    status["protections"] = Json::array({Json::object()});
    status["tier_reasons"] = Json::array({5});
    EXPECT_THAT(status_text(status), HasSubstr("MISSING"));
}

// Goal: what was agreed for recovery and connections is on one line.
TEST(StatusText, ShowsWhatWasAgreed) {
    Json status;
    status["session"]["connections"] = 2;
    status["session"]["connections_agreed"] = 4;
    status["session"]["error_recovery_level"] = 1;
    status["counters"]["snacks_sent"] = 5;
    EXPECT_THAT(status_text(status),
                HasSubstr("2 of 4 connections, recovery level 1, 5 SNACKs sent"));
    status["session"]["fence"] = "lun-reset";
    status["session"]["fence_certain"] = false;
    status["session"]["fence_of_connection"] = "session";
    EXPECT_THAT(status_text(status),
                HasSubstr("fence       lun-reset (untried); of a lost connection: session\n"));
    status["session"]["fence_certain"] = true;
    EXPECT_THAT(status_text(status), HasSubstr("fence       lun-reset; of"));
}

}  // namespace
}  // namespace holdfast::daemon
