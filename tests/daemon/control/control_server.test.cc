#include "daemon/control/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <vector>

#include "daemon/control/log_drain.h"
#include "initiator/recorder.h"
#include "tests/daemon/control/played_supervisor.h"

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;

constexpr const char* kConfigured =
    "[attachment.disk0]\n"
    "url = \"iscsi://127.0.0.1:13410/iqn.2026-11.org.example:disk/1\"\n"
    "profile = \"swap\"\n";

Json attach_request(const std::string& name, int wait_seconds = 20) {
    Json arguments;
    arguments["name"] = name;
    arguments["wait_seconds"] = wait_seconds;
    arguments["settings"]["url"] = "iscsi://127.0.0.1:13410/iqn.2026-11.org.example:disk/2";
    return arguments;
}

StatusFacts ready_facts(const AttachSpec& spec) {
    StatusFacts facts;
    facts.name = spec.name;
    facts.phase = IoPhase::Armed;
    facts.exported.kind = ExportKind::Ublk;
    facts.exported.is_ready = true;
    facts.exported.ublk_id = 3;
    facts.exported.path.assign_cut("/dev/no-ublkb3");
    facts.exported.size_bytes = 1 << 20;
    return facts;
}

/// Plays everything up to Ready. `facts`: what was published, for the caller to go on with; `more`
/// completes them before.
PlayedIo bring_up(
    PlayedSupervisor& world, StatusFacts& facts, const std::function<void()>& more = [] {}) {
    const auto attach = world.hear_attach();
    EXPECT_TRUE(attach);
    if (!attach) return {};
    PlayedIo io = world.make_io(attach->header.request_id);
    facts = ready_facts(attach->spec);
    more();
    io.publish(facts);
    io.say({.header = {.kind = MessageKind::Ready}});
    return io;
}

PlayedIo bring_up(PlayedSupervisor& world) {
    StatusFacts facts;
    return bring_up(world, facts);
}

std::string state_of(const PlayedSupervisor& world, const std::string& name) {
    const auto list = world.ask("list");
    if (!list) return list.error().sentence;
    for (const Json& row : (*list)["attachments"]) {
        if (row["name"] == name) return row["state"].get<std::string>();
    }
    return "absent";
}

/// Asks again until it is so; the server works between the questions.
bool becomes(const PlayedSupervisor& world, const std::string& name, const std::string& state) {
    for (int i = 0; i < 500; ++i) {
        if (state_of(world, name) == state) return true;
        ::poll(nullptr, 0, 10);
    }
    return false;
}

// Goal: every verb has an answer while nothing is attached.
TEST(ControlServer, AnswersBeforeAnythingIsAttached) {
    PlayedSupervisor world;
    world.start();
    EXPECT_EQ(world.ask("list").value()["attachments"].size(), 0U);
    EXPECT_EQ(world.ask("status").value()["attachments"].size(), 0U);
    EXPECT_EQ(world.ask("version").value()["wire_version"], kWireVersion);
    EXPECT_THAT(world.ask("metrics").value()["text"].get<std::string>(),
                HasSubstr("holdfast_attachments 0"));
    EXPECT_EQ(world.ask("fly").error().code, ExitCode::Usage);
    Json unknown;
    unknown["name"] = "nobody";
    EXPECT_EQ(world.ask("status", unknown).error().code, ExitCode::NotFound);
    EXPECT_EQ(world.ask("detach", unknown).error().code, ExitCode::NotFound);
    EXPECT_EQ(world.ask("attach", unknown).error().code, ExitCode::NotFound);
    Json device;
    device["device"] = "ublkb77";
    EXPECT_EQ(world.ask("udev-info", device).error().code, ExitCode::NotFound);
    world.stop();
    EXPECT_TRUE(world.ran());
}

// Goal: a client that never reads holds nobody up, is not worked for beyond what its socket takes,
// and finds its answers later.
TEST(ControlServer, AClientThatDoesNotReadDelaysNobody) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd stuck = world.begin("version");
    std::string frame = frame_of(body_of(Request{.verb = "metrics", .arguments = Json::object()}));
    std::size_t sent = 0;
    for (int i = 0; i < 20'000; ++i) {
        const ssize_t done =
            ::send(stuck.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done != static_cast<ssize_t>(frame.size())) break;
        ++sent;
        if (i % 1000 == 0) {
            EXPECT_TRUE(world.ask("version"));
        }
    }
    EXPECT_LT(sent, 20'000U) << "control took everything";
    EXPECT_TRUE(world.ask("version"));
    EXPECT_TRUE(world.finish(stuck));
}

// Goal: what a client has not read holds its next requests up: no answer is made for somebody who
// does not take the one before. Method: long answers fill its socket; a fact changes; then it
// reads.
TEST(ControlServer, AnswersAreMadeWhenThoseBeforeAreTaken) {
    PlayedSupervisor world{kConfigured};
    world.start();
    StatusFacts facts;
    const PlayedIo io = bring_up(world, facts, [&facts] {
        while (facts.protections.try_push({.name = {}, .wanted = {}, .found = {}, .advice = {}}))
            facts.protections[facts.protections.size() - 1].advice.assign_cut(
                std::string(200, 'x'));
    });
    ASSERT_TRUE(becomes(world, "disk0", "ready"));
    constexpr std::uint32_t kRequests = RequestRate::kAtOnce - 5;
    const UniqueFd client = world.begin("status");
    std::string more;
    for (std::uint32_t i = 1; i < kRequests; ++i)
        more += frame_of(body_of(Request{.verb = "status", .arguments = Json::object()}));
    ASSERT_EQ(::send(client.get(), more.data(), more.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(more.size()));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(world.ask("version"));  // It has had its turns.
    facts.locked_bytes = 4711;
    io.publish(facts);
    FrameReader frames{kAnswerBytesMax};
    std::array<char, 65536> room{};
    std::uint32_t answers = 0;
    std::uint32_t late = 0;
    while (answers < kRequests && is_readable(client.get(), 5000)) {
        const ssize_t got = ::recv(client.get(), room.data(), room.size(), 0);
        if (got <= 0) break;
        frames.append({room.data(), static_cast<std::size_t>(got)});
        while (const auto body = frames.try_take()) {
            ++answers;
            const auto answer = parse_answer(*body);
            ASSERT_TRUE(answer);
            if ((*answer)["attachments"][0]["memory"]["locked_bytes"] == 4711) ++late;
        }
    }
    EXPECT_EQ(answers, kRequests);
    EXPECT_GT(late, 0U) << "all of them were made while nobody read";
}

// Goal: who asks more than his rate is answered in full, in order, and paced.
TEST(ControlServer, RequestsBeyondTheRateWait) {
    constexpr std::uint32_t kRequests = RequestRate::kAtOnce + 10;
    PlayedSupervisor world;
    world.start();
    const Instant began = monotonic_now();
    const UniqueFd client = world.begin("version");
    std::string more;
    for (std::uint32_t i = 1; i < kRequests; ++i)
        more += frame_of(body_of(Request{.verb = "version", .arguments = Json::object()}));
    ASSERT_EQ(::send(client.get(), more.data(), more.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(more.size()));
    FrameReader frames{kAnswerBytesMax};
    std::array<char, 4096> room{};
    std::uint32_t answers = 0;
    while (answers < kRequests && is_readable(client.get(), 5000)) {
        const ssize_t got = ::recv(client.get(), room.data(), room.size(), 0);
        if (got <= 0) break;
        frames.append({room.data(), static_cast<std::size_t>(got)});
        while (frames.try_take()) ++answers;
    }
    EXPECT_EQ(answers, kRequests);
    EXPECT_GE(monotonic_now() - began, RequestRate::kInterval * 9);
}

// Goal: with a group the socket is for its members and root alone; an unknown one is told.
TEST(ControlServer, SocketOfAGroup) {
    const TempDirectory directory;
    const std::string path = directory.path("grouped.sock");
    EXPECT_EQ(listen_on(path, "no-such-group").error().code, ExitCode::Usage);
    if (::geteuid() != 0) GTEST_SKIP() << "only root may give a socket to a group";
    ASSERT_TRUE(listen_on(path, "daemon"));
    EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms{0660});
}

// Goal: attach answers when the device is there, and the link leads to it until it goes.
// Rows: BUG-63
TEST(ControlServer, AttachWaitsUntilReadyAndDetachUntilGone) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1"));
    const PlayedIo io = bring_up(world);
    const auto answer = world.finish(client);
    ASSERT_TRUE(answer) << answer.error().sentence;
    EXPECT_EQ((*answer)["device"], "/dev/no-ublkb3");
    const std::string link = world.link_directory() + "/d1";
    EXPECT_EQ(std::filesystem::read_symlink(link), "/dev/no-ublkb3");
    EXPECT_EQ(world.ask("attach", attach_request("d1")).error().code, ExitCode::Exists);
    Json device;
    device["device"] = "no-ublkb3";
    EXPECT_THAT(world.ask("udev-info", device).value()["text"].get<std::string>(),
                HasSubstr("ID_HOLDFAST_NAME=d1"));

    Json name;
    name["name"] = "d1";
    const UniqueFd detaching = world.begin("detach", name);
    const auto told = io.hear();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->header.kind, MessageKind::Detach);
    EXPECT_EQ(told->hurry, 0);
    world.say_exited(io.id, 0);
    ASSERT_TRUE(world.finish(detaching));
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(link)));
    EXPECT_EQ(state_of(world, "d1"), "absent");
}

// Goal: a host name that an I/O process was redirected to is answered with an address, and one that
// does not exist with none; the process is served on in both cases.
// Rows: LOG-24
TEST(ControlServer, RedirectByNameIsResolvedForTheProcess) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1"));
    const PlayedIo io = bring_up(world);
    ASSERT_TRUE(world.finish(client));
    for (const char* const name : {"localhost", "no-such-host.invalid"}) {
        ControlMessage question{.header = {.kind = MessageKind::HostWanted}};
        ASSERT_TRUE(question.host.try_assign(name));
        io.say(question);
        const auto answer = io.hear(30'000);
        ASSERT_TRUE(answer) << name;
        EXPECT_EQ(answer->header.kind, MessageKind::HostFound);
        EXPECT_EQ(answer->host.view(), name);
        EXPECT_EQ(answer->address.empty(), std::string_view{name} != "localhost");
    }
    EXPECT_EQ(state_of(world, "d1"), "ready");
}

// Goal: what the I/O process says about its failure reaches the client, with its exit code.
TEST(ControlServer, FailureOfTheIoProcessReachesTheClient) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1"));
    const auto attach = world.hear_attach();
    ASSERT_TRUE(attach);
    const PlayedIo io = world.make_io(attach->header.request_id);
    io.say({.header = {.kind = MessageKind::Failed},
            .reason = FailReason::ProbeFailed,
            .notice = {.kind = initiator::NoticeKind::ProbeFailed}});
    world.say_exited(io.id, 1);
    const auto answer = world.finish(client);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ExitCode::NotFound);
    EXPECT_EQ(state_of(world, "d1"), "absent");
}

// Goal: who is refused for a tier too low reads at once which protection is missing.
TEST(ControlServer, TierTooLowNamesWhatIsMissing) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1"));
    const auto attach = world.hear_attach();
    ASSERT_TRUE(attach);
    const PlayedIo io = world.make_io(attach->header.request_id);
    StatusFacts facts;
    facts.name = attach->spec.name;
    for (const std::string_view reason : {"give CAP_IPC_LOCK", "give CAP_SYS_NICE"}) {
        facts.tier_reasons.push({});
        facts.tier_reasons[facts.tier_reasons.size() - 1].assign_cut(reason);
    }
    io.publish(facts);
    io.say({.header = {.kind = MessageKind::Failed},
            .reason = FailReason::TierTooLow,
            .code = static_cast<std::uint64_t>(PromiseTier::C)});
    world.say_exited(io.id, 1);
    const auto answer = world.finish(client);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ExitCode::TierTooLow);
    EXPECT_THAT(answer.error().sentence,
                testing::EndsWith(": give CAP_IPC_LOCK; give CAP_SYS_NICE"));
}

// Goal: what the supervisor refuses reaches the client, with its exit code.
TEST(ControlServer, RefusalOfTheSupervisorReachesTheClient) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1"));
    const auto attach = world.hear_attach();
    ASSERT_TRUE(attach);
    world.say({.header = {.kind = MessageKind::Refused, .request_id = attach->header.request_id},
               .reason = FailReason::TooManyAttachments,
               .code = 16});
    EXPECT_EQ(world.finish(client).error().code, ExitCode::Exists);
    EXPECT_EQ(state_of(world, "d1"), "absent");
}

// Goal: a target that never answers ends in an answer for the client, and nothing stays behind.
TEST(ControlServer, DeadlineAnswersTheClientAndTakesTheAttachmentDown) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1", 3));
    const auto attach = world.hear_attach();
    ASSERT_TRUE(attach);
    const PlayedIo io = world.make_io(attach->header.request_id);
    StatusFacts facts;
    facts.name = attach->spec.name;
    facts.notices.push({.at = {}, .notice = {.kind = initiator::NoticeKind::ConnectFailed}});
    io.publish(facts);
    EXPECT_EQ(world.finish(client).error().code, ExitCode::Unreachable);
    const auto told = io.hear();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->header.kind, MessageKind::Detach);
    EXPECT_EQ(told->hurry, 1);
    world.say_exited(io.id, 1);
    EXPECT_TRUE(becomes(world, "d1", "absent"));
}

// Goal: what the configuration wants is brought up without a client, with the operator's settings.
TEST(ControlServer, ConfiguredAttachmentComesUpByItself) {
    PlayedSupervisor world{kConfigured};
    world.start();
    const auto attach = world.hear_attach();
    ASSERT_TRUE(attach);
    EXPECT_EQ(attach->spec.name.view(), "disk0");
    EXPECT_EQ(attach->spec.profile, ProfileId::Swap);
    EXPECT_EQ(attach->spec.session.timers.replacement, Duration::max());
    EXPECT_EQ(attach->spec.session.portals[0].port, 13410);
    EXPECT_FALSE(attach->spec.session.initiator_name.empty());
}

// Goal: it is tried again after a failure, and after it was lost, with the same device number and
// the same ISID.
TEST(ControlServer, ConfiguredAttachmentIsKeptUp) {
    PlayedSupervisor world{kConfigured};
    world.start();
    const auto first = world.hear_attach();
    ASSERT_TRUE(first);
    world.say({.header = {.kind = MessageKind::Refused, .request_id = first->header.request_id},
               .reason = FailReason::NoProcess,
               .code = ENOMEM});
    const PlayedIo io = bring_up(world);  // The second attempt, a second later.
    EXPECT_TRUE(becomes(world, "disk0", "ready"));
    world.say_exited(io.id, -9);
    const auto third = world.hear_attach();
    ASSERT_TRUE(third);
    EXPECT_EQ(world.devices_ready(), std::vector{io.id}) << "its queue was not to be set up";
    EXPECT_EQ(third->spec.exported.ublk_id_wish, 3);
    EXPECT_EQ(third->spec.session.isid, first->spec.session.isid);
}

// Goal: a control process that starts anew takes over what lives and starts nothing twice.
TEST(ControlServer, LivingAttachmentIsAdopted) {
    PlayedSupervisor world{kConfigured};
    const PlayedIo io = world.make_io(0);
    AttachSpec spec;
    spec.name.assign_cut("disk0");
    io.publish(ready_facts(spec));
    world.start();
    EXPECT_TRUE(becomes(world, "disk0", "ready"));
    EXPECT_FALSE(world.hear_attach(600)) << "it is there already";
    Json name;
    name["name"] = "disk0";
    const UniqueFd detaching = world.begin("detach", name);
    ASSERT_TRUE(io.hear());
    world.say_exited(io.id, 0);
    EXPECT_TRUE(world.finish(detaching));
}

// Goal: a rude client or a mad I/O process disturbs nobody else.
// Rows: BUG-16
TEST(ControlServer, NonsenseFromClientsAndProcessesIsSurvived) {
    PlayedSupervisor world;
    world.start();
    const UniqueFd client = world.begin("attach", attach_request("d1"));
    const PlayedIo io = bring_up(world);
    ASSERT_TRUE(world.finish(client));
    ASSERT_GT(::send(io.command.get(), "rubbish", 7, MSG_NOSIGNAL), 0);
    UniqueFd rude = world.begin("list");
    ASSERT_GT(::send(rude.get(), "\xff\xff\xff\xff", 4, MSG_NOSIGNAL), 0);
    rude.reset();
    EXPECT_EQ(state_of(world, "d1"), "ready");
}

// Goal: who is neither root nor control's own user may look, and change nothing. Method: a child of
// another user asks.
// Rows: BUG-16
TEST(ControlServer, StrangersMayOnlyLook) {
    if (::geteuid() != 0) GTEST_SKIP() << "becoming somebody else needs root";
    PlayedSupervisor world;
    world.start();
    std::filesystem::permissions(std::filesystem::path{world.config().socket}.parent_path(),
                                 std::filesystem::perms::all);
    const auto code_for_stranger = [&world](const std::string& verb, const Json& arguments) {
        const pid_t child = ::fork();
        if (child == 0) {
            constexpr uid_t kNobody = 65534;
            if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(99);
            const auto answer = world.ask(verb, arguments);
            ::_exit(answer ? 0 : static_cast<int>(answer.error().code));
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    EXPECT_EQ(code_for_stranger("list", Json::object()), 0);
    for (const char* verb : {"attach", "detach", "trace"}) {
        EXPECT_EQ(code_for_stranger(verb, attach_request("d1")),
                  static_cast<int>(ExitCode::NotPermitted))
            << verb;
    }
    EXPECT_EQ(state_of(world, "d1"), "absent");
}

// Goal: one user gets so many connections and no more, however many he asks for; root is served
// beside them.
TEST(ControlServer, AUserGetsHisPlacesAndNoMore) {
    if (::geteuid() != 0) GTEST_SKIP() << "becoming somebody else needs root";
    PlayedSupervisor world;
    world.start();
    std::filesystem::permissions(std::filesystem::path{world.config().socket}.parent_path(),
                                 std::filesystem::perms::all);
    const pid_t child = ::fork();
    if (child == 0) {
        constexpr uid_t kNobody = 65534;
        if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(99);
        std::vector<UniqueFd> all;
        for (std::size_t i = 0; i < kClientsOfOneUserMax + 8; ++i) all.push_back(world.knock());
        const auto answered = std::ranges::count_if(
            all, [&](const UniqueFd& one) { return world.finish(one).has_value(); });
        ::_exit(static_cast<int>(answered));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(world.ask("version"));
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(kClientsOfOneUserMax));
}

// Goal: two control processes never share a socket, and bad paths are told apart.
TEST(ControlServer, SecondOneOnTheSameSocketIsRefused) {
    PlayedSupervisor world;
    world.start();
    const auto second = listen_on(world.config().socket);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ExitCode::Exists);
    EXPECT_EQ(listen_on(std::string(200, 'x')).error().code, ExitCode::Usage);
    EXPECT_EQ(listen_on("/proc/nowhere/x").error().code, ExitCode::NotPermitted);
}

/// What the I/O process would have recorded.
void record_something(const PlayedIo& io) {
    initiator::Recorder recorder{io.shared.flight()};
    recorder.set_time(monotonic_now());
    recorder.on_sent(0, std::array<std::byte, initiator::kBhsBytes>{}, {});
    recorder.on_notice({.kind = initiator::NoticeKind::SessionLost});
}

std::vector<std::string> kept_traces(const PlayedSupervisor& world) {
    std::vector<std::string> names;
    std::error_code error;
    const std::string directory = world.config().state_directory + "/traces";
    for (const auto& at : std::filesystem::directory_iterator{directory, error})
        names.push_back(at.path().filename());
    return names;
}

// Goal: the recorder of an attachment can be asked for at any time, and that of a stranger not.
TEST(ControlServer, TraceGivesTheFlightRecorder) {
    PlayedSupervisor world{kConfigured};
    world.start();
    const PlayedIo io = bring_up(world);
    record_something(io);
    Json named;
    named["name"] = "disk0";
    const auto answer = world.ask("trace", named);
    ASSERT_TRUE(answer) << answer.error().sentence;
    const auto capture = bytes_from_hex((*answer)["pcapng"].get<std::string>());
    ASSERT_TRUE(capture);
    EXPECT_THAT(*capture, testing::StartsWith("\x0a\x0d\x0d\x0a"));
    EXPECT_THAT(*capture, HasSubstr("the connection broke"));
    named["name"] = "disk1";
    EXPECT_EQ(world.ask("trace", named).error().code, ExitCode::NotFound);
}

// Goal: a damaged recorder is told as such, and control goes on.
TEST(ControlServer, TraceOfADamagedRecorderIsAFailure) {
    PlayedSupervisor world{kConfigured};
    world.start();
    const PlayedIo io = bring_up(world);
    auto& words = io.shared.flight().cells[0].words;
    words[0].store(2);
    words[2].store(0xff);
    Json named;
    named["name"] = "disk0";
    EXPECT_EQ(world.ask("trace", named).error().code, ExitCode::Failed);
    EXPECT_EQ(state_of(world, "disk0"), "ready");
}

// Goal: a lost session leaves its recording once it is back, each loss once.
TEST(ControlServer, ALossLeavesItsRecording) {
    PlayedSupervisor world{kConfigured};
    world.start();
    StatusFacts facts;
    const PlayedIo io =
        bring_up(world, facts, [&facts] { facts.session_phase = initiator::SessionPhase::Ready; });
    ASSERT_TRUE(becomes(world, "disk0", "ready"));
    EXPECT_TRUE(kept_traces(world).empty());
    record_something(io);
    facts.counters.sessions_lost = 1;
    facts.session_phase = initiator::SessionPhase::Waiting;
    io.publish(facts);
    EXPECT_EQ(state_of(world, "disk0"), "ready");
    EXPECT_TRUE(kept_traces(world).empty()) << "not before the way back is in it";
    facts.session_phase = initiator::SessionPhase::Ready;
    io.publish(facts);
    // Each question makes the server look; the second is answered after the first look.
    for (int i = 0; i < 3; ++i) EXPECT_EQ(state_of(world, "disk0"), "ready");
    const auto kept = kept_traces(world);
    ASSERT_EQ(kept.size(), 1U);
    EXPECT_THAT(kept[0], testing::StartsWith("disk0-"));
}

// Goal: a process that was killed leaves its recording, too.
TEST(ControlServer, AKilledProcessLeavesItsRecording) {
    PlayedSupervisor world{kConfigured};
    world.start();
    const PlayedIo io = bring_up(world);
    record_something(io);
    ASSERT_TRUE(becomes(world, "disk0", "ready"));
    world.say_exited(io.id, -9);
    ASSERT_TRUE(becomes(world, "disk0", "waiting"));
    EXPECT_EQ(kept_traces(world).size(), 1U);
}

}  // namespace
}  // namespace holdfast::daemon
