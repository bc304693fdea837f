/// Two network namespaces with a veth pair between them, for tests that need a link of their own.
/// The process is in the first namespace afterwards; both end with the process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "base/unique_fd.h"

namespace holdfast::xdp_test {

class VethPair {
public:
    static constexpr const char* kOurs = "hf0";    ///< 192.0.2.1, 2001:db8::1
    static constexpr const char* kTheirs = "hf1";  ///< 192.0.2.2, 2001:db8::2, also 198.51.100.2

    /// Runs `body` in the other namespace; sockets that it makes stay there.
    template <class Body>
    auto in_theirs(Body body) {
        EXPECT_EQ(::setns(theirs_.get(), CLONE_NEWNET), 0);
        auto result = body();
        EXPECT_EQ(::setns(ours_.get(), CLONE_NEWNET), 0);
        return result;
    }

    /// Empty on success, else why it cannot be had here.
    [[nodiscard]] std::string make(unsigned queues = 1) {
        if (::geteuid() != 0) return "needs root";
        if (::unshare(CLONE_NEWNET) != 0) return "no network namespaces here";
        theirs_ = UniqueFd{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
        if (::unshare(CLONE_NEWNET) != 0) return "no second network namespace";
        ours_ = UniqueFd{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
        const std::string many =
            " numrxqueues " + std::to_string(queues) + " numtxqueues " + std::to_string(queues);
        const std::string space =
            "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(theirs_.get());
        if (!run("ip link add hf0" + many + " type veth peer name hf1" + many + " netns " + space))
            return "no veth pair here";
        // Link-local addresses at once, without the second that looking for duplicates takes.
        bool fine = run("ip link set hf0 addrgenmode none") &&
                    run("ip addr add fe80::1/64 dev hf0 nodad") &&
                    run("ip addr add 192.0.2.1/24 dev hf0") && run("ip link set hf0 up") &&
                    run("ip addr add 2001:db8::1/64 dev hf0 nodad") && run("ip link set lo up");
        fine = fine && in_theirs([] {
                   return run("ip link set hf1 addrgenmode none") &&
                          run("ip addr add fe80::2/64 dev hf1 nodad") &&
                          run("ip addr add 192.0.2.2/24 dev hf1") && run("ip link set hf1 up") &&
                          run("ip addr add 198.51.100.2/24 dev hf1") &&
                          run("ip addr add 2001:db8::2/64 dev hf1 nodad") &&
                          run("ip link set lo up");
               });
        fine = fine && run("ip route add 198.51.100.0/24 via 192.0.2.2");
        // Packets cross a veth pair as the sender's kernel made them: without these, with checksums
        // left open and segments joined.
        fine = fine && in_theirs([] { return switch_off_offloads(kTheirs); });
        return fine ? "" : "the pair cannot be set up";
    }

    static bool run(const std::string& command) { return std::system(command.c_str()) == 0; }

private:
    static bool switch_off_offloads(const char* name) {
        const UniqueFd any{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        bool fine = true;
        for (const int what : {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO}) {
            ethtool_value value{.cmd = static_cast<unsigned>(what), .data = 0};
            ifreq request{};
            std::string{name}.copy(request.ifr_name, IFNAMSIZ - 1);
            request.ifr_data = reinterpret_cast<char*>(&value);
            fine = fine && ::ioctl(any.get(), SIOCETHTOOL, &request) == 0;
        }
        return fine;
    }

    UniqueFd ours_;
    UniqueFd theirs_;
};

}  // namespace holdfast::xdp_test
