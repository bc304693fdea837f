#include "daemon/shared/attach_spec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/daemon/shared/sample_spec.h"

namespace holdfast::daemon {
namespace {

struct Breakage {
    SpecError expected;
    std::function<void(AttachSpec&)> apply;
};

std::vector<Breakage> breakages() {
    using enum SpecError;
    return {
        {Magic, [](AttachSpec& s) { s.magic = 1; }},
        {Version, [](AttachSpec& s) { ++s.version; }},
        {Name, [](AttachSpec& s) { s.name.clear(); }},
        {Name, [](AttachSpec& s) { s.name.assign_cut("../etc"); }},
        {Profile, [](AttachSpec& s) { s.profile = static_cast<ProfileId>(4); }},
        {TierDemand, [](AttachSpec& s) { s.tier_demanded = static_cast<PromiseTier>(3); }},
        {Flags, [](AttachSpec& s) { s.flags = 1U << 31; }},
        {InitiatorName, [](AttachSpec& s) { s.session.initiator_name.assign_cut("me"); }},
        {TargetName, [](AttachSpec& s) { s.session.target_name.assign_cut("iqn.has blank"); }},
        {NoPortal, [](AttachSpec& s) { s.session.portals.clear(); }},
        {Portal, [](AttachSpec& s) { s.session.portals[0].host.assign_cut("san.example"); }},
        {Portal, [](AttachSpec& s) { s.session.portals[0].port = 0; }},
        {Isid, [](AttachSpec& s) { s.session.isid = initiator::Isid{1ULL << 48}; }},
        {Auth, [](AttachSpec& s) { s.session.auth.to_target.secret.assign_cut("x"); }},
        {Auth,
         [](AttachSpec& s) {
             s.session.auth.from_target.name.assign_cut("t");
             s.session.auth.from_target.secret.assign_cut("x");
         }},
        {Wish, [](AttachSpec& s) { s.session.wish.first_burst_bytes = 2U << 20; }},
        {Wish, [](AttachSpec& s) { s.session.wish.max_outstanding_r2t = 0; }},
        {Wish, [](AttachSpec& s) { s.session.wish.max_outstanding_r2t = 9; }},
        {Wish, [](AttachSpec& s) { s.session.wish.error_recovery_level = 3; }},
        {Timer, [](AttachSpec& s) { s.session.timers.login = Duration{}; }},
        {Timer, [](AttachSpec& s) { s.session.timers.command = Duration::max(); }},
        {Timer, [](AttachSpec& s) { s.session.timers.reconnect_min = Duration::from_s(60); }},
        {Depth, [](AttachSpec& s) { s.limits.depth = 0; }},
        {Depth, [](AttachSpec& s) { s.limits.depth = 129; }},
        {RequestBytes, [](AttachSpec& s) { s.limits.request_bytes_max = 4095; }},
        {RequestBytes, [](AttachSpec& s) { s.limits.request_bytes_max = 8U << 20; }},
        {Connections, [](AttachSpec& s) { s.limits.connections = 0; }},
        {Connections, [](AttachSpec& s) { s.limits.connections = 9; }},
        {StageBytes, [](AttachSpec& s) { s.limits.stage_bytes = 0; }},
        {Damaged, [](AttachSpec& s) { s.limits.transmit_pieces = 63; }},
        {Damaged, [](AttachSpec& s) { s.limits.transmit_pieces = 4097; }},
        {DataBytes,
         [](AttachSpec& s) {
             s.exported.kind = ExportKind::Nbd;
             s.exported.nbd_socket_path.assign_cut("/run/x");
             s.limits.depth = 256;
             s.limits.request_bytes_max = 4U << 20;
         }},
        {SocketBytes, [](AttachSpec& s) { s.socket.send_bytes = 1U << 30; }},
        {Export, [](AttachSpec& s) { s.exported.ublk_id_wish = -2; }},
        {Export, [](AttachSpec& s) { s.exported.kind = static_cast<ExportKind>(7); }},
        {Export,
         [](AttachSpec& s) {
             s.exported.kind = ExportKind::Nbd;
             s.exported.nbd_socket_path.assign_cut("relative");
         }},
        {Path, [](AttachSpec& s) { s.path = NetworkPath::Xdp; }},
        {Path, [](AttachSpec& s) { s.path = NetworkPath::Auto; }},
        {Path, [](AttachSpec& s) { s.path = static_cast<NetworkPath>(9); }},
        {Path,
         [](AttachSpec& s) {
             s.path = NetworkPath::Xdp;
             s.gate.state = GateState::Missing;
         }},
    };
}

// Goal: a spec as control makes it passes, and survives the way over the socket bit by bit.
TEST(AttachSpec, GoodSpecPasses) {
    const AttachSpec spec = sample_spec();
    ASSERT_TRUE(check(spec));
    const auto copy = attach_spec_from(bytes_of(spec));
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy->name.view(), "swap0");
}

// Goal: the reserved path goes with a classifier that is there, in either place.
TEST(AttachSpec, ReservedPathNeedsAClassifier) {
    AttachSpec spec = sample_spec();
    spec.path = NetworkPath::Xdp;
    for (const GateState state : {GateState::Native, GateState::Generic}) {
        spec.gate.state = state;
        EXPECT_TRUE(check(spec));
    }
}

// Goal: each absurd field is refused under its own name, so that the operator learns which it was.
TEST(AttachSpec, EachAbsurdFieldHasItsOwnError) {
    std::size_t number = 0;
    for (const Breakage& breakage : breakages()) {
        SCOPED_TRACE(testing::Message() << "breakage " << number++);
        AttachSpec spec = sample_spec();
        breakage.apply(spec);
        const auto verdict = check(spec);
        ASSERT_FALSE(verdict);
        EXPECT_EQ(verdict.error(), breakage.expected);
    }
}

// Goal: a timer that must end cannot be set to for ever.
TEST(AttachSpec, WaitingForEverIsOnlyLegalForTheReplacementTimer) {
    AttachSpec spec = sample_spec();
    spec.session.timers.replacement = Duration::max();
    EXPECT_TRUE(check(spec));
    spec.session.timers.flush = Duration::max();
    EXPECT_FALSE(check(spec));
}

// Goal: IPv6 addresses, with zones too, need no name resolution.
TEST(AttachSpec, Ipv6AndZonesAreNumericHosts) {
    for (const char* host : {"::1", "fe80::1%eth0", "2001:db8::7"}) {
        AttachSpec spec = sample_spec();
        spec.session.portals[0].host.assign_cut(host);
        EXPECT_TRUE(check(spec)) << host;
    }
}

// Goal: a spec of another size is refused before a field of it is read.
TEST(AttachSpec, OtherSizesAreRefused) {
    const AttachSpec spec = sample_spec();
    const auto bytes = bytes_of(spec);
    EXPECT_EQ(attach_spec_from(bytes.first(bytes.size() - 1)).error(), SpecError::Size);
    EXPECT_EQ(attach_spec_from({}).error(), SpecError::Size);
}

// Goal: no bit pattern makes the validator read out of bounds or trip an assert.
// Method: random bytes over a good spec, magic and version kept; run under the sanitizers.
TEST(AttachSpec, AnyBitPatternIsJudgedSafely) {
    SplitMix64 random{1};
    for (int round = 0; round < 20'000; ++round) {
        const AttachSpec good = sample_spec();
        std::vector<std::byte> bytes(sizeof(AttachSpec));
        std::memcpy(bytes.data(), &good, bytes.size());
        const std::uint64_t flips = 1 + random.below(8);
        for (std::uint64_t i = 0; i < flips; ++i)
            bytes[8 + random.below(bytes.size() - 8)] = static_cast<std::byte>(random.next());
        const auto verdict = attach_spec_from(bytes);
        if (verdict) continue;
        EXPECT_LT(static_cast<int>(verdict.error()), kSpecErrorCount);
    }
}

// Goal: a name that passes can stand in a path and in a udev rule.
TEST(AttachmentName, OnlyPathSafeNamesPass) {
    for (const char* name : {"a", "swap0", "0", "db.example-1_x"})
        EXPECT_TRUE(is_attachment_name(name));
    for (const char* name : {"", ".", "..", "-x", "A", "a/b", "a b", "a\n"})
        EXPECT_FALSE(is_attachment_name(name)) << name;
    EXPECT_TRUE(is_attachment_name(std::string(32, 'a')));
    EXPECT_FALSE(is_attachment_name(std::string(33, 'a')));
}

}  // namespace
}  // namespace holdfast::daemon
