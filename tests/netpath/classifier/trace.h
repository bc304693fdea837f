/// Counts how often an event of the kernel happens, in an instance of tracefs of its own. For
/// tests.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace holdfast::netpath::classifier {

/// From begin() to count(). Needs root and a tracefs.
class EventCount {
public:
    /// `event`: "net/netif_receive_skb". `filter`: as tracefs takes it.
    EventCount(const std::string& event, const std::string& filter)
        : instance_("/sys/kernel/tracing/instances/hf-classifier-" + std::to_string(::getpid())) {
        is_made_ = ::mkdir(instance_.c_str(), 0700) == 0;
        event_ = instance_ + "/events/" + event;
        is_made_ = is_made_ && put(event_ + "/filter", filter) && put(event_ + "/enable", "1");
    }
    EventCount(const EventCount&) = delete;
    EventCount& operator=(const EventCount&) = delete;
    ~EventCount() {
        put(event_ + "/enable", "0");
        ::rmdir(instance_.c_str());
    }

    bool is_made() const { return is_made_; }
    void begin() { begun_ = total(); }
    std::uint64_t count() const { return total() - begun_; }

private:
    static bool put(const std::string& path, const std::string& text) {
        std::ofstream file{path};
        file << text << std::flush;
        return file.good();
    }
    /// Of all CPUs: what is in the ring, and what was overwritten.
    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (int cpu = 0;; ++cpu) {
            std::ifstream file{instance_ + "/per_cpu/cpu" + std::to_string(cpu) + "/stats"};
            if (!file) return sum;
            for (std::string key; file >> key;) {
                std::uint64_t value = 0;
                if ((key == "entries:" || key == "overrun:") && file >> value) sum += value;
            }
        }
    }

    std::string instance_;
    std::string event_;
    bool is_made_ = false;
    std::uint64_t begun_ = 0;
};

}  // namespace holdfast::netpath::classifier
