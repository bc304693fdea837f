#include "daemon/io/flow_guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "base/unique_fd.h"

namespace holdfast::daemon {
namespace {

using netpath::classifier::ClassifierTable;
using netpath::classifier::FlowOwner;

initiator::Portal portal(std::string_view host, std::uint16_t port = 3260) {
    initiator::Portal made;
    made.host.assign_cut(host);
    made.port = port;
    return made;
}

class Guard : public testing::Test {
protected:
    Guard() {
        const UniqueFd memory{::memfd_create("table", MFD_CLOEXEC)};
        constexpr off_t kBytes = 1 << 20;
        EXPECT_EQ(::ftruncate(memory.get(), kBytes), 0);
        auto made = ClassifierTable::map_fresh(memory.get());
        EXPECT_TRUE(made);
        if (made) table_ = *std::move(made);
    }

    ClassifierTable table_;
    Instant now_ = Instant::from_ns(1'000'000'000);
};

// Goal: each portal has a flow from the start, a predecessor's flows are gone, and the lease runs.
TEST_F(Guard, BeginsAnew) {
    const std::array portals{portal("192.0.2.1"), portal("2001:db8::1")};
    FlowGuard first{table_, FlowOwner{3}};
    ASSERT_TRUE(first.begin(std::array{portal("192.0.2.9")}, now_));
    FlowGuard second{table_, FlowOwner{3}};
    ASSERT_TRUE(second.begin(portals, now_));
    EXPECT_EQ(table_.flow_count(), 2U);
    EXPECT_EQ(table_.lease_until(), now_ + ClassifierTable::kLease);
    second.end();
    EXPECT_EQ(table_.flow_count(), 0U);
}

// Goal: every turn renews the lease; the portal in use is known already.
TEST_F(Guard, TurnsRenewTheLease) {
    FlowGuard guard{table_, FlowOwner{3}};
    ASSERT_TRUE(guard.begin(std::array{portal("192.0.2.1")}, now_));
    const Instant later = now_ + Duration::from_s(5);
    guard.on_turn(portal("192.0.2.1"), later);
    EXPECT_EQ(table_.lease_until(), later + ClassifierTable::kLease);
    EXPECT_EQ(table_.flow_count(), 1U);
}

// Goal: portals that targets redirect to get flows, the oldest make room, the configured stay.
TEST_F(Guard, RedirectsAreFollowed) {
    FlowGuard guard{table_, FlowOwner{3}};
    ASSERT_TRUE(guard.begin(std::array{portal("192.0.2.1")}, now_));
    for (std::uint16_t i = 0; i < 3 * FlowGuard::kRedirectsMax; ++i) {
        guard.on_turn(portal("192.0.2.7", static_cast<std::uint16_t>(4000 + i)), now_);
        guard.on_turn(portal("192.0.2.1"), now_);
    }
    EXPECT_EQ(table_.flow_count(), 1U + FlowGuard::kRedirectsMax);
}

}  // namespace
}  // namespace holdfast::daemon
