#include "daemon/control/interfaces.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {
namespace {

TEST(Interfaces, ReceiveQueuesOfCardsCount) {
    // Goal: each card's queues count; those of an interface without a card do not, nor do transmit
    // queues.
    const TempDirectory folder;
    for (const char* const path :
         {"eth0/device", "eth0/queues/rx-0", "eth0/queues/rx-1", "eth0/queues/tx-0", "eth1/device",
          "eth1/queues/rx-0", "br0/queues/rx-0"})
        std::filesystem::create_directories(folder.path(path));
    EXPECT_EQ(receive_queues_of_host(folder.path("")), 3U);
}

TEST(Interfaces, NoCardIsNoQueue) {
    // Goal: a machine whose interfaces cannot be read is one with an unknown number of queues.
    const TempDirectory folder;
    EXPECT_EQ(receive_queues_of_host(folder.path("")), 0U);
    EXPECT_EQ(receive_queues_of_host(folder.path("missing")), 0U);
}

}  // namespace
}  // namespace holdfast::daemon
