/// A model of the other end: a TCP that is simple enough to be believed. It answers a SYN, keeps
/// what it receives in a set of bytes, sends a stream of its own, and complains of everything that
/// a peer of ours must never see. Allocates.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/netpath/tcp/packet.h"

namespace holdfast::tcp_test {

/// Microseconds of virtual time.
using Micros = std::int64_t;
inline constexpr Micros kNever = INT64_MAX;

/// How the peer of one life behaves.
struct PeerManners {
    bool has_sack = true;
    bool has_timestamps = true;
    bool sends_dsack = true;
    std::uint8_t window_shift = 4;
    std::uint16_t mss = 1460;
    std::uint32_t buffer_bytes = 65536;  ///< Of its receiver.
    std::uint64_t bytes_to_send = 0;
    Micros delayed_ack = 40'000;
    Micros resend_after = 300'000;
    bool reads_slowly = false;
    bool reneges = false;
    bool may_lose_updates = false;  ///< Sends no window update when its window opens.
};

class Peer {
public:
    Peer(const PeerManners& manners, std::uint32_t isn, SplitMix64& random)
        : manners_(manners), random_(random), isn_(isn) {}

    void receive(Micros now, const Packet& packet);
    /// What it wants to send now, one packet at a time.
    [[nodiscard]] std::optional<Packet> send(Micros now);
    [[nodiscard]] Micros next_wake() const;
    /// The network is good from now on: it reads all at once.
    void calm_down() { manners_.reads_slowly = manners_.reneges = false; }

    [[nodiscard]] std::uint64_t received_bytes() const { return next_; }
    [[nodiscard]] bool has_sent_all() const { return acked_ == manners_.bytes_to_send; }
    [[nodiscard]] bool saw_fin() const { return fin_taken_; }
    [[nodiscard]] bool is_closed() const { return fin_taken_ && fin_acked_; }
    [[nodiscard]] const std::string& complaint() const { return complaint_; }
    [[nodiscard]] bool was_reset() const { return was_reset_; }

private:
    void complain(const std::string& what) {
        if (complaint_.empty()) complaint_ = what;
    }
    void receive_syn(const Packet& packet);
    void take_fin(Micros now);
    void receive_ack(Micros now, const Packet& packet);
    void receive_text(Micros now, const Packet& packet);
    void note_block(std::uint64_t begin, std::uint64_t end);
    void list_blocks(Packet& packet) const;
    void read(Micros now);
    [[nodiscard]] std::uint32_t window() const;
    [[nodiscard]] Packet make(Micros now, std::uint64_t offset, std::size_t bytes);
    [[nodiscard]] std::optional<Packet> send_data(Micros now);

    PeerManners manners_;
    SplitMix64& random_;
    std::string complaint_;
    std::uint32_t isn_;
    std::uint32_t their_isn_ = 0;
    bool is_open_ = false;
    bool syn_ack_due_ = false;
    bool was_reset_ = false;

    // Receiving; places in the stream, 64 bits, so that nothing here wraps.
    std::uint64_t next_ = 0;
    std::uint64_t read_ = 0;
    std::uint64_t edge_ = 0;  // Advertised.
    std::map<std::uint64_t, std::uint64_t> early_;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> recent_;
    std::optional<std::pair<std::uint64_t, std::uint64_t>> dsack_;
    std::optional<std::uint64_t> fin_at_;
    bool fin_taken_ = false;
    int unacked_ = 0;
    bool ack_now_ = false;
    Micros ack_at_ = kNever;
    Micros read_at_ = kNever;
    std::uint32_t ts_recent_ = 0;

    // Sending.
    std::uint64_t acked_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t sent_most_ = 0;  // Before a time-out took it back.
    std::uint64_t their_edge_ = 0;
    std::uint8_t their_shift_ = 0;
    std::uint16_t their_mss_ = 536;
    bool fin_acked_ = false;
    bool fin_sent_ = false;
    bool fin_sent_once_ = false;
    Micros resend_at_ = kNever;
    int resends_ = 0;
};

}  // namespace holdfast::tcp_test
