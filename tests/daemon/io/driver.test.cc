#include "daemon/io/driver.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/daemon/io/ram_target.h"

namespace holdfast::daemon {
namespace {

using initiator::Outcome;
using initiator::Request;
using initiator::RequestKind;

constexpr std::uint16_t kPort = 13360;

class DriverTest : public testing::Test {
protected:
    void open(const RamTarget& target, std::uint8_t connections = 1, std::uint8_t level = 0) {
        DriverConfig config;
        config.session = target.session();
        config.session.wish.error_recovery_level = level;
        config.limits.depth = 8;
        config.limits.connections = connections;
        ASSERT_TRUE(driver_.open(config).has_value());
        driver_.start();
        run_while([this] { return driver_.state() == DriverState::Opening; });
    }
    template <class Condition>
    void run_while(Condition condition) {
        const Instant limit = Driver::clock() + Duration::from_s(30);
        while (condition() && Driver::clock() < limit) {
            driver_.run_once(Duration::from_ms(200));
            while (driver_.poll_notice()) {
            }
        }
        EXPECT_FALSE(condition()) << "it did not end in time";
    }
    Outcome finish_one() {
        std::optional<initiator::Completion> done;
        run_while([&] { return !done && !(done = driver_.poll_completion()); });
        return done ? done->outcome : Outcome::Gone;
    }
    void submit(std::uint16_t tag, RequestKind kind, std::uint64_t lba, int fill) {
        const auto data = driver_.buffer(tag).first(4096);
        std::memset(data.data(), fill, data.size());
        ASSERT_EQ(
            driver_.submit(
                {.tag = tag, .kind = kind, .lba = Lba{lba}, .blocks = BlockCount{8}, .data = data}),
            initiator::Submitted::Accepted);
    }
    /// A write is held at the target, its session is cut, and it is written again, and newer.
    void live_with_a_late_write(std::uint16_t port, bool is_shared) {
        const RamTarget target{
            port,
            "id=0,size=64M,cache=on",
            1,
            {"--reinstatement", "tgt-like", "--fault", "op=write command=1 hold-write 600ms",
             "--fault", "op=write command=2 reset"}};
        DriverConfig config;
        config.session = target.session();
        config.session.owns_unit_alone = !is_shared;
        config.session.fence_by_reservation = is_shared;
        config.limits.depth = 4;
        ASSERT_TRUE(driver_.open(config).has_value());
        driver_.start();
        run_while([this] { return driver_.state() == DriverState::Opening; });
        submit(0, RequestKind::Write, 0, 0x11);
        submit(1, RequestKind::Write, 64, 0x33);
        for (int i = 0; i < 2; ++i) EXPECT_EQ(finish_one(), Outcome::Done);
        submit(0, RequestKind::Write, 0, 0x22);
        EXPECT_EQ(finish_one(), Outcome::Done);
        const Instant late = Driver::clock() + Duration::from_ms(700);
        run_while([&] { return Driver::clock() < late; });
        submit(0, RequestKind::Read, 0, 0);
        EXPECT_EQ(finish_one(), Outcome::Done);
        EXPECT_EQ(driver_.buffer(0)[0], std::byte{0x22}) << "the old write came late";
        EXPECT_EQ(driver_.engine_counters().sessions_lost, 1U);
        driver_.stop();
        run_while([this] { return driver_.state() != DriverState::Stopped; });
    }
    void TearDown() override {
        if (driver_.state() != DriverState::Ready) return;
        driver_.stop();
        run_while([this] { return driver_.state() != DriverState::Stopped; });
    }

    Driver driver_;
};

// Goal: what was written is read back, through real sockets.
TEST_F(DriverTest, ReadsBackWhatItWrote) {
    const RamTarget target{kPort};
    open(target);
    ASSERT_EQ(driver_.state(), DriverState::Ready);
    const auto out = driver_.buffer(0).first(8192);
    std::memset(out.data(), 0x5a, out.size());
    ASSERT_EQ(driver_.submit({.tag = 0,
                              .kind = RequestKind::Write,
                              .lba = Lba{64},
                              .blocks = BlockCount{16},
                              .data = out}),
              initiator::Submitted::Accepted);
    ASSERT_EQ(finish_one(), Outcome::Done);
    const auto in = driver_.buffer(1).first(8192);
    std::memset(in.data(), 0, in.size());
    ASSERT_EQ(driver_.submit({.tag = 1,
                              .kind = RequestKind::Read,
                              .lba = Lba{64},
                              .blocks = BlockCount{16},
                              .data = in}),
              initiator::Submitted::Accepted);
    ASSERT_EQ(finish_one(), Outcome::Done);
    EXPECT_EQ(std::memcmp(in.data(), out.data(), in.size()), 0);
}

// Goal: requests that are outstanding when the target dies end well once it is back, on the same
// sockets.
TEST_F(DriverTest, TargetThatComesBackIsUsedAgain) {
    RamTarget target{kPort + 1};
    open(target);
    ASSERT_EQ(driver_.state(), DriverState::Ready);
    for (int round = 0; round < 3; ++round) {
        target.stop();
        const auto data = driver_.buffer(0).first(4096);
        ASSERT_EQ(driver_.submit({.tag = 0,
                                  .kind = RequestKind::Read,
                                  .lba = Lba{0},
                                  .blocks = BlockCount{8},
                                  .data = data}),
                  initiator::Submitted::Accepted);
        driver_.run_once(Duration::from_ms(50));
        target.start();
        EXPECT_EQ(finish_one(), Outcome::Done);
    }
    EXPECT_GE(driver_.engine_counters().sessions_established, 4U);
}

// Goal: several connections carry one session over real sockets, and come back after its loss.
// Rows: MCS-04
TEST_F(DriverTest, SeveralConnectionsShareTheWork) {
    RamTarget target{kPort + 4, "id=0,size=64M,cache=on", 4};
    open(target, 4);
    ASSERT_EQ(driver_.state(), DriverState::Ready);
    for (int round = 0; round < 2; ++round) {
        run_while([this] { return driver_.engine_counters().connections < 4; });
        for (const RequestKind kind : {RequestKind::Write, RequestKind::Read}) {
            for (std::uint16_t tag = 0; tag < 8; ++tag) {
                const auto data = driver_.buffer(tag).first(65536);
                std::memset(data.data(), kind == RequestKind::Write ? tag + 1 : 0, data.size());
                ASSERT_EQ(driver_.submit({.tag = tag,
                                          .kind = kind,
                                          .lba = Lba{tag * 128U},
                                          .blocks = BlockCount{128},
                                          .data = data}),
                          initiator::Submitted::Accepted);
            }
            for (int i = 0; i < 8; ++i) ASSERT_EQ(finish_one(), Outcome::Done);
        }
        for (std::uint16_t tag = 0; tag < 8; ++tag) {
            const auto data = driver_.buffer(tag).first(65536);
            for (const std::byte byte : data) ASSERT_EQ(std::to_integer<int>(byte), tag + 1);
        }
        target.stop();
        target.start();
        run_while([this] { return driver_.engine_counters().sessions_established < 2; });
    }
}

// Goal: at recovery level 2 single connections, and all of them, are cut under load while commands
// are under way and writes are held: the session lives through all of it, and every byte is right.
// Rows: ER2-01, ER2-08, ER2-09, MCS-05
TEST_F(DriverTest, CutConnectionsDoNotEndTheSession) {
    constexpr std::size_t kBytes = 65536;
    constexpr std::uint16_t kTags = 8;
    constexpr int kRequests = 1500;
    const RamTarget target{kPort + 5,
                           "id=0,size=64M,cache=on",
                           4,
                           {"--recovery-level", "2", "--time2wait", "0", "--time2retain", "20",
                            "--fault", "every-commands=61 reset", "--fault", "every=150ms reset",
                            "--fault", "prob=0.05 seed=5 op=write hold-write 20ms", "--fault",
                            "prob=0.05 seed=9 op=read delay 20ms"}};
    open(target, 4, 2);
    ASSERT_EQ(driver_.state(), DriverState::Ready);
    run_while([this] { return driver_.engine_counters().connections < 4; });
    std::array<int, kTags> turns{};  // Of each tag: even ones write, odd ones read it back.
    const auto submit = [&](std::uint16_t tag) {
        const bool is_write = turns.at(tag) % 2 == 0;
        const auto data = driver_.buffer(tag).first(kBytes);
        std::memset(data.data(), is_write ? (tag + turns.at(tag)) % 251 : 0xee, data.size());
        ASSERT_EQ(driver_.submit({.tag = tag,
                                  .kind = is_write ? RequestKind::Write : RequestKind::Read,
                                  .lba = Lba{tag * 128U},
                                  .blocks = BlockCount{128},
                                  .data = data}),
                  initiator::Submitted::Accepted);
    };
    for (std::uint16_t tag = 0; tag < kTags; ++tag) submit(tag);
    for (int done = 0; done < kRequests; ++done) {
        std::optional<initiator::Completion> ended;
        run_while([&] { return !ended && !(ended = driver_.poll_completion()); });
        ASSERT_TRUE(ended.has_value());
        ASSERT_EQ(ended->outcome, Outcome::Done);
        int& turn = turns.at(ended->tag);
        for (const std::byte byte : driver_.buffer(ended->tag).first(kBytes)) {
            if (turn % 2 == 0) break;
            ASSERT_EQ(std::to_integer<int>(byte), (ended->tag + turn - 1) % 251);
        }
        ++turn;
        submit(ended->tag);
    }
    const auto& counters = driver_.engine_counters();
    EXPECT_EQ(counters.sessions_lost, 0U);
    EXPECT_GE(counters.connections_lost, 20U);
    EXPECT_GE(counters.tasks_reassigned, 5U);
    EXPECT_GE(counters.tasks_resent, 10U);
    EXPECT_EQ(counters.violations, 0U);
    RecordProperty("connections_lost", static_cast<int>(counters.connections_lost));
    RecordProperty("tasks_reassigned", static_cast<int>(counters.tasks_reassigned));
    RecordProperty("tasks_resent", static_cast<int>(counters.tasks_resent));
}

// Goal: a write that the target holds, and would execute after its connection died, never lands on
// newer data: the unit is reset, or, where others use it too, the old key is preempted.
// Method: the target lets the old session live on, as tgt does.
// Rows: SER-04
TEST_F(DriverTest, LateWriteIsFencedByUnitReset) {
    live_with_a_late_write(kPort + 8, false);
    EXPECT_EQ(driver_.engine_counters().tmf_sent, 1U);
    EXPECT_EQ(driver_.engine_counters().fence, initiator::FenceReliance::UnitReset);
}
// Goal: the same, with the old session's key preempted instead of a reset.
TEST_F(DriverTest, LateWriteIsFencedByPreemptAndAbort) {
    live_with_a_late_write(kPort + 9, true);
    EXPECT_EQ(driver_.engine_counters().tmf_sent, 0U);
    EXPECT_EQ(driver_.engine_counters().fence, initiator::FenceReliance::PreemptAndAbort);
}

// Goal: a portal where nobody listens ends in GaveUp, with the reason as the last notice.
TEST_F(DriverTest, DeadPortalEndsInGaveUp) {
    DriverConfig config;
    {
        const RamTarget target{kPort + 2};
        config.session = target.session();
    }
    config.session.timers.login = Duration::from_ms(300);
    ASSERT_TRUE(driver_.open(config).has_value());
    driver_.start();
    run_while([this] { return driver_.state() == DriverState::Opening; });
    EXPECT_EQ(driver_.state(), DriverState::GaveUp);
}

// Goal: a host name, as a redirect may bring one, is asked for and used; a name that is not known
// is a connect that failed, and the driver's own loop never waits for either.
// Rows: LOG-24
TEST_F(DriverTest, HostNamesAreAskedFor) {
    const RamTarget target{kPort + 5};
    DriverConfig config;
    config.session = target.session();
    config.limits.depth = 8;
    const initiator::Portal numeric = config.session.portals[0];
    config.session.portals.clear();
    for (const char* const name : {"nowhere.example", "disk.example"}) {
        initiator::Portal portal{.host = {}, .port = numeric.port};
        ASSERT_TRUE(portal.host.try_assign(name));
        config.session.portals.push(portal);
    }
    ASSERT_TRUE(driver_.open(config).has_value());
    driver_.start();
    std::vector<std::string> asked;
    run_while([&] {
        if (const auto host = driver_.poll_host()) {
            asked.emplace_back(host->view());
            HostAddress address;
            EXPECT_TRUE(address.try_assign(numeric.host.view()));
            const bool is_known = host->view() == "disk.example";
            driver_.answer_host(host->view(), is_known ? std::optional{address} : std::nullopt);
        }
        return driver_.state() == DriverState::Opening;
    });
    EXPECT_EQ(driver_.state(), DriverState::Ready);
    EXPECT_EQ(asked, (std::vector<std::string>{"nowhere.example", "disk.example"}));
}

// Goal: a driver that is dropped in the middle of everything leaves no operation behind.
TEST_F(DriverTest, DroppedInTheMiddle) {
    const RamTarget target{kPort + 3};
    auto dropped = std::make_unique<Driver>();
    DriverConfig config;
    config.session = target.session();
    ASSERT_TRUE(dropped->open(config).has_value());
    dropped->start();
    while (dropped->state() == DriverState::Opening) dropped->run_once(Duration::from_ms(200));
    for (std::uint16_t tag = 0; tag < 8; ++tag)
        static_cast<void>(dropped->submit({.tag = tag,
                                           .kind = RequestKind::Read,
                                           .blocks = BlockCount{8},
                                           .data = dropped->buffer(tag).first(4096)}));
    dropped->run_once(Duration{});
    dropped.reset();
}

}  // namespace
}  // namespace holdfast::daemon
