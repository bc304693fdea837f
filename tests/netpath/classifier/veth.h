/// A pair of virtual Ethernet devices, gone with the object. For tests; needs root.
#pragma once

#include <net/if.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace holdfast::netpath::classifier {

inline bool is_root() {
    return ::geteuid() == 0;
}

/// Both ends stay in this namespace, without addresses; they are up.
class VethPair {
public:
    explicit VethPair(const std::string& name) : near_(name + "a"), far_(name + "b") {
        run("ip link del " + near_ + " 2>/dev/null");
        const std::string add =
            "ip link add " + near_ + " type veth peer name " + far_ + " && ip link set " + near_ +
            " addrgenmode none up && ip link set " + far_ + " addrgenmode none up";
        is_made_ = run(add);
    }
    VethPair(const VethPair&) = delete;
    VethPair& operator=(const VethPair&) = delete;
    ~VethPair() { run("ip link del " + near_ + " 2>/dev/null"); }

    bool is_made() const { return is_made_; }
    unsigned near_index() const { return ::if_nametoindex(near_.c_str()); }
    unsigned far_index() const { return ::if_nametoindex(far_.c_str()); }
    const std::string& near_name() const { return near_; }
    const std::string& far_name() const { return far_; }

private:
    static bool run(const std::string& command) { return std::system(command.c_str()) == 0; }

    std::string near_;
    std::string far_;
    bool is_made_ = false;
};

}  // namespace holdfast::netpath::classifier
