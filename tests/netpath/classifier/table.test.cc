#include "netpath/classifier/table.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/unique_fd.h"
#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::classifier {

namespace {

/// Any memory will do: the table asks its map for nothing but pages.
class Memory {
public:
    Memory() : fd_(::memfd_create("table", MFD_CLOEXEC)) {
        constexpr off_t kBytes = 1 << 20;
        EXPECT_EQ(::ftruncate(fd_.get(), kBytes), 0);
    }
    int fd() const { return fd_.get(); }

private:
    UniqueFd fd_;
};

steer::FlowRule rule(std::uint16_t local_port) {
    return {.flow = {.remote = steer::address("192.0.2.2"),
                     .local_port = local_port,
                     .remote_port = 3260}};
}

// Goal: a table of another release, or memory that is none, is refused; a fresh one is begun once.
TEST(ClassifierTable, KnowsItsRelease) {
    const Memory memory;
    EXPECT_EQ(ClassifierTable::map(memory.fd()).error().code(), EPROTO);
    const auto fresh = ClassifierTable::map_fresh(memory.fd());
    ASSERT_TRUE(fresh);
    EXPECT_TRUE(ClassifierTable::map(memory.fd()));
    EXPECT_EQ(ClassifierTable::map_fresh(memory.fd()).error().code(), EEXIST);
    fresh->shared().version = HF_ABI_VERSION + 1;
    EXPECT_EQ(ClassifierTable::map(memory.fd()).error().code(), EPROTO);
}

// Goal: a flow is there once however often it is added, goes when it is removed, and another
// owner's stays.
TEST(ClassifierTable, FlowsComeAndGo) {
    const Memory memory;
    const auto table = ClassifierTable::map_fresh(memory.fd());
    ASSERT_TRUE(table);
    constexpr FlowOwner kFirst{1};
    constexpr FlowOwner kSecond{2};
    EXPECT_TRUE(table->try_add_flow(kFirst, rule(0)));
    EXPECT_TRUE(table->try_add_flow(kFirst, rule(0)));
    EXPECT_TRUE(table->try_add_flow(kSecond, rule(0)));
    EXPECT_TRUE(table->try_add_flow(kSecond, rule(40000)));
    EXPECT_EQ(table->flow_count(), 3U);
    table->remove_flow(kFirst, rule(40000));
    EXPECT_EQ(table->flow_count(), 3U);
    table->remove_flow(kFirst, rule(0));
    EXPECT_EQ(table->flow_count(), 2U);
    table->remove_flows_of(kSecond);
    EXPECT_EQ(table->flow_count(), 0U);
}

// Goal: a successor finds the connections over sockets of the one before, and no other flow.
TEST(ClassifierTable, ConnectionsOfAnOwnerAreFound) {
    const Memory memory;
    const auto table = ClassifierTable::map_fresh(memory.fd());
    ASSERT_TRUE(table);
    constexpr FlowOwner kOwner{1};
    steer::FlowRule four = rule(40000);
    four.flow.local = steer::address("192.0.2.1");
    four.path = steer::FlowPath::Socket;
    const steer::FlowRule six{.flow = {.local = steer::address("2001:db8::1"),
                                       .remote = steer::address("2001:db8::2"),
                                       .local_port = 40001,
                                       .remote_port = 3261},
                              .path = steer::FlowPath::Socket};
    EXPECT_TRUE(table->try_add_flow(kOwner, four));
    EXPECT_TRUE(table->try_add_flow(kOwner, six));
    EXPECT_TRUE(table->try_add_flow(kOwner, rule(0)));
    EXPECT_TRUE(table->try_add_flow(FlowOwner{2}, four));
    std::array<wire::Flow, 4> room{};
    const auto found = table->socket_flows_of(kOwner, room);
    EXPECT_EQ(found.size(), 2U);
    EXPECT_NE(std::ranges::find(found, four.flow), found.end());
    EXPECT_NE(std::ranges::find(found, six.flow), found.end());
    EXPECT_EQ(table->socket_flows_of(kOwner, std::span{room}.first(1)).size(), 1U);
}

// Goal: a table that is full near a flow's place says so, and takes it again later.
TEST(ClassifierTable, FullIsSaid) {
    const Memory memory;
    const auto table = ClassifierTable::map_fresh(memory.fd());
    ASSERT_TRUE(table);
    std::uint32_t owner = 1;
    while (table->try_add_flow(FlowOwner{owner}, rule(0))) ++owner;
    EXPECT_EQ(owner, HF_PROBES + 1);
    table->remove_flows_of(FlowOwner{3});
    EXPECT_TRUE(table->try_add_flow(FlowOwner{owner}, rule(0)));
}

// Goal: a lease is only ever made longer, so that one attachment cannot end another one's.
TEST(ClassifierTable, LeaseIsNeverShortened) {
    const Memory memory;
    const auto table = ClassifierTable::map_fresh(memory.fd());
    ASSERT_TRUE(table);
    const Instant start = Instant::from_ns(1'000'000'000);
    table->renew_lease(start + Duration::from_s(5));
    table->renew_lease(start);
    EXPECT_EQ(table->lease_until(), start + Duration::from_s(5) + ClassifierTable::kLease);
}

// Goal: an address is entered once; a full table of addresses says so.
TEST(ClassifierTable, AddressesFillUp) {
    const Memory memory;
    const auto table = ClassifierTable::map_fresh(memory.fd());
    ASSERT_TRUE(table);
    for (int i = 0; i < 2; ++i)
        for (std::uint32_t n = 1; n <= HF_ADDRESSES; ++n)
            EXPECT_TRUE(
                table->try_add_address(steer::address(("192.0.2." + std::to_string(n)).c_str())));
    EXPECT_FALSE(table->try_add_address(steer::address("192.0.3.1")));
    table->clear_addresses();
    EXPECT_TRUE(table->try_add_address(steer::address("192.0.3.1")));
}

}  // namespace

}  // namespace holdfast::netpath::classifier
