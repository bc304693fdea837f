/// The target's side: the RAM target's pure core, each of its connections over a stream of
/// netpath/tcp. That TCP only opens connections, so that a SYN is answered by opening one the other
/// way at the same moment (RFC 9293 section 3.5).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "stress/target/target.h"
#include "tests/path_sim/end.h"
#include "tests/path_sim/network.h"

namespace holdfast::path_sim {

/// Addresses of both ends; the target listens on kTargetPort.
struct Ends {
    netpath::wire::IpAddress ours{};
    netpath::wire::IpAddress theirs{};
    netpath::tcp::Link our_link{};
    netpath::tcp::Link their_link{};
};
inline constexpr std::uint16_t kTargetPort = 3260;

class Server {
public:
    Server(target::Target& target, const Ends& ends, const netpath::tcp::Limits& limits,
           const netpath::tcp::Options& options, SplitMix64& random)
        : target_(target), ends_(ends), limits_(limits), options_(options), random_(random) {}

    void input(Instant now, const Frame& frame);
    /// Moves bytes between streams and target, and frames to `out`.
    void turn(Instant now, Micros micros, Wire& out);
    [[nodiscard]] Instant next_wake() const;
    [[nodiscard]] const std::string& complaint() const { return complaint_; }

private:
    struct Peer {
        explicit Peer(const netpath::tcp::Limits& limits, const netpath::tcp::Options& options)
            : end(limits, options) {}
        End end;
        std::optional<target::LinkId> link;
        /// Copies of what the target sends, until the piece comes back.
        std::deque<std::vector<std::byte>> lent;
        bool has_ended = false;
        bool is_closing = false;
    };
    void open(Instant now, std::uint16_t their_port, const Frame& frame);
    void use(Instant now, Peer& peer);
    void send(Instant now, Peer& peer);
    void complain(const std::string& what) {
        if (complaint_.empty()) complaint_ = what;
    }

    target::Target& target_;
    Ends ends_;
    netpath::tcp::Limits limits_;
    netpath::tcp::Options options_;
    SplitMix64& random_;
    std::map<std::uint16_t, std::unique_ptr<Peer>> peers_;  // By the initiator's port.
    std::string complaint_;
};

}  // namespace holdfast::path_sim
