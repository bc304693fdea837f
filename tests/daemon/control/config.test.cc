#include "daemon/control/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kUrlLine = "url = \"iscsi://192.0.2.1/iqn.2026-11.org.example:disk/1\"\n";

std::string attachment(const std::string& lines) {
    return std::string{"[attachment.swap0]\n"} + kUrlLine + lines;
}

std::string error_of(const std::string& text) {
    const auto config = parse_config(text, "file");
    if (config) return "no error";
    EXPECT_EQ(config.error().code, ExitCode::Usage);
    return config.error().sentence;
}

// Goal: an empty file is a legal configuration.
TEST(Config, EmptyFileGivesTheDefaults) {
    const auto config = parse_config("", "file");
    ASSERT_TRUE(config);
    EXPECT_EQ(config->socket, kControlSocketPath);
    EXPECT_TRUE(config->attachments.empty());
}

// Goal: the promises about waiting, one per profile, are what the operator gets without a word.
TEST(Config, ProfilesWaitAsLongAsTheyPromise) {
    EXPECT_EQ(default_tuning(ProfileId::Swap).timers.replacement, Duration::max());
    EXPECT_EQ(default_tuning(ProfileId::Root).timers.replacement, Duration::max());
    EXPECT_EQ(default_tuning(ProfileId::Data).timers.replacement, Duration::from_s(120));
    EXPECT_EQ(default_tuning(ProfileId::Multipath).timers.replacement, Duration::from_s(5));
    const Tuning swap = default_tuning(ProfileId::Swap);
    EXPECT_LE(std::uint64_t{swap.depth} * swap.request_bytes, 8U << 20) << "locked memory is dear";
}

// Goal: every key of the documentation reaches its place, a target and its portals included.
// Rows: DSC-12
TEST(Config, EveryKeyIsTaken) {
    const auto config = parse_config(
        "[daemon]\nsocket = \"/run/x.sock\"\nlog_level = \"debug\"\n"
        "state_directory = \"/var/x\"\ninitiator_name_file = \"/etc/x\"\n"
        "trace_directory = \"/var/t\"\ntraces_kept = 3\nuser = \"hf\"\n"
        "machine_watchdog = \"90s\"\n"
        "[profile.data]\ndepth = 7\n[profile.data.timers]\ncommand = \"9s\"\n"
        "[attachment.a]\ntarget = \"iqn.2026-11.org.example:disk\"\nlun = 3\n"
        "portals = [\"192.0.2.1\", \"[2001:db8::1]:3261\"]\nuser = \"u\"\n"
        "password_file = \"/p\"\nmutual_user = \"m\"\nmutual_password_file = \"/q\"\n"
        "chap_md5_only = true\nexport = \"nbd\"\nnbd_socket = \"/run/n\"\nread_only = true\n"
        "shared = true\nslot = 2\nauto = false\nforce_tier = true\nwithout_lockdown = true\n"
        "keep_kernel_reserve = true\nstandby = true\nclassifier = \"require\"\n"
        "classifier_interface = \"eth1\"\nmanagement_port = 22\nmanagement_rate = 7\n"
        "request_size = \"64KiB\"\nconnections = 2\n"
        "send_buffer = 65536\nreceive_buffer = \"1MiB\"\ntier = \"C\"\nfence = \"preempt\"\n"
        "path = \"auto\"\n"
        "header_digest = \"require\"\ndata_digest = \"never\"\nublk_id = 4\n"
        "[attachment.a.timers]\nreplacement = \"forever\"\nnop_interval = \"500ms\"\n"
        "[attachment.a.negotiation]\ninitial_r2t = true\nmax_burst = \"256KiB\"\n"
        "first_burst = 65536\nmax_outstanding_r2t = 1\nerror_recovery_level = 1\n",
        "file");
    ASSERT_TRUE(config) << config.error().sentence;
    EXPECT_EQ(config->socket, "/run/x.sock");
    EXPECT_EQ(config->log_level, LogLevel::Debug);
    EXPECT_EQ(config->trace_directory, "/var/t");
    EXPECT_EQ(config->traces_kept, 3U);
    EXPECT_EQ(config->user, "hf");
    EXPECT_EQ(config->machine_watchdog, Duration::from_s(90));
    ASSERT_EQ(config->attachments.size(), 1U);
    const AttachSettings& a = config->attachments[0];
    EXPECT_EQ(a.name, "a");
    EXPECT_EQ(a.lun, 3U);
    ASSERT_EQ(a.portals.size(), 2U);
    EXPECT_EQ(a.portals[1], (HostPort{.host = "2001:db8::1", .port = 3261}));
    EXPECT_EQ(a.exported, ExportKind::Nbd);
    EXPECT_EQ(a.slot, 2);
    EXPECT_FALSE(a.starts_by_itself);
    EXPECT_TRUE(a.shared && a.read_only && a.force_tier && a.md5_only && a.keep_kernel_reserve);
    EXPECT_EQ(a.standby, true);
    EXPECT_EQ(a.gate.wish, GateWish::Require);
    EXPECT_EQ(a.gate.interface, "eth1");
    EXPECT_EQ(a.gate.management_port, 22);
    EXPECT_EQ(a.gate.management_rate, 7U);
    EXPECT_EQ(a.ublk_id, 4);
    EXPECT_EQ(a.tuning.depth, 7) << "from [profile.data]";
    EXPECT_EQ(a.tuning.timers.command, Duration::from_s(9));
    EXPECT_EQ(a.tuning.request_bytes, 65536U);
    EXPECT_EQ(a.tuning.connections, 2);
    EXPECT_EQ(a.tuning.fence, FenceWish::Preempt);
    EXPECT_EQ(a.tuning.path, NetworkPath::Auto);
    EXPECT_EQ(a.tuning.socket.receive_bytes, 1U << 20);
    EXPECT_EQ(a.tuning.timers.replacement, Duration::max());
    EXPECT_EQ(a.tuning.timers.nop_interval, Duration::from_ms(500));
    EXPECT_EQ(a.tuning.wish.header_digest, initiator::DigestWish::Require);
    EXPECT_EQ(a.tuning.wish.max_burst_bytes, 256U * 1024);
    EXPECT_TRUE(a.tuning.wish.initial_r2t);
    EXPECT_EQ(a.tuning.wish.error_recovery_level, 1);
}

struct BadConfig {
    std::string text;
    const char* where;
    const char* what;
};

// Goal: each mistake names its line and says what would be right.
TEST(Config, EveryMistakeNamesItsLineAndTheRemedy) {
    const BadConfig all[] = {
        {"a = ", "file:1:", "not TOML"},
        {"\n\xef\xbb\xa4", "file:2:", "beyond ASCII"},
        {attachment("user = \"Ren\xc3\xa9\"\n"), "file:3:", "beyond ASCII"},
        {"\n\n[daemn]\n", "file:3:", "did you mean 'daemon'?"},
        {"[daemon]\nsocket = 5\n", "file:2:", "absolute path"},
        {"[daemon]\nlog_level = \"loud\"\n", "file:2:", "\"debug\""},
        {"[profile.swp]\n", "file:1:", "[profile.swap]"},
        {"[profile.swap]\nurl = \"x\"\n", "file:2:", "unknown key 'url'"},
        {"attachment = 3\n", "file:1:", "[attachment.swap0]"},
        {"[attachment]\nswap0 = 3\n", "file:2:", "must be a table"},
        {"[attachment.\"A b\"]\n", "file:1:", "cannot name an attachment"},
        {"[attachment.x]\n", "file:1:", "no unit is named"},
        {attachment("dpeth = 3\n"), "file:3:", "did you mean 'depth'?"},
        {attachment("depth = 0\n"), "file:3:", "a number from 1 to 256"},
        {attachment("depth = \"4\"\n"), "file:3:", "a number from 1 to 256"},
        {attachment("depth = 200\n"), "file:1:", "at most 128"},
        {attachment("request_size = 5000\n"), "file:3:", "a multiple of 4096"},
        {attachment("request_size = \"9MiB\"\n"), "file:3:", "4194304"},
        {attachment("connections = 9\n"), "file:3:", "from 1 to 8"},
        {attachment("profile = \"fast\"\n"), "file:3:", "\"multipath\""},
        {attachment("export = \"scsi\"\n"), "file:3:", "\"ublk\" or \"nbd\""},
        {attachment("export = \"nbd\"\n"), "file:1:", "needs nbd_socket"},
        {attachment("nbd_socket = \"x\"\n"), "file:3:", "absolute path"},
        {attachment("nbd_socket = \"/" + std::string(120, 'x') + "\"\n"), "file:3:", "107"},
        {attachment("tier = \"D\"\n"), "file:3:", "\"A\", \"B\" or \"C\""},
        {attachment("header_digest = true\n"), "file:3:", "\"prefer\""},
        {attachment("read_only = 1\n"), "file:3:", "true or false"},
        {attachment("lun = 99999\n"), "file:3:", "16383"},
        {attachment("target = \"disk\"\n"), "file:3:", "iqn., eui. or naa."},
        {attachment("portals = []\n"), "file:3:", "1 to 4 portals"},
        {attachment("portals = [\"::1\"]\n"), "file:3:", "needs brackets"},
        {attachment("user = \"\"\n"), "file:3:", "1 to 255 bytes"},
        {attachment("password = \"x\"\n"), "file:3:", "mode 0600"},
        {attachment("password_file = \"/p\"\n"), "file:1:", "needs a user"},
        {attachment("user = \"u\"\nmutual_password_file = \"/p\"\n"), "file:1:", "mutual_user"},
        {attachment("mutual_user = \"u\"\nmutual_password_file = \"/p\"\n"), "file:1:", "our own"},
        {attachment("timers = 5\n"), "file:3:", "must be a table"},
        {attachment("[attachment.swap0.timers]\nlogin = 5\n"), "file:4:", "\"15s\""},
        {attachment("[attachment.swap0.timers]\nlogin = \"forever\"\n"), "file:4:", "\"24h\""},
        {attachment("[attachment.swap0.timers]\nlogin = \"0s\"\n"), "file:4:", "\"24h\""},
        {attachment("[attachment.swap0.timers]\nnop = \"1s\"\n"), "file:4:", "unknown key 'nop'"},
        {attachment("[attachment.swap0.timers]\nreconnect_min = \"1h\"\n"),
         "file:1:", "reconnect_max"},
        {attachment("[attachment.swap0.negotiation]\nfirst_burst = \"4MiB\"\n"),
         "file:1:", "max_burst"},
        {attachment("[attachment.swap0.negotiation]\nmax_burst = 100\n"), "file:4:", "512"},
        {attachment("[attachment.swap0.negotiation]\nmax_outstanding_r2t = 9\n"),
         "file:4:", "from 1 to 8"},
        {attachment("[attachment.swap0.negotiation]\nerror_recovery_level = 3\n"),
         "file:4:", "from 0 to 2"},
        {"[attachment.x]\nurl = \"iscsi://u%p@h/iqn.a/1\"\n", "file:2:", "password_file"},
        {"[attachment.x]\nurl = \"iscsi://h\"\n", "file:2:", "discover"},
        {attachment("depth = 128\nrequest_size = \"4MiB\"\n") + "", "no error", ""},
        {attachment("export=\"nbd\"\nnbd_socket=\"/n\"\ndepth=256\nrequest_size=\"4MiB\"\n"),
         "file:1:", "512 MiB"},
    };
    for (const BadConfig& bad : all)
        EXPECT_THAT(error_of(bad.text), AllOf(StartsWith(bad.where), HasSubstr(bad.what)))
            << bad.text;
}

// Goal: comments may be in any language.
TEST(Config, CommentsMayHoldAnything) {
    EXPECT_TRUE(parse_config("# caf\xc3\xa9 \xef\xbb\xa4\n  # \xff\n[daemon]\n", "file"));
}

// Goal: what is far from every key gets the list of keys instead of a silly guess.
TEST(Config, UnknownKeyFarFromAllListsTheKeys) {
    EXPECT_THAT(error_of(attachment("zzzzzzzzzz = 1\n")), HasSubstr("known are profile, url"));
}

// Goal: a secret may come over the control socket, where only root can read it.
TEST(Config, RequestMayCarryThePasswordThatAFileMayNot) {
    const nlohmann::json keys = {{"url", "iscsi://h/iqn.2026-11.org.example:disk/1"},
                                 {"user", "u"},
                                 {"password", "hush"},
                                 {"timers", {{"login", "3s"}}}};
    const auto settings = settings_from_request(Config{}, "d0", keys);
    ASSERT_TRUE(settings) << settings.error().sentence;
    EXPECT_EQ(settings->password, "hush");
    EXPECT_EQ(settings->tuning.timers.login, Duration::from_s(3));
}

// Goal: mistakes in a request are told without line numbers that it does not have.
TEST(Config, RequestMistakesSaySoWithoutLines) {
    const auto refuse = [](const nlohmann::json& keys) {
        const auto settings = settings_from_request(Config{}, "d0", keys);
        return settings ? std::string{"no error"} : settings.error().sentence;
    };
    EXPECT_THAT(refuse({{"dept", 1}}), HasSubstr("did you mean 'depth'?"));
    EXPECT_THAT(refuse({{"depth", 1.5}}), HasSubstr("a number from"));
    EXPECT_THAT(refuse({{"depth", nullptr}}), HasSubstr("a number from"));
    EXPECT_THAT(refuse({{"timers", {{"login", {{"x", {{"y", 1}}}}}}}}), HasSubstr("a time such"));
    EXPECT_THAT(refuse({{"portals", {1, 2}}}), HasSubstr("portals"));
    EXPECT_THAT(refuse(nlohmann::json::array()), HasSubstr("no settings"));
}

// Goal: no file is fine, but a file that was asked for must be there.
TEST(Config, MissingFileIsEmptyUnlessItWasNamed) {
    const TempDirectory directory;
    EXPECT_TRUE(load_config(directory.path("none"), false));
    const auto named = load_config(directory.path("none"), true);
    ASSERT_FALSE(named);
    EXPECT_THAT(named.error().sentence, HasSubstr("--config"));
    EXPECT_FALSE(load_config(directory.path("."), false)) << "a directory";
}

// Goal: sizes and durations have units, and overflow is no size.
TEST(Config, QuantitiesAreReadAndShown) {
    EXPECT_EQ(size_from("64KiB"), 65536U);
    EXPECT_EQ(size_from("17179869184GiB"), std::nullopt) << "overflow";
    EXPECT_EQ(size_from("KiB"), std::nullopt);
    EXPECT_EQ(size_from("1 KiB"), std::nullopt);
    EXPECT_EQ(duration_from("2min"), Duration::from_s(120));
    EXPECT_EQ(duration_from("forever"), Duration::max());
    EXPECT_EQ(duration_from("99999999999h"), std::nullopt);
    EXPECT_EQ(to_text(Duration::from_ms(1500)), "1500ms");
    EXPECT_EQ(to_text(Duration::max()), "forever");
}

}  // namespace
}  // namespace holdfast::daemon
