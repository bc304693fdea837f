/// Frames and situations made up from a seed, for the classifier: mostly sound, often about one of
/// a few addresses and ports, so that rules match, and sometimes cut or damaged.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "netpath/steer/decide.h"

namespace holdfast::netpath::steer {

using Bytes = std::vector<std::byte>;

/// "192.0.2.7" or "2001:db8::7".
wire::IpAddress address(const char* text);

/// A station of its own for each number.
wire::MacAddress station(unsigned last);
/// Broadcast, padded to the least that Ethernet carries.
Bytes arp_request(const wire::MacAddress& asker, const char* from, const char* target);

/// Where bytes and choices come from: a seed's, or a fuzzer's.
class Choices {
public:
    explicit Choices(std::uint64_t seed) : engine_(seed) {}
    /// When the bytes are used up, every choice is 0.
    explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes), is_fed_(true) {}

    /// 0 to count - 1.
    std::uint32_t below(std::uint32_t count);
    bool one_in(std::uint32_t count) { return below(count) == count - 1; }
    template <class T, std::size_t N>
    const T& of(const std::array<T, N>& all) {
        return all[below(static_cast<std::uint32_t>(N))];
    }
    std::byte byte() { return static_cast<std::byte>(below(256)); }

private:
    std::mt19937_64 engine_;
    std::span<const std::uint8_t> bytes_;
    bool is_fed_ = false;
};

/// A situation that owns what it is about.
struct OwnedSituation {
    std::vector<FlowRule> flows;
    std::vector<wire::IpAddress> addresses;
    std::vector<OwnAddress> answered;
    std::vector<wire::IpAddress> neighbours;
    bool is_leased = true;
    bool is_pressed = false;
    bool has_socket = false;
    bool has_token = false;
    std::uint16_t management_port = 0;

    Situation view() const;
};

/// No two of its rules contradict each other about one segment.
OwnedSituation make_situation(Choices& choices);

/// At least 14 bytes, at most some hundreds.
Bytes make_frame(Choices& choices);

}  // namespace holdfast::netpath::steer
