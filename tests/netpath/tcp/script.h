/// Scripts in the manner of packetdrill, against the pure endpoint, in virtual time. docs/tcp.md
/// describes the notation. Allocates.
#pragma once

#include <cstdint>
#include <string>

namespace holdfast::tcp_test {

/// Where the numbers of a run begin, so that each script can be run across every wrap.
struct Bases {
    std::uint32_t isn = 0;
    std::uint32_t peer_isn = 0;
    std::uint32_t timestamp = 0;  ///< Of our clock, at the start of the script.
    std::uint32_t peer_timestamp = 0;
};

/// Runs the script in `text`. Empty when it passes; else the line, what was wrong and all packets.
/// With `piece_bytes` packets come and go in pieces of so many bytes, four for the longest.
[[nodiscard]] std::string run_script(const std::string& text, const Bases& bases,
                                     std::size_t piece_bytes = 0);

/// Every packet and wake-up of a run, in the notation of scripts: for whoever writes one.
[[nodiscard]] std::string trace_script(const std::string& text);

}  // namespace holdfast::tcp_test
