#include "daemon/io/host_lookup.h"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::daemon {
namespace {

using initiator::ConnIndex;
using initiator::Portal;

constexpr Instant kStart = Instant::from_ns(1'000'000'000);

Portal portal_of(std::string_view host, std::uint16_t port = 3260) {
    Portal portal;
    EXPECT_TRUE(portal.host.try_assign(host));
    portal.port = port;
    return portal;
}

std::optional<HostAddress> address_of(std::string_view text) {
    HostAddress address;
    EXPECT_TRUE(address.try_assign(text));
    return address;
}

// Goal: a name is asked for once, however many connections wait for it, and its answer serves all.
// Rows: LOG-24
TEST(HostLookup, OneQuestionServesAllWhoWait) {
    HostLookup hosts;
    hosts.begin(ConnIndex{0}, portal_of("disk.example", 3261), kStart);
    hosts.begin(ConnIndex{3}, portal_of("disk.example", 3262), kStart);
    ASSERT_EQ(hosts.poll_wanted().value().view(), "disk.example");
    EXPECT_FALSE(hosts.poll_wanted());
    EXPECT_FALSE(hosts.poll_settled(kStart));
    hosts.on_answer("other.example", address_of("192.0.2.9"));
    EXPECT_FALSE(hosts.poll_settled(kStart));
    hosts.on_answer("disk.example", address_of("2001:db8::1"));
    for (const ConnIndex conn : {ConnIndex{0}, ConnIndex{3}}) {
        const auto settled = hosts.poll_settled(kStart);
        ASSERT_TRUE(settled);
        EXPECT_EQ(settled->conn, conn);
        EXPECT_EQ(settled->port, conn == ConnIndex{0} ? 3261 : 3262);
        EXPECT_EQ(settled->address.value().view(), "2001:db8::1");
    }
    EXPECT_FALSE(hosts.poll_settled(kStart + HostLookup::kAnswerMax));
    EXPECT_TRUE(hosts.next_wake().is_never());
}

// Goal: without an answer in time the last known address counts, and without one the connect has
// failed; a connection that was ordered away waits no more.
TEST(HostLookup, SilenceEndsInTime) {
    HostLookup hosts;
    const Instant due = kStart + HostLookup::kAnswerMax;
    hosts.begin(ConnIndex{1}, portal_of("disk.example"), kStart);
    EXPECT_EQ(hosts.next_wake(), due);
    EXPECT_FALSE(hosts.poll_settled(kStart + Duration::from_ms(4999)));
    auto settled = hosts.poll_settled(due);
    ASSERT_TRUE(settled);
    EXPECT_FALSE(settled->address);

    hosts.on_answer("disk.example", address_of("192.0.2.7"));  // Too late for that one.
    hosts.begin(ConnIndex{1}, portal_of("disk.example"), due);
    EXPECT_TRUE(hosts.poll_wanted());  // It may have moved since.
    EXPECT_FALSE(hosts.poll_settled(due));
    settled = hosts.poll_settled(due + HostLookup::kAnswerMax);
    ASSERT_TRUE(settled);
    EXPECT_EQ(settled->address.value().view(), "192.0.2.7");

    hosts.begin(ConnIndex{1}, portal_of("disk.example"), due);
    EXPECT_TRUE(hosts.cancel(ConnIndex{1}));
    EXPECT_FALSE(hosts.cancel(ConnIndex{1}));
    EXPECT_FALSE(hosts.poll_wanted());
    EXPECT_TRUE(hosts.next_wake().is_never());
}

// Goal: "no such host" ends the wait, and what was known before still counts, because the name
// service may be away with the target; the memory is bounded, and the oldest name goes first.
TEST(HostLookup, RemembersFewNames) {
    HostLookup hosts;
    const auto known = [&hosts](std::string_view host) {
        hosts.begin(ConnIndex{0}, portal_of(host), kStart);
        return hosts.poll_settled(kStart + HostLookup::kAnswerMax).value().address.has_value();
    };
    for (int i = 0; i < 6; ++i) hosts.on_answer(std::to_string(i) + ".example", address_of("::1"));
    EXPECT_FALSE(known("0.example"));
    EXPECT_FALSE(known("1.example"));
    for (int i = 2; i < 6; ++i) EXPECT_TRUE(known(std::to_string(i) + ".example"));
    hosts.begin(ConnIndex{0}, portal_of("3.example"), kStart);
    hosts.on_answer("3.example", {});
    auto settled = hosts.poll_settled(kStart);
    ASSERT_TRUE(settled);
    EXPECT_EQ(settled->address.value().view(), "::1");
    hosts.begin(ConnIndex{0}, portal_of("new.example"), kStart);
    hosts.on_answer("new.example", {});
    settled = hosts.poll_settled(kStart);
    ASSERT_TRUE(settled);
    EXPECT_FALSE(settled->address);
}

}  // namespace
}  // namespace holdfast::daemon
